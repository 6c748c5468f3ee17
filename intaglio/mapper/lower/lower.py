"""Graph -> tasks: which operator runs where, with which layouts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial

import numpy as np

from intaglio.errors import Refusal
from intaglio.machine.config import Config
from intaglio.machine.isa import HEADER
from intaglio.mapper.lower.layer_bounds import layer_of, moved_of, needs_of
from intaglio.mapper.lower.lowered import Lowered, Value
from intaglio.mapper.lower.products import product, product_layout, splits_evenly
from intaglio.mapper.lower.views import fused_tables, parts_of, view_of
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.elementwise import IDENTITY, AddTask, CopyTask, RescaleTask
from intaglio.mapper.tasks.move import MoveTask
from intaglio.mapper.tasks.pooling import PoolTask, average_scale
from intaglio.mapper.tasks.task import Lookup, Operand, Task
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
    Operator,
    Requantize,
    Rescale,
    Reshape,
    Rounding,
    Table,
)
from intaglio.program.layout import Layout, Region, align_up, layout_of
from intaglio.program.program import BASE_ALIGNMENT, Layer

MOST_LAYERS = 1 + next(field.high for field in HEADER if field.name == "tag")
"""Operators of a network: as many as a command's tag tells apart."""
MOST_BYTES = (1 << 32) - (1 << 28)
"""Bytes of external memory for tensors and constants."""
MOST_PARTS = 1 << 17
"""Parts that all windows of a layer may come in at least, where one does not fit on chip: each takes commands of its own."""


def lower(graph: Graph, config: Config, left_out: set[int], copied: AbstractSet[str] = frozenset()) -> Lowered:
    """The tasks of a graph without the operators `left_out` (indices; whatever else is no task among them), each as in the whole
    graph. Where more is left out than the host's, the result is for reports only. accept.py decides what may run. copied: outputs
    of moves whose inputs are not written where the output has them."""
    return _Lowering(graph, config, left_out, copied).run()


def beyond_counting(graph: Graph, config: Config, lowered: Lowered) -> list[Refusal]:
    """Refuses what addresses and tags cannot count, were every tensor outside: some schedules need less, none needs more; and
    windows that make a program too long."""
    out = []
    if len(graph.operators) > MOST_LAYERS:
        op = graph.operators[MOST_LAYERS]
        reason = f"the network has {len(graph.operators)} operators; commands count {MOST_LAYERS}"
        out.append(Refusal(op.name, op.kind, reason, "split the network"))
    tensors = sum(align_up(value.size, BASE_ALIGNMENT) for value in lowered.values.values())
    weights = sum(_constant_bytes(config, conv) for task in lowered.tasks if (conv := task.weighted) is not None)
    if tensors + weights > MOST_BYTES:
        made = max(lowered.values.values(), key=lambda value: value.size)
        op = next(op for op in graph.operators if made.name in (*op.outputs, *op.inputs))
        reason = (
            f"the network's tensors and weights take {tensors + weights} bytes of external memory, of which {made.name!r} has "
            f"{made.size}; addresses have 32 bits, and {(1 << 32) - MOST_BYTES} bytes are for commands"
        )
        out.append(Refusal(op.name, op.kind, reason, "use a smaller network or batch, or a narrower bus_bytes"))
    for task in lowered.tasks:
        pool = task.pooled
        if pool is not None and pool.least_parts(config) > MOST_PARTS:
            rows, cols = pool.extent
            reason = (
                f"its windows of {rows} x {cols} pixels of {pool.channels} bytes do not fit on chip: all of them would be loaded in "
                f"{pool.least_parts(config)} parts or more, at most {MOST_PARTS} are mapped"
            )
            remedy = f"raise activation_bytes above {rows * cols * pool.channels}, or use a smaller window"
            out.append(Refusal(task.name, graph.operators[task.tag].kind, reason, remedy))
    return out


class _Lowering:
    """One pass over the operators."""

    def __init__(self, graph: Graph, config: Config, host: set[int], copied: AbstractSet[str]):
        self.graph, self.config, self.host = graph, config, host
        self.tasks: list[Task] = []
        self.values: dict[str, Value] = {}
        self.operands: dict[str, Operand] = {}
        self.inputs: list[str] = []
        self.layers: list[Layer] = []
        accelerated = [op for i, op in enumerate(graph.operators) if i not in host]
        wanted = {*graph.outputs, *(n for i, op in enumerate(graph.operators) if i in host for n in op.inputs)}
        self.outputs = tuple(name for op in accelerated for name in op.outputs if name in wanted)
        self.fused = fused_tables(graph, host, self.outputs)
        self._slots = itertools.cycle(range(1, max(config.tables, 1) + 1))
        self.parts = parts_of(graph, config, host, self._layout, self.outputs, copied)

    def run(self) -> Lowered:
        by_operator: list[Task | None] = []
        for index, op in enumerate(self.graph.operators):
            by_operator.append(None)
            if index in self.host or (isinstance(op, Table) and op.inputs[0] in self.fused):
                continue
            fresh = [name for name in op.inputs if name not in self.operands]
            for name in dict.fromkeys(fresh):
                self.inputs.append(name)
                self._new_value(name, self._layout(name), None)
            task = self._task(index, op)
            if task is not None and op.outputs[0] in self.fused:
                task = replace(task, lookup=self._lookup(self.fused[op.outputs[0]]))  # type: ignore[type-var]
            if task is not None:
                by_operator[index] = task
                self._add(task)
        stored = {self.operands[name].value for name in self.outputs}
        needs = needs_of(self.tasks, stored)
        moved = moved_of(self.tasks, self.values, self.operands, stored, needs)
        for index, (op, task) in enumerate(zip(self.graph.operators, by_operator, strict=True)):
            if index in self.host:
                self.layers.append(Layer(op.name, op.kind, "host", 0, 0, 0, 0))
            else:
                self.layers.append(layer_of(self.config, op, task, needs, moved.get(index, 0)))
        return Lowered(
            self.tasks, self.values, self.operands, tuple(self.inputs), self.outputs, tuple(self.layers), needs
        )

    def _add(self, task: Task) -> None:
        count = len(self.tasks)
        self.tasks.append(task)
        for operand in task.inputs:
            uses = self.values[operand.value].uses
            if count not in uses:
                uses.append(count)

    def _layout(self, name: str) -> Layout:
        tensor = self.graph.tensors[name]
        return layout_of(tensor.shape, self.config.bus_bytes, tensor.format)

    def _new_value(self, name: str, layout: Layout, producer: int | None) -> Operand:
        self.values[name] = Value(name, layout.size, producer, writers=[] if producer is None else [producer])
        self.operands[name] = Operand(name, name, layout)
        return self.operands[name]

    def _lookup(self, op: Table) -> Lookup:
        """The operator's table in the next slot on chip."""
        return Lookup(next(self._slots), np.roll(op.values, 128))

    def _target(self, op: Operator, layout: Layout | None = None) -> Operand:
        name = op.outputs[0]
        if name in self.fused:  # its results go through a table at once
            name = self.fused[name].outputs[0]
        if name in self.parts:
            part = self.parts[name]
            return self._written(name, part.owner, part.layout)
        if name in self.values:
            return self._written(name, name, self._layout(name))
        return self._new_value(name, layout or self._layout(name), len(self.tasks))

    def _written(self, name: str, owner: str, layout: Layout) -> Operand:
        """A tensor that the next task writes as a part of a value."""
        count = len(self.tasks)
        if owner in self.values:
            value = self.values[owner]
            value.writers.append(count)
            value.uses.append(count)
        else:
            self._new_value(owner, self._layout(owner), count)
        self.operands[name] = Operand(name, owner, layout)
        return self.operands[name]

    def _task(self, index: int, op: Operator) -> Task | None:
        inputs = tuple(self.operands[name] for name in op.inputs)
        match op:
            case Conv2D():
                return self._product(index, op, self._standard(index, op, inputs[0]))
            case FullyConnected():
                return self._product(index, op, inputs[0])
            case Add():
                if not inputs[0].layout.same_rows(inputs[1].layout):
                    inputs = tuple(self._standard(index, op, x) for x in inputs)
                inputs, layout = self._like(index, op, inputs)
                return AddTask(index, op.name, inputs, self._target(op, layout), op)
            case Rescale():
                inputs, layout = self._like(index, op, inputs)
                return RescaleTask(index, op.name, inputs, self._target(op, layout), op)
            case Table():
                (multiplier, shift), rounding = IDENTITY, Rounding(self.config.rounding[0])
                same = Requantize(np.array([multiplier]), np.array([shift]), rounding)
                inputs, layout = self._like(index, op, inputs)
                copy = Rescale(op.name, op.inputs, op.outputs, 0, 0, same, (-128, 127))
                return RescaleTask(index, op.name, inputs, self._target(op, layout), copy, self._lookup(op))
            case Move():
                return self._move(index, op, inputs)
            case Reshape():
                return self._reshape(index, op, inputs[0])
            case AveragePool2D() | MaxPool2D() | Mean():
                return self._pool(index, op, (self._standard(index, op, inputs[0]),))
        raise TypeError(f"no task for {op.kind}")

    def _like(self, index: int, op: Operator, inputs: tuple[Operand, ...]) -> tuple[tuple[Operand, ...], Layout | None]:
        """Inputs, all of the same rows, and the layout of an output of these rows; None for its own shape's, which it has
        where it is a part of another tensor."""
        layout = self._layout(op.outputs[0])
        if inputs[0].layout.same_rows(layout):
            return inputs, None
        if op.outputs[0] in self.parts:
            return tuple(self._standard(index, op, x) for x in inputs), None
        rows, width = inputs[0].layout.rows, inputs[0].layout.row_elements
        return inputs, layout_of((rows, width), self.config.bus_bytes, layout.format)

    def _standard(self, index: int, op: Operator, operand: Operand) -> Operand:
        """The operand in the rows of its own shape, as windows need it; a copy where it lies in others that are padded."""
        layout = self._layout(operand.tensor)
        if operand.layout.same_rows(layout):
            return operand
        if operand.layout.dense and layout.dense:
            return Operand(
                operand.tensor, operand.value, replace(layout, start=operand.layout.start, first=operand.layout.first)
            )
        name = f"{operand.tensor} in rows of {layout.row_elements}"
        if name not in self.operands:
            target = self._new_value(name, layout, len(self.tasks))
            self._add(CopyTask(index, op.name, (operand,), target, Rounding(self.config.rounding[0])))
        return self.operands[name]

    def _move(self, index: int, op: Move, inputs: tuple[Operand, ...]) -> MoveTask | None:
        """A view where one box of an input is one; else copies of what its inputs' makers have not written in its place."""
        inputs = tuple(self._standard(index, op, x) for x in inputs)
        name = op.outputs[0]
        box = op.boxes[0]
        if len(op.boxes) == 1 and box.source is not None and name not in (*self.parts, *self.outputs):
            layout = view_of(box, inputs[box.source].layout, self._layout(name))
            if layout is not None:
                self.operands[name] = Operand(name, inputs[box.source].value, layout)
                return None
        target = self.parts[name].owner if name in self.parts else name
        mine = {i for i, x in enumerate(op.inputs) if x in self.parts and self.parts[x].within == name}
        rest = tuple(box for box in op.boxes if box.source not in mine)
        if not rest:
            layout = self.parts[name].layout if name in self.parts else self._layout(name)
            self.operands[name] = Operand(name, target, layout)
            return None
        read = sorted({box.source for box in rest if box.source is not None})
        left = tuple(b if b.source is None else replace(b, source=read.index(b.source)) for b in rest)
        sources = tuple(inputs[i] for i in read)
        return MoveTask(index, op.name, sources, self._target(op), left, Rounding(self.config.rounding[0]))

    def _product(self, index: int, op: Conv2D | FullyConnected, source: Operand) -> ConvTask:
        """A convolution or fully connected layer of a view, or of a copy without gaps where that takes fewer cycles."""
        make = partial(product, self.graph, self.config, index, op)
        layout = product_layout(self.graph, self.config, op, source.layout)
        if not source.layout.packed:
            target = Operand(op.outputs[0], "", layout)
            packed = layout_of((source.layout.rows, source.layout.row_elements), self.config.bus_bytes)
            alone = replace(source, layout=packed)
            copy = self._copy(index, op, source, alone)
            cycles = sum(_cycles(self.config, task) for task in (make(alone, target), copy))
            if cycles < _cycles(self.config, make(source, target)) or not splits_evenly(op, source.layout):
                source = self._copied(index, op, source, packed)
        return make(source, self._target(op, layout))

    def _copied(self, index: int, op: Operator, source: Operand, layout: Layout) -> Operand:
        """A copy of an operand in another layout of the same rows."""
        name = f"{source.tensor} without gaps"
        if name not in self.operands:
            self._add(self._copy(index, op, source, self._new_value(name, layout, len(self.tasks))))
        return self.operands[name]

    def _copy(self, index: int, op: Operator, source: Operand, target: Operand) -> MoveTask:
        rows, width = source.layout.rows, source.layout.row_elements
        pixel = source.layout.pixel
        sizes, steps = (rows, width // pixel, pixel), (width, pixel, 1)
        box = Box(0, 0, 0, sizes, steps, steps)
        return MoveTask(index, op.name, (source,), target, (box,), Rounding(self.config.rounding[0]))

    def _pool(self, index: int, op: AveragePool2D | MaxPool2D | Mean, inputs: tuple[Operand, ...]) -> PoolTask:
        images, in_rows, in_cols, channels = self.graph.tensors[op.inputs[0]].shape
        requantize: Callable[[int], Requantize] | None
        match op:
            case Mean():
                window, stride, top, left, out_rows = (in_rows, in_cols), (1, 1), 0, 0, 1
                requantize, zero_points = _always(op.requantize), (op.input_zero_point, op.output_zero_point)
                layout: Layout | None = layout_of(
                    (images, channels), self.config.bus_bytes, self.graph.tensors[op.outputs[0]].format
                )
            case AveragePool2D() | MaxPool2D():
                window, stride, top, left = op.filter, op.stride, op.padding.top, op.padding.left
                out_rows = self.graph.tensors[op.outputs[0]].shape[1]
                requantize, zero_points, layout = None, (0, 0), None
                if isinstance(op, AveragePool2D):
                    zero_points = op.input_zero_point, op.output_zero_point
                    requantize = None if op.rescale is None else partial(average_scale, op)
                else:
                    (multiplier, shift), rounding = IDENTITY, Rounding(self.config.rounding[0])
                    requantize = _always(Requantize(np.array([multiplier]), np.array([shift]), rounding))
        return PoolTask(
            index,
            op.name,
            inputs,
            self._target(op, layout),
            in_rows,
            in_cols,
            channels,
            window,
            stride,
            top,
            left,
            out_rows,
            requantize,
            *zero_points,
            clamp=op.clamp,
            dilation=op.dilation if isinstance(op, MaxPool2D) else (1, 1),
            maximum=isinstance(op, MaxPool2D),
        )

    def _reshape(self, index: int, op: Reshape, source: Operand) -> CopyTask | None:
        """Another name for the same bytes where layouts agree or only fully connected layers read it."""
        name = op.outputs[0]
        layout = self._layout(name)
        readers = [r for r in self.graph.operators if name in r.inputs]
        flattened = (
            name not in self.outputs
            and all(isinstance(r, FullyConnected) and self._reads_rows(r, source.layout) for r in readers)
            and bool(readers)
        )
        if layout.dense and source.layout.dense:
            layout = replace(layout, start=source.layout.start, first=source.layout.first)
            self.operands[name] = Operand(name, source.value, layout)
            return None
        if layout.same_rows(source.layout) or flattened:
            self.operands[name] = Operand(name, source.value, source.layout)
            return None
        rounding = Rounding(self.config.rounding[0])
        return CopyTask(index, op.name, (source,), self._target(op), rounding)

    @staticmethod
    def _reads_rows(op: FullyConnected, layout: Layout) -> bool:
        """True where each batch entry is a whole number of the layout's rows."""
        return bool(op.weights.shape[1] % layout.row_elements == 0)


def _constant_bytes(config: Config, task: ConvTask) -> int:
    """Bytes of weights and channel records outside, without the gaps between their blocks."""
    words = task.geometry.steps * config.weight_word_bytes + config.channel_groups * config.channel_word_bytes
    return task.channel_tiles(config) * words


def _cycles(config: Config, task: Task) -> int:
    """Cycles of all its commands, were everything on chip."""
    layout = task.output.layout
    images = layout.rows // task.cut.image_rows
    return images * task.cycles(config, Region(0, task.cut.image_rows, 0, layout.row_elements))


def _always(scale: Requantize) -> Callable[[int], Requantize]:
    """The same scale for windows of any size."""
    return lambda count: scale
