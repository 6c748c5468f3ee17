"""Bounds of layers that no schedule can pass: fewest cycles of computing and bytes moved, for what the network's outputs need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from intaglio.machine.config import CHANNEL_RECORD_BYTES, Config
from intaglio.mapper.lower.lowered import Value, need_of
from intaglio.mapper.tasks.needed import Need
from intaglio.mapper.tasks.task import Operand, Task
from intaglio.network.graph import Operator
from intaglio.program.program import Layer


def needs_of(tasks: Sequence[Task], stored: AbstractSet[str]) -> dict[str, Need]:
    """Needs of each value that a task makes or reads. Of several readers the one that needs most decides: no less is needed. stored:
    values of the network's outputs."""
    found: dict[str, Need] = {}
    for task in reversed(tasks):
        layout = task.output.layout
        need = found.get(task.output.value)
        if need is None or task.output.value in stored or not need.fits(layout):
            need = Need.whole(layout)
        found[task.output.value] = need
        for operand, read in zip(task.inputs, task.needs(need), strict=True):
            known = found.get(operand.value)
            if known is None or known.elements < read.elements:
                found[operand.value] = read
    return found


def moved_of(
    tasks: Sequence[Task],
    values: Mapping[str, Value],
    operands: Mapping[str, Operand],
    stored: AbstractSet[str],
    needs: Mapping[str, Need],
) -> dict[int, int]:
    """Bytes, by layer, of the network's inputs that it loads, of several readers the first; and those of the network's
    outputs that it stores. An input that is an output, or another name of a tensor, is not moved for that."""
    out: dict[int, int] = {}
    for value in values.values():
        if value.producer is None and value.uses:
            tag, form = tasks[value.uses[0]].tag, operands[value.name].layout.format
            out[tag] = out.get(tag, 0) + form.bytes_of(needs[value.name].elements)
        elif value.producer is not None and value.name in stored:
            for task in (tasks[i] for i in value.writers):
                out[task.tag] = out.get(task.tag, 0) + task.output.layout.format.bytes_of(task.written)
    return out


def layer_of(config: Config, op: Operator, task: Task | None, needs: Mapping[str, Need], moved: int) -> Layer:
    """The bounds of an operator of the accelerator. task: None for another name of a tensor. moved: bytes of its inputs and outputs, as
    `moved_of` counts them."""
    conv = task.weighted if task is not None else None
    cycles = task.least_cycles(config, need_of(needs, task)) if task is not None else 0
    macs = 0
    if conv is not None:
        g = conv.geometry
        macs = g.images * g.out_rows * g.out_cols * conv.useful_weights
        moved += conv.useful_weights // g.kernel_rows * g.used_rows + g.out_channels * CHANNEL_RECORD_BYTES
    if task is not None and task.lookup is not None:
        moved += config.one_table_bytes
    memory = config.memory.cost.least_cycles(moved)
    return Layer(op.name, op.kind, "accelerator", macs, cycles, moved, memory)
