"""Constant folding of a .tflite file: shapes, and what follows from them and from constants, as LiteRT's kernels compute it.

An operator that is not folded stays where it is: its rule, or the refusal of whoever reads it, tells the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from intaglio.network.affine import dequantize, quantize
from intaglio.network.graph import Quantization
from intaglio.network.tflite.file import ITEM_TYPES, FileOperator, FileTensor, ModelFile

MAX_FOLDED = 2**22
"""Elements of one result, and of all that is folded in a file."""
INTEGERS = ("INT32", "INT64")
PLAIN = (*INTEGERS, "FLOAT32")
"""Types whose elements mean the same in every tensor."""


class NotFolded(Exception):
    """The operator is not one that is evaluated here, with these inputs."""


def fold(model: ModelFile) -> tuple[ModelFile, frozenset[int]]:
    """The file without the operators that are constants, their outputs with data; and those operators' indices."""
    tensors = list(model.tensors)
    folded: set[int] = set()
    room = MAX_FOLDED
    for op in model.operators:
        if op.code not in EVALUATED or len(op.outputs) != 1 or op.outputs[0] < 0:
            continue
        target = tensors[op.outputs[0]]
        if target.unusual or target.type not in ITEM_TYPES:
            continue
        try:
            value = _evaluated(op, [tensors[i] if i >= 0 else None for i in op.inputs], target, room)
        except NotFolded:
            continue
        room -= value.size
        tensors[target.index] = replace(target, shape=value.shape, data=value)
        folded.add(op.index)
    kept = [op for op in model.operators if op.index not in folded]
    return replace(model, tensors=tensors, operators=kept), frozenset(folded)


def _evaluated(op: FileOperator, inputs: Sequence[FileTensor | None], target: FileTensor, room: int) -> np.ndarray:
    """The output's value, of its type."""
    evaluate = EVALUATED[op.code]
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(evaluate(_Given(op, inputs, target, room)))
    except (ValueError, IndexError, OverflowError) as error:  # shapes or axes that do not fit: LiteRT refuses them too
        raise NotFolded from error
    if value.dtype != ITEM_TYPES[target.type] or value.size > room:
        raise NotFolded
    return value


class _Given:
    """One operator with its operands. room: elements that its result may have."""

    def __init__(self, op: FileOperator, tensors: Sequence[FileTensor | None], target: FileTensor, room: int) -> None:
        self.op, self.tensors, self.target, self.room = op, tensors, target, room

    def tensor(self, position: int) -> FileTensor:
        tensor = self.tensors[position] if position < len(self.tensors) else None
        if tensor is None or tensor.unusual:
            raise NotFolded
        return tensor

    def value(self, position: int, types: Sequence[str] = PLAIN) -> np.ndarray:
        """A constant operand of one of these types."""
        tensor = self.tensor(position)
        if tensor.data is None or tensor.type not in types or tensor.data.size > MAX_FOLDED:
            raise NotFolded
        return tensor.data

    def values(self, types: Sequence[str] = PLAIN) -> list[np.ndarray]:
        """All operands, of one type."""
        found = [self.value(i, types) for i in range(len(self.tensors))]
        if len({a.dtype for a in found}) != 1 or sum(a.size for a in found) > self.room:
            raise NotFolded
        return found

    def integers(self, position: int) -> list[int]:
        """A constant operand such as axes or a shape."""
        found = self.value(position, INTEGERS)
        if found.size > 64:
            raise NotFolded
        return [int(v) for v in found.reshape(-1)]

    def integer(self, position: int) -> int:
        found = self.integers(position)
        if len(found) != 1:
            raise NotFolded
        return found[0]

    def option(self, name: str) -> Any:
        """An option, 0 where the file has no options."""
        return (self.op.options or {}).get(name, 0)

    def expect(self, *counts: int) -> None:
        """Leaves an operator with another number of inputs."""
        if len(self.tensors) not in counts:
            raise NotFolded

    def without(self, *options: str) -> None:
        """Leaves an operator that has one of these options."""
        if any(self.option(name) for name in options):
            raise NotFolded


def _shape(x: _Given) -> np.ndarray:
    shape = x.tensor(0).shape
    if x.target.type not in INTEGERS or any(not 0 < d < 2**31 for d in shape):
        raise NotFolded
    return np.array(shape, ITEM_TYPES[x.target.type])


def _strided_slice(x: _Given) -> np.ndarray:
    """strided_slice.cc, without ellipsis, new axes and offsets; a shrunk axis's one element must exist."""
    x.expect(4)
    x.without("EllipsisMask", "NewAxisMask", "Offset")
    value, (begin, end, stride) = x.value(0), (x.integers(i) for i in (1, 2, 3))
    if not len(begin) == len(end) == len(stride) <= value.ndim or 0 in stride:
        raise NotFolded
    parts: list[int | slice] = []
    for axis, (first, last, step) in enumerate(zip(begin, end, stride, strict=True)):
        bit = 1 << axis
        if x.option("ShrinkAxisMask") & bit:
            if step < 0 or x.option("BeginMask") & bit:
                raise NotFolded
            parts.append(first)
        else:
            open_first, open_last = x.option("BeginMask") & bit, x.option("EndMask") & bit
            parts.append(slice(None if open_first else first, None if open_last else last, step))
    return np.asarray(value[tuple(parts)])


def _slice(x: _Given) -> np.ndarray:
    """slice.cc: size -1 is all that is left."""
    x.expect(3)
    value, begin, size = x.value(0), x.integers(1), x.integers(2)
    if not len(begin) == len(size) == value.ndim:
        raise NotFolded
    parts = []
    for length, first, count in zip(value.shape, begin, size, strict=True):
        count = length - first if count == -1 else count
        if not 0 <= first <= first + count <= length:
            raise NotFolded
        parts.append(slice(first, first + count))
    return np.asarray(value[tuple(parts)])


def _pack(x: _Given) -> np.ndarray:
    if x.option("ValuesCount") != len(x.tensors):
        raise NotFolded
    return np.stack(x.values(), x.option("Axis"))


def _concatenation(x: _Given) -> np.ndarray:
    x.without("FusedActivationFunction")
    return np.concatenate(x.values(), x.option("Axis"))


def _gather(x: _Given) -> np.ndarray:
    x.expect(2)
    x.without("BatchDims")
    value, at, axis = x.value(0), x.value(1, INTEGERS), int(x.option("Axis"))
    if not -value.ndim <= axis < value.ndim or (at.size and (at.min() < 0 or at.max() >= value.shape[axis])):
        raise NotFolded
    if at.size * (value.size // value.shape[axis] if value.size else 0) > x.room:
        raise NotFolded
    return np.take(value, at, axis)


def _cast(x: _Given) -> np.ndarray:
    x.expect(1)
    if x.target.type not in INTEGERS:
        raise NotFolded
    return x.value(0, INTEGERS).astype(ITEM_TYPES[x.target.type])


def _binary(compute: Callable[[np.ndarray, np.ndarray], Any]) -> Callable[[_Given], np.ndarray]:
    """Element-wise with broadcasting, modulo 2**32 or 2**64."""

    def rule(x: _Given) -> np.ndarray:
        x.expect(2)
        x.without("FusedActivationFunction")
        a, b = x.values(INTEGERS)
        if math.prod(np.broadcast_shapes(a.shape, b.shape)) > x.room:
            raise NotFolded
        return np.asarray(compute(a, b), a.dtype)

    return rule


def _floor_div(x: _Given) -> np.ndarray:
    """floor_div.cc; a quotient by 0, or one that no int32 holds, is refused there or undefined."""
    x.expect(2)
    a, b = x.value(0, ("INT32",)), x.value(1, ("INT32",))
    if math.prod(np.broadcast_shapes(a.shape, b.shape)) > x.room or (b == 0).any():
        raise NotFolded
    if (b == -1).any() and (a == np.iinfo(np.int32).min).any():
        raise NotFolded
    return np.asarray(np.floor_divide(a, b), np.int32)


def _reduce_prod(x: _Given) -> np.ndarray:
    x.expect(2)
    value, axes = x.value(0, INTEGERS), x.integers(1)
    positive = {axis + value.ndim if axis < 0 else axis for axis in axes}
    if any(not 0 <= axis < value.ndim for axis in positive):
        raise NotFolded
    keep = bool(x.option("KeepDims"))
    return np.asarray(np.prod(value, axis=tuple(sorted(positive)), dtype=value.dtype, keepdims=keep))


def _moved(x: _Given) -> np.ndarray:
    """The operand of an operator that gives the same elements another shape."""
    value = x.value(0, tuple(ITEM_TYPES))
    if value.size > x.room:
        raise NotFolded
    return value


def _reshape(x: _Given) -> np.ndarray:
    x.expect(1, 2)
    target = x.integers(1) if len(x.tensors) == 2 and x.tensors[1] is not None else list(x.option("NewShape") or ())
    if target.count(-1) > 1 or any(d < -1 for d in target):
        raise NotFolded
    return _moved(x).reshape(target)


def _squeeze(x: _Given) -> np.ndarray:
    x.expect(1)
    axes = tuple(x.option("SqueezeDims") or ())
    return np.squeeze(_moved(x), axes or None)


def _expand_dims(x: _Given) -> np.ndarray:
    x.expect(2)
    return np.expand_dims(_moved(x), x.integer(1))


def _fill(x: _Given) -> np.ndarray:
    x.expect(2)
    shape, value = x.integers(0), x.value(1)
    if value.ndim or min(shape, default=1) < 0 or math.prod(shape) > x.room:
        raise NotFolded
    return np.full(shape, value)


def _range(x: _Given) -> np.ndarray:
    """range.cc, of integers; one that would be empty by its sign is refused there."""
    x.expect(3)
    start, limit, step = (x.integer(i) for i in range(3))
    if step == 0 or (limit - start) * step < 0 or len(range(start, limit, step)) > x.room:
        raise NotFolded
    return np.array(range(start, limit, step), x.values(INTEGERS)[0].dtype)


def _dequantize(x: _Given) -> np.ndarray:
    """dequantize.cc: of float16, and of 8-bit integers with one scale."""
    x.expect(1)
    tensor = x.tensor(0)
    if tensor.data is None or math.prod(tensor.shape) > x.room:
        raise NotFolded
    if tensor.type == "FLOAT16":
        return np.frombuffer(tensor.data.tobytes(), "<f2").reshape(tensor.shape).astype(np.float32)
    return dequantize(x.value(0, ("INT8", "UINT8")), _one_scale(tensor))


def _quantize(x: _Given) -> np.ndarray:
    """quantize.cc: float32 to int8 with one scale."""
    x.expect(1)
    value = x.value(0, ("FLOAT32",))
    if x.target.type != "INT8" or not np.isfinite(value).all() or value.size > x.room:
        raise NotFolded
    return np.asarray(quantize(value, _one_scale(x.target)))


def _one_scale(tensor: FileTensor) -> Quantization:
    found = tensor.quantization
    if found is None or len(found.scale) != 1 or len(found.zero_point) != 1:
        raise NotFolded
    low, high = (0, 255) if tensor.type == "UINT8" else (-128, 127)
    if not (np.isfinite(found.scale[0]) and found.scale[0] > 0 and low <= found.zero_point[0] <= high):
        raise NotFolded
    return Quantization(found.scale, found.zero_point)


EVALUATED: dict[str, Callable[[_Given], np.ndarray]] = {
    "SHAPE": _shape,
    "STRIDED_SLICE": _strided_slice,
    "SLICE": _slice,
    "PACK": _pack,
    "CONCATENATION": _concatenation,
    "GATHER": _gather,
    "CAST": _cast,
    "ADD": _binary(np.add),
    "SUB": _binary(np.subtract),
    "MUL": _binary(np.multiply),
    "FLOOR_DIV": _floor_div,
    "REDUCE_PROD": _reduce_prod,
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
    "EXPAND_DIMS": _expand_dims,
    "FILL": _fill,
    "RANGE": _range,
    "DEQUANTIZE": _dequantize,
    "QUANTIZE": _quantize,
}
"""Operator of the file -> its value."""
