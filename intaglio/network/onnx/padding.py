"""Zero points around rows and columns, left to the operator behind them: a convolution takes them in."""

from __future__ import annotations

import dataclasses

from intaglio.network.graph import Padding
from intaglio.network.onnx.file import Node
from intaglio.network.onnx.places import pad_amounts, pad_value
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import UINT8, Real, Stored, image_shape

LARGEST = 2**16


def padded(scope: Scope, node: Node, value: Stored | Real) -> Stored | Real | None:
    """The value with a Pad's zeros around its rows and columns; None where the Pad does anything else."""
    stored = value if isinstance(value, Stored) else value.stored
    mode = node.attributes.get("mode", "constant")
    if stored.pad or mode != "constant" or image_shape(stored.form) is None:
        return None
    amounts = pad_amounts(scope, node, stored.shape)
    if any(a or b for a, b in amounts[:2]) or not all(0 <= n < LARGEST for pair in amounts for n in pair):
        return None
    fill = pad_value(scope, node)
    wanted = 0
    if isinstance(value, Stored):
        quantization = scope.tensors[stored.tensor].quantization
        if quantization is None:
            return None
        wanted = int(quantization.zero_point[0]) + 128 * (stored.form.dtype == UINT8)
    if fill.size != 1 or fill.reshape(-1)[0] != wanted:
        return None
    around = dataclasses.replace(stored, padding=Padding(*amounts[2], *amounts[3]), pad=node.label)
    if isinstance(value, Stored):
        return around
    return dataclasses.replace(value, stored=around, origin=around, moves=(), name=node.outputs[0])
