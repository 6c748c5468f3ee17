"""A network as tasks and the values between them: what lowering gives and the scheduler takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from intaglio.mapper.tasks.needed import Need
from intaglio.mapper.tasks.task import Operand, Task
from intaglio.program.program import Layer


@dataclass
class Value:
    """Storage behind one or several tensors. producer: index of the task that writes it, or the first that writes a part of it,
    None for an input of the accelerator. uses: indices of the tasks that read it, or write another part, ascending. writers: of
    a value in parts, all tasks that write one."""

    name: str
    size: int
    producer: int | None
    uses: list[int] = field(default_factory=list)
    writers: list[int] = field(default_factory=list)

    @property
    def in_parts(self) -> bool:
        """True where several tasks write it: it is on chip until the last one has."""
        return len(self.writers) > 1

    @property
    def least_kept(self) -> int:
        """The fewest uses that must find it on chip."""
        return self.uses.index(self.writers[-1]) + 1 if self.in_parts else 0


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

    def need_of(self, task: Task) -> Need:
        """The need of a task's output."""
        return need_of(self.needs, task)


def need_of(needs: Mapping[str, Need], task: Task) -> Need:
    """The need of a task's output; all of it where that is a part of a value."""
    need, layout = needs[task.output.value], task.output.layout
    return need if need.fits(layout) else Need.whole(layout)
