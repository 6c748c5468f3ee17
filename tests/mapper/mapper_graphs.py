"""Hand-made integer graphs for the mapper's tests: random weights and scales that keep outputs lively."""

from __future__ import annotations

import numpy as np

from intaglio.network.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    FullyConnected,
    Graph,
    MaxPool2D,
    Mean,
    Operator,
    Padding,
    Requantize,
    Rescale,
    Reshape,
    Rounding,
    Tensor,
)

SAME = Padding(1, 1, 1, 1)
MACHINES = [
    ("tiny16", []),
    ("tiny16", ["activation_bytes=2048", "activation_banks=2", "weight_bytes=1024", "channel_bytes=256"]),
    (
        "tiny16",
        [
            "rows=3",
            "cols=5",
            "activation_bytes=3072",
            "activation_banks=3",
            "weight_bytes=2048",
            "bus_bytes=4",
            "memory.bytes_per_cycle=1",
            "memory.latency=90",
        ],
    ),
    ("edge64", ["activation_bytes=4096", "weight_bytes=2048"]),
]


class Builder:
    """Adds operators one after another; each method returns the new tensor's name."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        self.tensors: dict[str, Tensor] = {}
        self.operators: list[Operator] = []
        self.inputs: list[str] = []

    def input(self, *shape: int) -> str:
        name = self.tensor(shape)
        self.inputs.append(name)
        return name

    def tensor(self, shape: tuple[int, ...]) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = Tensor(name, tuple(shape), np.dtype(np.int8))
        return name

    def graph(self, *outputs: str) -> Graph:
        return Graph("test", self.tensors, tuple(self.inputs), outputs, self.operators)

    def scale(self, count: int, size: int, rounding: Rounding) -> Requantize:
        """Scales that bring sums of `size` products back to about int8."""
        shift = -int(np.log2(max(size, 1)) / 2 + 6)
        multiplier = self.random.integers(1 << 30, (1 << 31) - 1, count)
        return Requantize(multiplier, shift + self.random.integers(-1, 2, count), rounding)

    def _point(self) -> int:
        return int(self.random.integers(-128, 128))

    def _name(self) -> str:
        return f"op{len(self.operators)}"

    def conv(
        self,
        source: str,
        outputs: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        padding: Padding | None = None,
        groups: int = 1,
        weight_zero_point: int = 0,
    ) -> str:
        images, height, width, channels = self.tensors[source].shape
        channels //= groups
        p = padding or Padding()
        rows, cols = (
            (n + a + b - (k - 1) * d - 1) // s + 1
            for n, a, b, k, d, s in zip(
                (height, width), (p.top, p.left), (p.bottom, p.right), kernel, dilation, stride, strict=True
            )
        )
        name = self.tensor((images, rows, cols, outputs))
        weights = self.random.integers(-127, 128, (outputs, *kernel, channels), np.int8)
        size = kernel[0] * kernel[1] * channels
        self.operators.append(
            Conv2D(
                self._name(),
                (source,),
                (name,),
                weights,
                self.random.integers(-4000, 4000, outputs, np.int32),
                stride,
                dilation,
                p,
                self._point(),
                self._point(),
                self.scale(outputs, size, Rounding.DOUBLE),
                (-128, 127),
                weight_zero_point,
                groups,
            )
        )
        return name

    def dense(self, source: str, outputs: int, shape: tuple[int, ...] | None = None) -> str:
        total = int(np.prod(self.tensors[source].shape))
        inputs = total // self.tensors[source].shape[0]
        name = self.tensor(shape or (total // inputs, outputs))
        self.operators.append(
            FullyConnected(
                self._name(),
                (source,),
                (name,),
                self.random.integers(-127, 128, (outputs, inputs), np.int8),
                self.random.integers(-4000, 4000, outputs, np.int32),
                self._point(),
                self._point(),
                self.scale(1, inputs, Rounding.SINGLE),
                (-128, 127),
            )
        )
        return name

    def add(self, a: str, b: str) -> str:
        name = self.tensor(self.tensors[a].shape)
        one = np.array([0])
        operand = tuple(
            Requantize(self.random.integers(1 << 30, (1 << 31) - 1, 1), one, Rounding.DOUBLE) for _ in range(2)
        )
        out = Requantize(self.random.integers(1 << 30, (1 << 31) - 1, 1), one - 19, Rounding.DOUBLE)
        self.operators.append(
            Add(
                self._name(),
                (a, b),
                (name,),
                (self._point(), self._point()),
                20,
                (operand[0], operand[1]),
                self._point(),
                out,
                (-128, 127),
            )
        )
        return name

    def average(
        self, source: str, window: tuple[int, int], stride: tuple[int, int], padding: Padding | None = None
    ) -> str:
        images, height, width, channels = self.tensors[source].shape
        p = padding or Padding()
        rows = (height + p.top + p.bottom - window[0]) // stride[0] + 1
        cols = (width + p.left + p.right - window[1]) // stride[1] + 1
        name = self.tensor((images, rows, cols, channels))
        self.operators.append(AveragePool2D(self._name(), (source,), (name,), window, stride, p, (-120, 120)))
        return name

    def maximum(
        self,
        source: str,
        window: tuple[int, int],
        stride: tuple[int, int],
        padding: Padding | None = None,
        dilation: tuple[int, int] = (1, 1),
    ) -> str:
        images, height, width, channels = self.tensors[source].shape
        p = padding or Padding()
        rows = (height + p.top + p.bottom - (window[0] - 1) * dilation[0] - 1) // stride[0] + 1
        cols = (width + p.left + p.right - (window[1] - 1) * dilation[1] - 1) // stride[1] + 1
        name = self.tensor((images, rows, cols, channels))
        op = MaxPool2D(self._name(), (source,), (name,), window, stride, p, (-120, 120), dilation)
        self.operators.append(op)
        return name

    def mean(self, source: str) -> str:
        images, height, width, channels = self.tensors[source].shape
        name = self.tensor((images, channels))
        how = Requantize(np.array([(1 << 31) // (height * width)]), np.array([0]), Rounding.DOUBLE)
        self.operators.append(Mean(self._name(), (source,), (name,), self._point(), self._point(), how, (-128, 127)))
        return name

    def rescale(self, source: str) -> str:
        name = self.tensor(self.tensors[source].shape)
        how = Requantize(self.random.integers(1 << 30, (1 << 31) - 1, 1), np.array([0]), Rounding.DOUBLE)
        self.operators.append(Rescale(self._name(), (source,), (name,), self._point(), self._point(), how, (-128, 127)))
        return name

    def reshape(self, source: str, *shape: int) -> str:
        name = self.tensor(shape)
        self.operators.append(Reshape(self._name(), (source,), (name,)))
        return name


def mixed(seed: int) -> Graph:
    b = Builder(seed)
    x = b.conv(b.input(1, 17, 15, 8), 16, (3, 3), (2, 2), padding=SAME)
    y = b.conv(x, 16, (3, 3), padding=SAME, groups=16)
    y = b.conv(y, 16, (1, 1))
    x = b.maximum(b.add(x, y), (3, 3), (2, 2))
    x = b.conv(x, 24, (1, 1), (2, 2))
    return b.graph(b.dense(b.mean(x), 10))
