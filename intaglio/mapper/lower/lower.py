"""Graph -> tasks: which operator runs where, with which layouts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from intaglio.errors import Refusal
from intaglio.machine.config import Config
from intaglio.machine.isa import HEADER
from intaglio.mapper.lower.layer_bounds import layer_of, moved_of, needs_of
from intaglio.mapper.lower.lowered import Lowered, Value
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.elementwise import IDENTITY, AddTask, CopyTask, RescaleTask
from intaglio.mapper.tasks.geometry import Geometry
from intaglio.mapper.tasks.grouped import sliced
from intaglio.mapper.tasks.pooling import PoolTask, average_scale
from intaglio.mapper.tasks.split import with_lanes
from intaglio.mapper.tasks.task import FIELD_LIMIT, Operand, Task
from intaglio.network.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    FullyConnected,
    Graph,
    MaxPool2D,
    Mean,
    Operator,
    Requantize,
    Rescale,
    Reshape,
    Rounding,
)
from intaglio.program.layout import Layout, align_up, layout_of
from intaglio.program.program import BASE_ALIGNMENT, Layer

MOST_LAYERS = 1 + next(field.high for field in HEADER if field.name == "tag")
"""Operators of a network: as many as a command's tag tells apart."""
MOST_BYTES = (1 << 32) - (1 << 28)
"""Bytes of external memory for tensors and constants."""
MOST_PARTS = 1 << 17
"""Parts that all windows of a layer may come in at least, where one does not fit on chip: each takes commands of its own."""


def lower(graph: Graph, config: Config, left_out: set[int]) -> tuple[Lowered, list[Refusal]]:
    """The tasks of a graph without the operators `left_out` (indices; whatever else is no task among them), each as in the whole
    graph, and the refusals that show only here. With such, or where more is left out than the host's, the result is for reports
    only. accept.py decides what may run."""
    lowering = _Lowering(graph, config, left_out)
    return lowering.run(), lowering.refusals


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
    """One pass over the operators. refusals: what turns out on the way; the result is then for reports only."""

    def __init__(self, graph: Graph, config: Config, host: set[int]):
        self.graph, self.config, self.host = graph, config, host
        self.tasks: list[Task] = []
        self.values: dict[str, Value] = {}
        self.operands: dict[str, Operand] = {}
        self.inputs: list[str] = []
        self.layers: list[Layer] = []
        self.refusals: list[Refusal] = []
        accelerated = [op for i, op in enumerate(graph.operators) if i not in host]
        wanted = {*graph.outputs, *(n for i, op in enumerate(graph.operators) if i in host for n in op.inputs)}
        self.outputs = tuple(name for op in accelerated for name in op.outputs if name in wanted)

    def run(self) -> Lowered:
        by_operator: list[Task | None] = []
        for index, op in enumerate(self.graph.operators):
            by_operator.append(None)
            if index in self.host:
                continue
            fresh = [name for name in op.inputs if name not in self.operands]
            for name in dict.fromkeys(fresh):
                self.inputs.append(name)
                self._new_value(name, self._layout(name), None)
            count = len(self.tasks)
            task = self._task(index, op)
            if task is not None:
                by_operator[index] = task
                self.tasks.append(task)
                for operand in task.inputs:
                    uses = self.values[operand.value].uses
                    if count not in uses:
                        uses.append(count)
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

    def _layout(self, name: str) -> Layout:
        tensor = self.graph.tensors[name]
        return layout_of(tensor.shape, self.config.bus_bytes, tensor.format)

    def _new_value(self, name: str, layout: Layout, producer: int | None) -> Operand:
        self.values[name] = Value(name, layout.size, producer)
        self.operands[name] = Operand(name, name, layout)
        return self.operands[name]

    def _target(self, op: Operator, layout: Layout | None = None) -> Operand:
        name = op.outputs[0]
        return self._new_value(name, layout or self._layout(name), len(self.tasks))

    def _task(self, index: int, op: Operator) -> Task | None:
        inputs = tuple(self.operands[name] for name in op.inputs)
        match op:
            case Conv2D():
                return self._convolution(index, op, (self._standard(op, inputs[0]),))
            case FullyConnected():
                return self._fully_connected(index, op, inputs)
            case Add():
                layout = inputs[0].layout
                if inputs[1].layout != layout:
                    inputs = tuple(self._standard(op, x) for x in inputs)
                return AddTask(index, op.name, inputs, self._target(op, self._like(inputs[0])), op)
            case Rescale():
                return RescaleTask(index, op.name, inputs, self._target(op, self._like(inputs[0])), op)
            case Reshape():
                return self._reshape(index, op, inputs[0])
            case AveragePool2D() | MaxPool2D() | Mean():
                return self._pool(index, op, (self._standard(op, inputs[0]),))
        raise TypeError(f"no task for {op.kind}")

    def _like(self, operand: Operand) -> Layout | None:
        """The rows in which an operand comes that is read under another tensor's layout; None for its own."""
        return None if operand.layout == self._layout(operand.tensor) else operand.layout

    def _standard(self, op: Operator, operand: Operand) -> Operand:
        """The operand under its own shape's layout, as windows need it."""
        layout = self._layout(operand.tensor)
        if operand.layout == layout:
            return operand
        if operand.layout.dense and layout.dense:
            return Operand(operand.tensor, operand.value, layout)
        self.refusals.append(
            Refusal(
                op.name,
                op.kind,
                f"its input {operand.tensor!r} has rows of {operand.layout.row_bytes} bytes, {layout.row_bytes} are needed "
                f"and configuration field bus_bytes = {self.config.bus_bytes} pads them",
                "use a narrower bus or a channel count that it divides",
            )
        )
        return Operand(operand.tensor, operand.value, layout)

    def _convolution(self, index: int, op: Conv2D, inputs: tuple[Operand, ...]) -> ConvTask:
        source, target = (self.graph.tensors[name].shape for name in (op.inputs[0], op.outputs[0]))
        outputs, rows, cols, channels = op.weights.shape
        geometry = Geometry(
            images=source[0],
            in_rows=source[1],
            in_cols=source[2],
            channels=channels * op.groups,
            kernel_rows=rows,
            kernel_cols=cols,
            # Of one output, or one tap, a command takes any number.
            stride_rows=min(op.stride[0], FIELD_LIMIT),
            stride_cols=min(op.stride[1], FIELD_LIMIT),
            dilation_rows=min(op.dilation[0], FIELD_LIMIT),
            dilation_cols=min(op.dilation[1], FIELD_LIMIT),
            top=op.padding.top,
            left=op.padding.left,
            out_rows=target[1],
            out_cols=target[2],
            out_channels=outputs,
            packed=inputs[0].layout.packed,
        )
        task = self._conv_task(index, op, inputs, geometry, self._target(op))
        return with_lanes(task, self.config) if op.groups == 1 else sliced(task, op.groups, self.config)

    def _fully_connected(self, index: int, op: FullyConnected, inputs: tuple[Operand, ...]) -> ConvTask:
        """A window of whole rows of the layout for each entry of the batch; or, where a row holds several entries, a convolution of
        one kernel row. A row is one pixel, where pixels do not lie apart."""
        layout = inputs[0].layout
        outputs, length = op.weights.shape
        entries = max(layout.row_elements // length, 1)
        rows = max(length // layout.row_elements, 1)
        together = _most_together(layout.rows // rows, rows)
        pixels = 1 if layout.packed else layout.row_elements // entries // layout.pixel
        geometry = Geometry(
            images=layout.rows // rows // together,
            in_rows=together * rows,
            in_cols=entries * pixels,
            channels=layout.row_elements // entries // pixels,
            kernel_rows=rows,
            kernel_cols=pixels,
            stride_rows=rows,
            stride_cols=pixels,
            dilation_rows=1,
            dilation_cols=1,
            top=0,
            left=0,
            out_rows=together,
            out_cols=entries,
            out_channels=outputs,
            packed=layout.packed,
        )
        target = self._target(
            op, layout_of((layout.rows // rows, entries * outputs), self.config.bus_bytes, layout.format)
        )
        return with_lanes(self._conv_task(index, op, inputs, geometry, target), self.config)

    def _conv_task(
        self,
        index: int,
        op: Conv2D | FullyConnected,
        inputs: tuple[Operand, ...],
        geometry: Geometry,
        target: Operand,
    ) -> ConvTask:
        return ConvTask(
            index,
            op.name,
            inputs,
            target,
            geometry,
            op.weights.reshape(geometry.out_channels, -1),
            op.bias,
            op.weight_zero_point,
            op.input_zero_point,
            op.output_zero_point,
            op.requantize,
            op.clamp,
            op.weights.size,
        )

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
        if layout == source.layout or (layout.dense and source.layout.dense) or flattened:
            if not (layout.dense and source.layout.dense):
                layout = source.layout
            self.operands[name] = Operand(name, source.value, layout)
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


def _most_together(entries: int, rows: int) -> int:
    """The most of a batch's entries, of `rows` rows each, that are one image of a command; a divisor of all."""
    most = max(1, FIELD_LIMIT // rows)
    return next(n for n in range(min(entries, most), 0, -1) if entries % n == 0)


def _always(scale: Requantize) -> Callable[[int], Requantize]:
    """The same scale for windows of any size."""
    return lambda count: scale
