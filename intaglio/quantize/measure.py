"""The cost of quantizing: the error of every quantized tensor, and accuracy, both in onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from intaglio.accuracy import Accuracy, score
from intaglio.dataset import Dataset
from intaglio.quantize.runtime import runtime_session

CLASS_AXES = (1, -1)
"""ONNX has channels first; a model of rank 2, or with channels last, has them at the end."""
REMOVABLE = ("Relu", "Clip")

OUTPUT_SUFFIX, WEIGHT_SUFFIX = "_QuantizeLinear_Input", "_DequantizeLinear_Output"
"""Suffixes that onnxruntime appends to the names of a graph's outputs, and of weights."""

Bar = Callable[[str, int, int], None]


@dataclass(frozen=True)
class QuantizedTensor:
    """A tensor that has integers in the quantized model.

    kind: activation or weight. dtype: int8, uint8 or int16. scale: of all of it, or the least and greatest of its
    channels. low, high: an activation's least and greatest representable number, a weight's least and greatest value. sqnr_db:
    10 log10(sum x^2 / sum (x - x_q)^2), x the float model's and x_q the quantized model's values on the calibration data,
    so that an activation's error holds what the layers before it add; None where either sum is 0.
    """

    name: str
    kind: str
    dtype: str
    channels: int
    scale: tuple[float, float]
    zero_point: int
    low: float
    high: float
    sqnr_db: float | None


@dataclass(frozen=True)
class _Place:
    """integers: the tensor of the quantized model with them."""

    name: str
    integers: str
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int
    is_weight: bool

    def real(self, integers: np.ndarray) -> np.ndarray:
        shape = [1] * integers.ndim
        if self.scale.size > 1:
            shape[self.axis] = self.scale.size
        zero_point = self.zero_point.astype(np.float64).reshape(shape)
        return (integers - zero_point) * self.scale.astype(np.float64).reshape(shape)


def tensor_errors(
    prepared: onnx.ModelProto, quantized: onnx.ModelProto, path: Path, integer: bool, data: Dataset, bar: Bar
) -> list[QuantizedTensor]:
    """Every quantized activation and weight, in the order in which the float model first names them."""
    named = [name for node in prepared.graph.node for name in (*node.input, *node.output)]
    order = {name: at for at, name in reversed(list(enumerate(named)))}
    places = [place for place in _places(quantized) if _comparable(place, prepared)]
    places.sort(key=lambda place: order[place.name])
    activations = [place for place in places if not place.is_weight]
    floats = runtime_session(_with_outputs(prepared, [p.name for p in activations]), path, "none")
    integers = runtime_session(
        _with_outputs(quantized, [p.integers for p in activations]), path, "integer" if integer else "none"
    )
    sums = {place.name: np.zeros(2) for place in places}
    for index in range(len(data)):
        sample = data.sample(index)
        exact = floats.run([p.name for p in activations], sample)
        found = integers.run([p.integers for p in activations], sample)
        for place, x, y in zip(activations, exact, found, strict=True):
            sums[place.name] += _power(x, place.real(y))
        bar("comparing every tensor", index + 1, len(data))
    weights = {w.name: w for model in (prepared, quantized) for w in model.graph.initializer}
    tensors = []
    for place in places:
        if place.is_weight:
            exact, found = (onnx.numpy_helper.to_array(weights[name]) for name in (place.name, place.integers))
            held = place.real(found)
            sums[place.name] += _power(exact, held)
        else:
            limits = np.iinfo(place.zero_point.dtype)
            held = place.real(np.array([limits.min, limits.max]))
        tensors.append(_described(place, float(held.min()), float(held.max()), *sums[place.name]))
    return tensors


def accuracy(model: onnx.ModelProto, path: Path, optimize: str, what: str, data: Dataset, bar: Bar) -> Accuracy:
    """Accuracy of the model's first output in onnxruntime. optimize: see `runtime_session`."""
    session = runtime_session(model, path, optimize)
    name = session.get_outputs()[0].name
    outputs = []
    for index in range(len(data)):
        outputs.append(session.run([name], data.sample(index))[0])
        bar(what, index + 1, len(data))
    return score(np.stack(outputs), data.labels, CLASS_AXES, name)


def float_operators(quantized: onnx.ModelProto, op_types: Collection[str]) -> list[tuple[str, str]]:
    """(name, type) of the operators that compute in float: those not of op_types, those whose result no QuantizeLinear
    takes, and those that read a float which no DequantizeLinear gives. Constants aside."""
    nodes = quantized.graph.node
    dequantized = {n.output[0] for n in nodes if n.op_type == "DequantizeLinear"}
    constants = {w.name for w in quantized.graph.initializer}
    requantized = {n.input[0] for n in nodes if n.op_type == "QuantizeLinear"}
    # A Relu or Clip between an operator and its QuantizeLinear is part of that operator.
    fused = {n.input[0] for n in nodes if n.op_type in REMOVABLE and n.output[0] in requantized}
    stays = []
    for node in nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Constant"):
            continue
        inputs = [name for name in node.input if name and name not in constants]
        whole = all(name in dequantized for name in inputs) or (node.op_type in REMOVABLE and node.input[0] in fused)
        if node.op_type not in op_types or not whole or node.output[0] not in requantized | fused:
            stays.append((node.name or node.output[0], node.op_type))
    return stays


def _places(quantized: onnx.ModelProto) -> list[_Place]:
    weights = {w.name: w for w in quantized.graph.initializer}
    places: dict[str, _Place] = {}
    for node in quantized.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or node.input[1] not in weights:
            continue
        scale, zero_point = (onnx.numpy_helper.to_array(weights[name]) for name in node.input[1:3])
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        if node.op_type == "QuantizeLinear":
            place = _Place(node.input[0].removesuffix(OUTPUT_SUFFIX), node.output[0], scale, zero_point, axis, False)
        elif node.input[0] in weights and zero_point.dtype != np.int32:
            place = _Place(node.output[0].removesuffix(WEIGHT_SUFFIX), node.input[0], scale, zero_point, axis, True)
        else:
            continue
        places.setdefault(place.integers, place)
    return list(places.values())


def _comparable(place: _Place, prepared: onnx.ModelProto) -> bool:
    """False for what the float model does not have, and for a tensor that only a Relu or Clip reads: its range is the
    one behind, so that it is clipped on purpose."""
    if place.is_weight:
        return any(w.name == place.name for w in prepared.graph.initializer)
    readers = [node.op_type for node in prepared.graph.node if place.name in node.input]
    known = {output for node in prepared.graph.node for output in node.output}
    known |= {value.name for value in prepared.graph.input}
    return place.name in known and not (len(readers) == 1 and readers[0] in REMOVABLE)


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    present = {value.name for value in wider.graph.output}
    wider.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in present)
    return wider


def _power(exact: np.ndarray, found: np.ndarray) -> np.ndarray:
    exact = exact.astype(np.float64)
    return np.array([(exact**2).sum(), ((exact - found) ** 2).sum()])


def _described(place: _Place, low: float, high: float, signal: float, noise: float) -> QuantizedTensor:
    return QuantizedTensor(
        place.name,
        "weight" if place.is_weight else "activation",
        str(place.zero_point.dtype),
        place.scale.size,
        (float(place.scale.min()), float(place.scale.max())),
        int(place.zero_point.ravel()[0]),
        low,
        high,
        10 * math.log10(signal / noise) if signal and noise else None,
    )
