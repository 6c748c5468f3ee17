"""TFLite's operators as operators of the integer graph: one rule each, after LiteRT's kernels' Prepare.

A rule takes the scope and the file's operator and returns our operator, or several (None for one that is folded into
another), or raises Unsupported. Sources are named by their path in google-ai-edge/LiteRT `tflite/kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from intaglio.network.graph import AveragePool2D, MaxPool2D, Operator
from intaglio.network.tflite.blocks import RULES as BLOCKS
from intaglio.network.tflite.elementwise import add, dequantize, quantize, relu, softmax
from intaglio.network.tflite.file import FileOperator
from intaglio.network.tflite.moves import expand_dims, pad, reshape, squeeze
from intaglio.network.tflite.pools import mean, pool_2d
from intaglio.network.tflite.products import conv_2d, depthwise_conv_2d, fully_connected
from intaglio.network.tflite.tables import RULES as TABLES
from intaglio.network.tflite.tensors import Scope
from intaglio.network.tflite.transpose_conv import transpose_conv
from intaglio.network.tflite.views import RULES as VIEWS

Ruled = Operator | list[Operator] | None
"""Results of a rule: an operator, or one for each output that is read; None for one that is folded into another."""
RULES: dict[str, Callable[[Scope, FileOperator], Ruled]] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "FULLY_CONNECTED": fully_connected,
    "TRANSPOSE_CONV": transpose_conv,
    "ADD": add,
    "AVERAGE_POOL_2D": partial(pool_2d, AveragePool2D),
    "MAX_POOL_2D": partial(pool_2d, MaxPool2D),
    "MEAN": mean,
    "QUANTIZE": quantize,
    "DEQUANTIZE": dequantize,
    "RELU": relu(1),
    "RELU_N1_TO_1": relu(2),
    "RELU6": relu(3),
    "SOFTMAX": softmax,
    "RESHAPE": reshape,
    "SQUEEZE": squeeze,
    "EXPAND_DIMS": expand_dims,
    "PAD": pad,
    **VIEWS,
    **BLOCKS,
    **TABLES,
}
"""Operator of the file -> its rule; several operators of ours for one that has several outputs. What is not here is refused by name."""
