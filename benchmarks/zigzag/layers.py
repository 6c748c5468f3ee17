"""The layers that both mappers take: shapes alone, as integer graphs for ours and as ZigZag's loops.

ResNet-18's first convolution, one of its 3x3 and one of its 1x1 convolutions, its last stage's 3x3 and its classifier (K. He
et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1); a depthwise one of MobileNet's second stage (A.
Howard et al., arXiv 1704.04861, table 1); a square matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intaglio.network.graph import Conv2D, FullyConnected, Graph, Operator, Padding, Requantize, Rounding, Tensor


@dataclass(frozen=True)
class Shape:
    """One layer. rows, cols: of the input; pixels of a product's left side are rows. Kernels are square, with `padding` zero
    points on every side; groups: channels, where it is depthwise, else 1. dense: a FullyConnected of `rows` entries."""

    name: str
    rows: int
    cols: int
    channels: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    dense: bool = False

    @property
    def padding(self) -> int:
        return self.kernel // 2

    @property
    def out_rows(self) -> int:
        return (self.rows + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def out_cols(self) -> int:
        return (self.cols + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def weights(self) -> int:
        return self.outputs * (self.channels // self.groups) * self.kernel**2

    @property
    def macs(self) -> int:
        return self.out_rows * self.out_cols * self.weights

    def loops(self) -> dict[str, int]:
        """ZigZag's dimensions: output pixels OX, OY, groups G, output and input channels K, C of a group, kernel FX, FY."""
        return {
            "B": 1,
            "K": self.outputs // self.groups,
            "G": self.groups,
            "OX": self.out_cols,
            "OY": self.out_rows,
            "C": self.channels // self.groups,
            "FX": self.kernel,
            "FY": self.kernel,
        }


LAYERS = [
    Shape("conv1 7x7/2, 3->64 @224", 224, 224, 3, 64, 7, 2),
    Shape("conv2 3x3, 64->64 @56", 56, 56, 64, 64, 3),
    Shape("1x1/2, 64->128 @56", 56, 56, 64, 128, 1, 2),
    Shape("conv5 3x3, 512->512 @7", 7, 7, 512, 512, 3),
    Shape("FC 512->1000", 1, 1, 512, 1000, dense=True),
    Shape("depthwise 3x3, 32 @112", 112, 112, 32, 32, 3, groups=32),
    Shape("GEMM 512x512x512", 512, 1, 512, 512, dense=True),
]


def graph_of(shape: Shape, seed: int = 0) -> Graph:
    """A graph of this one layer, with random weights and scales that bring sums back to about int8."""
    random = np.random.default_rng(seed)
    spread = -int(np.log2(shape.weights / shape.outputs) / 2 + 6)
    multiplier = random.integers(1 << 30, (1 << 31) - 1, shape.outputs)
    rounding = Rounding.SINGLE if shape.dense else Rounding.DOUBLE
    scale = Requantize(multiplier, np.full(shape.outputs, spread), rounding)
    bias = random.integers(-4000, 4000, shape.outputs, np.int32)
    sides = (shape.outputs, shape.kernel, shape.kernel, shape.channels // shape.groups)
    weights = random.integers(-127, 128, sides, np.int8)
    operator: Operator
    source: tuple[int, ...]
    target: tuple[int, ...]
    if shape.dense:
        source, target = (shape.rows, shape.channels), (shape.rows, shape.outputs)
        operator = FullyConnected(
            shape.name, ("input",), ("output",), weights.reshape(shape.outputs, -1), bias, 3, -5, scale, (-128, 127)
        )
    else:
        source = (1, shape.rows, shape.cols, shape.channels)
        target = (1, shape.out_rows, shape.out_cols, shape.outputs)
        padding = Padding(*[shape.padding] * 4)
        strides, ones = (shape.stride, shape.stride), (1, 1)
        operator = Conv2D(
            shape.name,
            ("input",),
            ("output",),
            weights,
            bias,
            strides,
            ones,
            padding,
            3,
            -5,
            scale,
            (-128, 127),
            groups=shape.groups,
        )
    tensors = {name: Tensor(name, of, np.dtype(np.int8)) for name, of in (("input", source), ("output", target))}
    return Graph(shape.name, tensors, ("input",), ("output",), [operator])
