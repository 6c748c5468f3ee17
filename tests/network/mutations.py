"""Random changes of single fields of model files: protobuf messages and flatbuffers' object trees. One generator, one result."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from google.protobuf.descriptor import FieldDescriptor as Field

NUMBERS = [-(2**31), -129, -2, -1, 0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 2**15, 2**20, 2**31 - 1]
REALS = [0.0, -1.0, 1e-45, 1e-30, 0.5, 1e30, float("inf"), float("-inf"), float("nan")]
WORDS = [
    "",
    "x",
    "y",
    "a\0b",
    "..",
    "/etc",
    "\u202e\x1b[31m",
    "Conv",
    "QLinearConv",
    "com.microsoft",
    "ai.onnx",
    "axis",
    "w" * 300,
]


def mutate_message(message: Any, rng: np.random.Generator) -> str:
    """Changes one field of a protobuf message, deep inside; says which."""
    path = []
    while True:
        fields = [(field, value) for field, value in message.ListFields() if field.name != "doc_string"]
        absent = [
            f
            for f in message.DESCRIPTOR.fields
            if f.name not in {g.name for g, _ in fields} and f.type != Field.TYPE_MESSAGE
        ]
        if absent and rng.random() < 0.08:
            field = absent[rng.integers(len(absent))]
            path.append(f"+{field.name}")
            _set(message, field, rng)
            return ".".join(path)
        if not fields:
            return ".".join(path)
        field, value = fields[rng.integers(len(fields))]
        path.append(field.name)
        if field.type == Field.TYPE_MESSAGE:
            if rng.random() < 0.06:
                message.ClearField(field.name)
                return ".".join([*path, "cleared"])
            if not field.is_repeated:
                message = value
                continue
            at = int(rng.integers(len(value)))
            path[-1] += f"[{at}]"
            choice = rng.random()
            if choice < 0.08:
                del value[at]
                return ".".join([*path, "removed"])
            if choice < 0.14:
                value.add().CopyFrom(value[at])
                return ".".join([*path, "doubled"])
            if choice < 0.2:
                value[at].CopyFrom(value[int(rng.integers(len(value)))])
                return ".".join([*path, "replaced"])
            message = value[at]
            continue
        if rng.random() < 0.15:
            message.ClearField(field.name)
            return ".".join([*path, "cleared"])
        _set(message, field, rng)
        return ".".join(path)


def _set(message: Any, field: Any, rng: np.random.Generator) -> None:
    new = _scalar(field, rng)
    try:
        if not field.is_repeated:
            setattr(message, field.name, new)
            return
        values = getattr(message, field.name)
        if len(values) and rng.random() < 0.7:
            values[int(rng.integers(len(values)))] = new
        else:
            values.append(new)
    except (ValueError, TypeError, OverflowError):
        message.ClearField(field.name)


def _scalar(field: Any, rng: np.random.Generator) -> Any:
    if field.type == Field.TYPE_STRING:
        return WORDS[rng.integers(len(WORDS))]
    if field.type == Field.TYPE_BYTES:
        return rng.integers(0, 256, int(rng.integers(0, 40)), np.uint8).tobytes()
    if field.type in (Field.TYPE_FLOAT, Field.TYPE_DOUBLE):
        return REALS[rng.integers(len(REALS))]
    if field.type in (Field.TYPE_UINT64, Field.TYPE_UINT32):
        return abs(NUMBERS[rng.integers(len(NUMBERS))])
    return NUMBERS[rng.integers(len(NUMBERS))]


def mutate_tree(model: Any, rng: np.random.Generator) -> str:
    """Changes one attribute of a ModelT, deep inside; says which."""
    node, path = model, []
    while True:
        names = [name for name, value in vars(node).items() if value is not None] or list(vars(node))
        if node is model and rng.random() < 0.9:
            names = ["subgraphs"] if rng.random() < 0.7 else ["operatorCodes", "buffers"]
        if rng.random() < 0.05:
            names = list(vars(node))
        if not names:
            return ".".join(path)
        name = names[rng.integers(len(names))]
        value = getattr(node, name)
        path.append(name)
        if value is None or isinstance(value, bytes | str):
            setattr(node, name, rng.choice([None, b"", b"a\0b", "\u202e".encode(), b"Flex"]))
            return ".".join(path)
        if isinstance(value, bool):
            setattr(node, name, not value)
            return ".".join(path)
        if isinstance(value, int | np.integer):
            setattr(node, name, NUMBERS[rng.integers(len(NUMBERS))])
            return ".".join(path)
        if isinstance(value, float):
            setattr(node, name, REALS[rng.integers(len(REALS))])
            return ".".join(path)
        if isinstance(value, np.ndarray):
            changed = list(value.tolist())
            _change_list(changed, rng, REALS if value.dtype.kind == "f" else NUMBERS)
            setattr(node, name, changed)
            return ".".join(path)
        if isinstance(value, list):
            if not value or not hasattr(value[0], "__dict__"):
                _change_list(value, rng, NUMBERS)
                return ".".join(path)
            at = int(rng.integers(len(value)))
            path[-1] += f"[{at}]"
            choice = rng.random()
            if choice < 0.03:
                del value[at]
                return ".".join([*path, "removed"])
            if choice < 0.06:
                value.append(value[at])
                return ".".join([*path, "doubled"])
            node = value[at]
            continue
        if rng.random() < 0.08:
            setattr(node, name, None)
            return ".".join([*path, "cleared"])
        node = value


def _change_list(values: list[Any], rng: np.random.Generator, pool: list[Any]) -> None:
    choice = rng.random()
    if not values or choice < 0.2:
        values.append(pool[rng.integers(len(pool))])
    elif choice < 0.35:
        del values[int(rng.integers(len(values)))]
    else:
        values[int(rng.integers(len(values)))] = pool[rng.integers(len(pool))]


def packed(model: Any) -> bytes | None:
    """The file of a ModelT; None where LiteRT's writer cannot hold a value."""
    builder = flatbuffers.Builder(1024)
    try:
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    except Exception:  # a number that its field has no room for
        return None
    return bytes(builder.Output())


def unpacked(content: bytes) -> Any:
    return schema.ModelT.InitFromPackedBuf(content, 0)
