"""Values of an .onnx file while it is imported, and the order of their elements.

The graph keeps images as NHWC; a file's tensor may be any reshaped and transposed view of it. An order says, for
each element of the file's tensor, which element of the graph's tensor it is.
"""

from __future__ import annotations

import itertools
import math
import operator
from dataclasses import dataclass

import numpy as np

from intaglio.network.graph import FileForm, Padding
from intaglio.network.onnx.file import Node

NO_PADDING = Padding()
INT8, UINT8 = np.dtype(np.int8), np.dtype(np.uint8)


class Unsupported(Exception):
    """Why a node cannot be imported: the reason and the remedy. node: which, if not the present one."""

    def __init__(self, reason: str, remedy: str, node: Node | None = None) -> None:
        super().__init__(reason, remedy)
        self.reason, self.remedy, self.node = reason, remedy, node


@dataclass(frozen=True)
class Unknown:
    """The float result of a node that was refused; inputs: the graph's tensors that it reads."""

    node: Node | None = None
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Constant:
    """A value that is known; see OnnxFile.constants."""

    name: str


@dataclass(frozen=True)
class Weights:
    """A constant after DequantizeLinear: raw integers, float32 scales [1] or [C] along axis, zero points as many."""

    raw: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int


@dataclass(frozen=True)
class Stored:
    """An 8-bit tensor: the graph's tensor and how the file's value relates to it. padding: zero points that the
    file's value has around rows and columns and the graph's does not, from the node `pad`. late: the host's node
    behind which it comes, or ''."""

    tensor: str
    form: FileForm
    padding: Padding = NO_PADDING
    pad: str = ""
    late: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """The file's, padding left out."""
        return self.form.shape

    def order(self) -> np.ndarray:
        """For each element of the file's value the graph's element, counted in row-major order."""
        return self.form.order()

    def moved(self, order: np.ndarray) -> Stored:
        """The same elements in another order and shape."""
        if self.pad:
            raise Unsupported(f"it moves what {self.pad} pads", "pad directly before a convolution")
        return Stored(self.tensor, form_of(order, self.form.dtype), late=self.late)


@dataclass(frozen=True)
class Real:
    """A float value: `stored` after DequantizeLinear (its node: `name` is its output). moves: nodes that only moved
    elements since, each done in `stored` already; `origin` is the value before them. zero_point: the file's."""

    stored: Stored
    scale: np.float32
    zero_point: int
    name: str
    origin: Stored
    moves: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Function:
    """A float value of which each element is a function of the same element of one 8-bit tensor.

    stored: that tensor, moved as the value is. sources: what DequantizeLinear makes of it, once or several times.
    nodes: what computes the value from those, in order; some only move elements, which is done in `stored` already.
    """

    stored: Stored
    sources: tuple[Real, ...]
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Pending:
    """A float value that an operator computes from dequantized ones, until QuantizeLinear says what becomes of it.

    nodes: the operator, then what was taken into it (bias, Relu, Clip). low, high: the clamp in real numbers.
    """

    nodes: tuple[Node, ...]
    operands: tuple[Value, ...]
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Edge:
    """A float (or other) tensor that the host holds under this name. late: the node behind which it comes after
    the accelerator has begun, or '' for the network's inputs and what follows from them alone."""

    name: str
    late: str = ""


Value = Unknown | Constant | Weights | Stored | Real | Function | Pending | Edge


def identity(shape: tuple[int, ...], dtype: np.dtype) -> FileForm:
    """The form of a tensor that the graph holds in the file's order."""
    return FileForm(shape, tuple(range(len(shape))), shape, dtype)


def channels_last(shape: tuple[int, ...], dtype: np.dtype) -> FileForm:
    """The form of a file's [N, C, H, W] that the graph holds as [N, H, W, C]."""
    n, c, h, w = shape
    return FileForm((n, h, w, c), (0, 3, 1, 2), shape, dtype)


def form_of(order: np.ndarray, dtype: np.dtype) -> FileForm:
    """The form of an order. Unsupported where it is no reshape, transpose and reshape."""
    if np.array_equal(order.reshape(-1), np.arange(order.size)):
        return identity(order.shape, dtype)
    parts: list[tuple[int, int]] = []
    for axis in range(order.ndim):
        line = order[tuple(slice(None) if a == axis else 0 for a in range(order.ndim))]
        parts += reversed(_strides(line - line.flat[0]))
    places = sorted(range(len(parts)), key=lambda i: -parts[i][1])
    rank = {place: i for i, place in enumerate(places)}
    form = FileForm(
        tuple(parts[i][0] for i in places), tuple(rank[i] for i in range(len(parts))), tuple(order.shape), dtype
    )
    if math.prod(form.unfolded) != order.size or not np.array_equal(form.order(), order):
        raise Unsupported("its elements would have to move in memory", "leave out the reshape or transpose before it")
    return form


def _strides(line: np.ndarray) -> list[tuple[int, int]]:
    """(length, stride) of the nested loops that walk a line of indices, innermost first."""
    parts: list[tuple[int, int]] = []
    while len(line) > 1:
        stride = int(line[1])
        steps = np.arange(len(line)) * stride
        agree = int(np.argmin(line == steps)) if (line != steps).any() else len(line)
        if stride <= 0 or len(line) % agree:
            return [(0, 0)]
        parts.append((agree, stride))
        line = line[::agree]
    return parts


def is_channels_last(order: np.ndarray) -> bool:
    """True if an order [N, C, H, W] is the graph's NHWC."""
    n, c, h, w = order.shape
    wanted = np.arange(order.size).reshape(n, h, w, c).transpose(0, 3, 1, 2)
    return bool(np.array_equal(order, wanted))


def image_shape(form: FileForm) -> tuple[int, ...] | None:
    """[N, H, W, C] where the graph's NHWC is behind a file's [N, C, H, W], else None. Elements are looked at, all of
    them, only where the form is not plainly an image's."""
    if len(form.shape) != 4:
        return None
    n, c, h, w = form.shape
    if form == identity(form.shape, form.dtype):
        found = c == 1 or h * w == 1
    else:
        found = form == channels_last(form.shape, form.dtype) or is_channels_last(form.order())
    return (n, h, w, c) if found else None


def graph_shape(form: FileForm) -> tuple[int, ...]:
    """The shape that the graph gives a tensor of the file."""
    return image_shape(form) or form.shape or (1,)


def same_order(a: FileForm, b: FileForm) -> bool:
    """True if two tensors of one shape in the file have their elements in the same order in the graph."""
    plainly = (a.unfolded, a.permutation, a.shape) == (b.unfolded, b.permutation, b.shape)
    return plainly or np.array_equal(a.order(), b.order())


def refines(parts: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """True if axes are those of a shape, some of them in parts."""
    ends = set(itertools.accumulate(parts, operator.mul, initial=1))
    return all(end in ends for end in itertools.accumulate(shape, operator.mul, initial=1))
