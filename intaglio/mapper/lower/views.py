"""Views: tensors that lie within the storage of others, so that no command moves them.

A slice is a view of what it is taken from. What a concatenation, or a padding, puts together is written where the result has
it, by the layers that make it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from intaglio.machine.config import Config
from intaglio.mapper.tasks.move import Axis, piece_of
from intaglio.network.graph import (
    Add,
    AveragePool2D,
    Box,
    Conv2D,
    FullyConnected,
    Graph,
    MaxPool2D,
    Mean,
    Move,
    Rescale,
    Table,
)
from intaglio.program.layout import Layout

MAKERS = (Conv2D, Add, AveragePool2D, MaxPool2D, Mean, Rescale, Move, Table)
"""Operators whose output may be written anywhere."""
SCALED = (Conv2D, FullyConnected, Add, AveragePool2D, MaxPool2D, Mean, Rescale)
"""Operators whose results leave the requantizers, and may go through a table there."""


@dataclass(frozen=True)
class Part:
    """The place of a tensor that is written within another one's storage. within: the tensor that it is a part of; owner: the
    one whose value that is, which has this one as a part, or is it."""

    within: str
    owner: str
    layout: Layout


def view_of(box: Box, whole: Layout, own: Layout) -> Layout | None:
    """The layout, in the value that holds `whole`, of the tensor that a box takes from it; None where no layout tells.

    own: the tensor's, alone. Rows must be equally far apart, pixels too, and elements of a pixel neighbours.
    """
    if box.to or math.prod(box.sizes) != own.elements or whole.format != own.format or own.format.bits != 8:
        return None
    piece = piece_of(box, whole, own)
    down = sorted((a for a in piece.axes if a.out_row), key=lambda a: a.out_row)
    across = sorted((a for a in piece.axes if a.out_x), key=lambda a: a.out_x)
    if whole.image_gap or any(a.in_x or a.in_row < 1 for a in down) or any(a.in_row or a.in_x < 1 for a in across):
        return None
    rows, pixels = _joined(down, "row"), _joined(across, "x")
    if len(rows) > 1 or len(pixels) > 2:
        return None
    stride = whole.stride * (rows[0].in_row if rows else 1)
    found = _pixels(pixels, piece.in_x, whole, own)
    if found is None:
        return None
    pixel, pitch, first = found
    return replace(
        own, stride=stride, pixel=pixel, pitch=pitch, start=whole.row_at(piece.in_row), first=whole.first + first
    )


def _joined(axes: list[Axis], side: str) -> list[Axis]:
    """Axes from the innermost on, those that go on where the one before ends as one."""
    out: list[Axis] = []
    read, write = f"in_{side}", f"out_{side}"
    for axis in axes:
        if out and all(getattr(axis, s) == out[-1].length * getattr(out[-1], s) for s in (read, write)):
            out[-1] = out[-1]._replace(length=out[-1].length * axis.length)
        else:
            out.append(axis)
    return out


def _pixels(axes: list[Axis], first: int, whole: Layout, own: Layout) -> tuple[int, int, int] | None:
    """Elements of a pixel, bytes between pixels, and bytes before the first, of rows that begin with an element of `whole`."""
    if whole.pixel == 1 and whole.pitch != 1:
        return None
    at = first // whole.pixel * whole.pitch + first % whole.pixel
    if not axes:
        return 1, 1, at
    run = axes[0]
    apart = axes[1] if len(axes) == 2 else None
    if run.in_x != 1:  # pixels of one element
        run, apart = run._replace(length=1, in_x=1), run
    if len(axes) == 2 and apart is not axes[1]:
        return None
    inside = whole.pixel == 1 or first % whole.pixel + run.length <= whole.pixel
    if apart is None:
        if inside:
            return 1, 1, at
        return (whole.pixel, whole.pitch, at) if first % whole.pixel == run.length % whole.pixel == 0 else None
    if not inside or apart.in_x % whole.pixel:
        return None
    return run.length, apart.in_x // whole.pixel * whole.pitch, at


def fused_tables(graph: Graph, host: AbstractSet[int], outputs: Sequence[str]) -> dict[str, Table]:
    """The tables that a tensor's maker puts its results through, by the tensor, which nothing else reads. host, outputs: as
    `parts_of` has them."""
    mine = [op for i, op in enumerate(graph.operators) if i not in host]
    scaled = {op.outputs[0] for op in mine if isinstance(op, SCALED)}
    readers = Counter(name for op in graph.operators for name in op.inputs)
    return {
        op.inputs[0]: op
        for op in mine
        if isinstance(op, Table)
        and op.inputs[0] in scaled
        and readers[op.inputs[0]] == 1
        and op.inputs[0] not in outputs
    }


def turned(box: Box) -> Box:
    """The box that takes back what a box has put there."""
    return replace(box, at=box.to, to=box.at, steps=box.to_steps, to_steps=box.steps)


def parts_of(
    graph: Graph,
    config: Config,
    host: AbstractSet[int],
    layout: Callable[[str], Layout],
    outputs: Sequence[str],
    copied: AbstractSet[str],
) -> dict[str, Part]:
    """The tensors that are written within others. layout: of a tensor alone. host: operators that are none of the accelerator's.
    outputs: of the accelerator, which lie by themselves. copied: outputs of moves that take copies."""
    mine = [op for i, op in enumerate(graph.operators) if i not in host]
    made = {op.outputs[0]: op for op in mine if isinstance(op, MAKERS)}
    found: dict[str, Part] = {}
    for op in reversed([op for op in mine if isinstance(op, Move)]):
        name = op.outputs[0]
        whole = found[name].layout if name in found else layout(name)
        if name in copied or whole.size > config.activation_bytes:
            continue
        for number, source in enumerate(op.inputs):
            boxes = [box for box in op.boxes if box.source == number]
            maker = made.get(source)
            if maker is None or source in found or source in outputs or len(boxes) != 1 or op.inputs.count(source) > 1:
                continue
            if isinstance(maker, Move) and is_view(maker, layout):
                continue
            (box,) = boxes
            place = view_of(turned(box), whole, layout(source))
            if place is not None:
                owner = found[name].owner if name in found else name
                found[source] = Part(name, owner, place)
    return found


def is_view(op: Move, layout: Callable[[str], Layout]) -> bool:
    """True for a move that is a view of its input, where that lies by itself."""
    (box, *others) = op.boxes
    if others or box.source is None:
        return False
    return view_of(box, layout(op.inputs[box.source]), layout(op.outputs[0])) is not None
