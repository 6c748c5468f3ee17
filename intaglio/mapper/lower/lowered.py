"""A network as tasks and the values between them: what lowering gives and the scheduler takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from intaglio.mapper.tasks.needed import Need
from intaglio.mapper.tasks.task import Operand, Task
from intaglio.program.program import Layer


@dataclass
class Value:
    """Storage behind one or several tensors. producer: index of the task that writes it, None for an input of
    the accelerator. uses: indices of the tasks that read it, ascending."""

    name: str
    size: int
    producer: int | None
    uses: list[int] = field(default_factory=list)


@dataclass
class Lowered:
    """tasks in order; values by name; operands: each tensor's value and layout; inputs, outputs: the
    accelerator's; layers: one for each operator of the graph. needs: what the outputs need of each value."""

    tasks: list[Task]
    values: dict[str, Value]
    operands: dict[str, Operand]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    needs: dict[str, Need]
