"""Consecutive layers that run piece by piece, so that what lies between them never leaves the chip.

A piece of the last layer's output needs a region of each layer before it; where windows overlap, neighbouring pieces
compute the rows or columns that they share twice. Where the layers after a convolution are depthwise or pool, a piece can also
be some of the channels: a slab.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.task import Cut, Operand, Task
from intaglio.program.layout import Region


@dataclass(frozen=True)
class Needs:
    """Needs of one piece: a region of each of the chain's inputs, and of each task's output, the piece's own last. read: of
    each task's output what the tasks behind it read; made: what of it is computed for this piece, the same but for rings."""

    inputs: tuple[Region, ...]
    made: tuple[Region, ...]
    read: tuple[Region, ...]


@dataclass(frozen=True, eq=False)
class Chain:
    """tasks: in order; all but the last one's outputs are read within the chain alone."""

    tasks: tuple[Task, ...]

    @cached_property
    def inputs(self) -> tuple[Operand, ...]:
        """Operands that come from outside the chain: a single task's inputs, else each operand once."""
        if len(self.tasks) == 1:
            return self.tasks[0].inputs
        made = {task.output.value for task in self.tasks}
        return tuple(dict.fromkeys(x for task in self.tasks for x in task.inputs if x.value not in made))

    @property
    def output(self) -> Operand:
        return self.tasks[-1].output

    @cached_property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """Sources of each task's inputs: an index into `inputs`, or ~i for the output of task i."""
        makers = {task.output.value: i for i, task in enumerate(self.tasks)}
        return tuple(
            tuple(~makers[x.value] if x.value in makers else self.inputs.index(x) for x in task.inputs)
            for task in self.tasks
        )

    @cached_property
    def by_channels(self) -> bool:
        """True where some output channels of the first task are all that the later ones need for the same channels: after a
        convolution all are depthwise or pool."""
        first, *rest = self.tasks
        conv = first.weighted
        if not rest or conv is None or conv.geometry.slices is not None:
            return False
        return all(task.channelwise for task in rest)

    @cached_property
    def convolutions(self) -> list[ConvTask]:
        """Its tasks that have weights."""
        return [conv for task in self.tasks if (conv := task.weighted) is not None]

    @cached_property
    def cut(self) -> Cut:
        """The ways in which the last output may be divided so that every task's part is whole pixels of one image: element by element
        goes what comes before, too."""
        found = []
        ahead = [len(self.tasks) - 1]
        while ahead:
            i = ahead.pop()
            found.append(self.tasks[i].cut)
            if self.tasks[i].elementwise:
                ahead += [~source for source in self.sources[i] if source < 0]
        return Cut(
            min(cut.image_rows for cut in found),
            math.lcm(*(cut.pixel for cut in found)),
            min(cut.most_rows for cut in found),
        )

    @cached_property
    def ringable(self) -> tuple[int, ...]:
        """Tasks whose output only layers with windows read that go down it row by row: those can read a ring of rows."""
        readers: dict[int, list[Task]] = {}
        for task, sources in zip(self.tasks, self.sources, strict=True):
            for source in sources:
                readers.setdefault(~source, []).append(task)
        return tuple(
            i for i in range(len(self.tasks) - 1) if all(task.windowed and task.goes_down for task in readers[i])
        )

    def needs(self, piece: Region, rings: Sequence[int] = (), before: Needs | None = None) -> Needs:
        """The needs of a piece of the last task's output, back to the chain's inputs.

        rings: tasks whose output's rows stay for the next piece; before: what the piece above this one needed, with
        the same columns of the same image, or None.
        """
        inputs: list[Region] = [_NOTHING] * len(self.inputs)
        made: list[Region] = [_NOTHING] * len(self.tasks)
        read: list[Region] = [_NOTHING] * len(self.tasks)
        read[-1] = piece
        for i in reversed(range(len(self.tasks))):
            if i in rings and before is not None and not (read[i].empty or before.read[i].empty):
                # A ring's rows keep their columns, though some reader may need nothing for this piece.
                read[i] = read[i]._replace(x0=min(read[i].x0, before.read[i].x0), x1=max(read[i].x1, before.read[i].x1))
            made[i] = read[i]
            if i in rings and before is not None and not before.read[i].empty:
                made[i] = read[i]._replace(row0=max(read[i].row0, min(before.read[i].row1, read[i].row1)))
            if made[i].empty:
                continue
            for source, region in zip(self.sources[i], self.tasks[i].reads(made[i]), strict=True):
                if source < 0:
                    read[~source] = _around(read[~source], region)
                else:
                    inputs[source] = _around(inputs[source], region)
        return Needs(tuple(inputs), tuple(made), tuple(read))


def can_chain(network: Lowered, tasks: range, required: set[str]) -> bool:
    """True where these tasks may run as a chain: every output but the last is read by them alone, under the layout that
    it is written in, and what lies in one image for one of them does for all. required: values that must have a place outside."""
    with_windows = [task for task in (network.tasks[i] for i in tasks) if task.windowed]
    if len({task.output.layout.rows // task.cut.image_rows for task in with_windows}) > 1:
        return False  # such as a fully connected layer, for which a batch's rows are one image, behind windows
    slots = [task.table for task in (network.tasks[i] for i in tasks) if task.table]
    if len(set(slots)) < len(slots):
        return False  # their pieces take turns, and one table would take the other's place
    for index in tasks:
        task = network.tasks[index]
        if not task.rectangular:
            return False  # its pieces are runs of elements, not rectangles
        if index == tasks[-1]:
            return True
        value = network.values[task.output.value]
        inside = bool(value.uses) and all(use in tasks for use in value.uses)
        if not inside or value.name in required:
            return False
        for use in value.uses:
            if any(x.value == value.name and x.layout != task.output.layout for x in network.tasks[use].inputs):
                return False
    return False


_NOTHING = Region(0, 0, 0, 0)


def _around(a: Region, b: Region) -> Region:
    """The smallest region around both."""
    if a.empty or b.empty:
        return b if a.empty else a
    return Region(min(a.row0, b.row0), max(a.row1, b.row1), min(a.x0, b.x0), max(a.x1, b.x1))
