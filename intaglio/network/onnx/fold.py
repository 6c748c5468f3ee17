"""Constant folding of an .onnx file: what is known before it runs, by onnx's reference evaluator."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.network.onnx.file import MAX_FOLDED, Node, infer, onnx_module

FOLDABLE = {
    "Abs",
    "Add",
    "And",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "ConstantOfShape",
    "Div",
    "Equal",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Greater",
    "Identity",
    "Less",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
    "Where",
}
"""Operators that compute shapes and rearrange constants; QuantizeLinear and DequantizeLinear are never folded."""
PASSES = 4
"""Shapes may follow from folded values and the other way round."""


def fold(
    path: Path, model: Any, nodes: list[Node], constants: dict[str, np.ndarray], strict: bool
) -> tuple[dict[str, tuple[int, ...]], dict[str, np.dtype]]:
    """Adds to constants what follows from them and from shapes; the inferred shapes and types of every value."""
    onnx = onnx_module()
    given = {tensor.name for tensor in model.graph.initializer}
    for _ in range(PASSES):
        shapes, types = infer(path, model, strict)
        found = False
        for node in nodes:
            if node.op in FOLDABLE and len(node.outputs) == 1 and node.outputs[0] not in constants:
                value = _evaluate(node, constants, shapes, types, model.opset_import)
                if value is not None:
                    constants[node.outputs[0]] = value
                    found = True
        if not found:
            break
        made = {name for name in constants if name not in given}
        kept = [node for node in model.graph.node if not made.issuperset(node.output)]
        del model.graph.node[:]
        model.graph.node.extend(kept)
        for name in made:
            model.graph.initializer.append(onnx.numpy_helper.from_array(constants[name], name))
        given |= made
    for name, value in constants.items():
        shapes[name], types[name] = value.shape, value.dtype
    return shapes, types


def _evaluate(
    node: Node,
    constants: dict[str, np.ndarray],
    shapes: dict[str, tuple[int, ...]],
    types: dict[str, np.dtype],
    opsets: Any,
) -> np.ndarray | None:
    """The node's value, None where it is not known or too large."""
    if node.op in ("Shape", "Size"):
        shape = shapes.get(node.inputs[0])
        if shape is None:
            return None
        if node.op == "Size":
            return np.array(math.prod(shape), np.int64)
        rank = len(shape)
        ends = slice(node.attributes.get("start", 0), node.attributes.get("end", rank))
        return np.array(shape[ends], np.int64)
    if any(name and name not in constants for name in node.inputs):
        return None
    size = math.prod(shapes[node.outputs[0]]) if node.outputs[0] in shapes else MAX_FOLDED + 1
    if max([size, *(constants[name].size for name in node.inputs if name)]) > MAX_FOLDED:
        return None
    onnx = onnx_module()
    from onnx.reference import ReferenceEvaluator

    values = {name: constants[name] for name in node.inputs if name}
    types_of = onnx.helper.np_dtype_to_tensor_dtype
    try:
        graph = onnx.helper.make_graph(
            [node.proto],
            "constant",
            [onnx.helper.make_tensor_value_info(n, types_of(v.dtype), v.shape) for n, v in values.items()],
            [onnx.helper.make_empty_tensor_value_info(node.outputs[0])],
        )
        evaluator: Any = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opsets))
        with np.errstate(all="ignore"):
            result = evaluator.run(None, values)[0]
    except Exception:  # whatever it cannot compute is not a constant for us; its reader is refused by name
        return None
    return np.asarray(result)
