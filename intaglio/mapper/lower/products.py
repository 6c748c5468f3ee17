"""Convolutions and fully connected layers as tasks of the array."""

from __future__ import annotations

from intaglio.machine.config import Config
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.geometry import Geometry
from intaglio.mapper.tasks.grouped import sliced
from intaglio.mapper.tasks.split import with_lanes
from intaglio.mapper.tasks.task import FIELD_LIMIT, Operand
from intaglio.network.graph import Conv2D, FullyConnected, Graph
from intaglio.program.layout import Layout, layout_of


def product(
    graph: Graph, config: Config, index: int, op: Conv2D | FullyConnected, source: Operand, target: Operand
) -> ConvTask:
    """The task of an operator with weights. source: in the rows of its shape; of a fully connected layer in any of which
    an entry of the batch is a whole number, or which are a whole number of entries."""
    if isinstance(op, FullyConnected):
        return with_lanes(_task(index, op, source, _rows(op, source.layout), target), config)
    task = _task(index, op, source, _windows(graph, op, source.layout), target)
    return with_lanes(task, config) if op.groups == 1 else sliced(task, op.groups, config)


def product_layout(graph: Graph, config: Config, op: Conv2D | FullyConnected, source: Layout) -> Layout:
    """The layout of its output where that lies by itself."""
    if isinstance(op, Conv2D):
        return layout_of(graph.tensors[op.outputs[0]].shape, config.bus_bytes, source.format)
    rows, entries = _entries(op, source)
    return layout_of((source.rows // rows, entries * len(op.weights)), config.bus_bytes, source.format)


def splits_evenly(op: Conv2D | FullyConnected, source: Layout) -> bool:
    """True where each entry of the batch of a fully connected layer has whole pixels."""
    return isinstance(op, Conv2D) or op.weights.shape[1] % source.pixel == 0


def _windows(graph: Graph, op: Conv2D, source: Layout) -> Geometry:
    read, made = (graph.tensors[name].shape for name in (op.inputs[0], op.outputs[0]))
    outputs, rows, cols, channels = op.weights.shape
    return Geometry(
        images=read[0],
        in_rows=read[1],
        in_cols=read[2],
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
        out_rows=made[1],
        out_cols=made[2],
        out_channels=outputs,
        packed=source.packed,
    )


def _entries(op: FullyConnected, source: Layout) -> tuple[int, int]:
    """Rows that an entry of the batch takes, and entries that a row holds."""
    length = op.weights.shape[1]
    return max(length // source.row_elements, 1), max(source.row_elements // length, 1)


def _rows(op: FullyConnected, source: Layout) -> Geometry:
    """A window of whole rows of the layout for each entry of the batch; or, where a row holds several entries, a convolution of
    one kernel row. A row is one pixel, where pixels do not lie apart."""
    rows, entries = _entries(op, source)
    together = _most_together(source.rows // rows, rows)
    pixels = 1 if source.packed else source.row_elements // entries // source.pixel
    return Geometry(
        images=source.rows // rows // together,
        in_rows=together * rows,
        in_cols=entries * pixels,
        channels=source.row_elements // entries // pixels,
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
        out_channels=len(op.weights),
        packed=source.packed,
    )


def _most_together(entries: int, rows: int) -> int:
    """The most of a batch's entries, of `rows` rows each, that are one image of a command; a divisor of all."""
    most = max(1, FIELD_LIMIT // rows)
    return next(n for n in range(min(entries, most), 0, -1) if entries % n == 0)


def _task(index: int, op: Conv2D | FullyConnected, source: Operand, geometry: Geometry, target: Operand) -> ConvTask:
    return ConvTask(
        index,
        op.name,
        (source,),
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
