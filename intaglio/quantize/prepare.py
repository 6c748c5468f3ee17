"""A float ONNX model made ready for quantizing: constants folded, batch norm folded, means as pools, names, shapes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import onnx.shape_inference

from intaglio.errors import InputError
from intaglio.network.onnx.model import opset_of
from intaglio.quantize.model_file import first_line
from intaglio.quantize.opset import converted
from intaglio.quantize.runtime import runtime_session
from intaglio.unfinished import temporary_folder

OPSET, OPSET_16_BITS = 13, 21
"""DequantizeLinear has an axis since 13, and takes 16 bits since 21."""


def prepare(model: onnx.ModelProto, path: Path, opset: int) -> onnx.ModelProto:
    """A model that computes the same (up to float rounding) with at least this opset. path: for messages.

    onnxruntime's basic optimizations fold constants and Conv + BatchNormalization, drop Identity and Dropout and turn
    MatMul + Add into Gemm; then Gemm + BatchNormalization is folded, Gemms get a plain form, and a mean over rows and columns becomes a
    GlobalAveragePool, which has an integer form.
    """
    if opset_of(model) < opset:
        model = converted(model, path, opset)
    try:
        model = _optimized(onnx.shape_inference.infer_shapes(model, data_prop=True), path)
        fold_batch_norm(model)
        plain_gemms(model)
        mean_to_pool(model)
        _drop_unused_weights(model)
        _name_nodes(model)
        _drop_unused_domains(model)
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except InputError:
        raise
    except Exception as error:  # onnx raises anything on a model whose parts contradict each other
        raise InputError(
            f"{path}: cannot be prepared for quantizing ({first_line(error)}); simplify the model (onnxsim), or export it again"
        ) from None


def _optimized(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    with temporary_folder() as folder:
        target = folder / "optimized.onnx"
        runtime_session(model, path, optimize="basic", save_to=target)
        return onnx.load(target)


def fold_batch_norm(model: onnx.ModelProto) -> None:
    """Gemm followed by BatchNormalization becomes one Gemm; computed in float64, rounded once.

    y = gain * (alpha * A B + beta * C - mean) + shift, gain = scale / sqrt(variance + epsilon).
    """
    graph = model.graph
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    outputs = {value.name for value in graph.output}
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        gemm = made_by.get(norm.input[0])
        if gemm is None or gemm.op_type != "Gemm" or norm.input[0] in outputs:
            continue
        readers = [node for node in graph.node if norm.input[0] in node.input]
        constants = [*gemm.input[1:], *norm.input[1:]]
        if len(readers) != 1 or not all(name in weights for name in constants if name):
            continue
        scale, shift, mean, variance = (weights[name].astype(np.float64) for name in norm.input[1:5])
        settings = {a.name: onnx.helper.get_attribute_value(a) for a in gemm.attribute}
        epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
        gain = scale / np.sqrt(variance + epsilon)
        matrix = weights[gemm.input[1]].astype(np.float64) * settings.get("alpha", 1.0)
        bias = np.zeros(len(gain))
        if len(gemm.input) > 2 and gemm.input[2]:
            bias = np.broadcast_to(
                weights[gemm.input[2]].astype(np.float64) * settings.get("beta", 1.0), (1, len(gain))
            )[0]
        matrix = matrix * (gain[:, None] if settings.get("transB") else gain)
        folded = [f"{norm.output[0]}.weight", f"{norm.output[0]}.bias"]
        for name, array in zip(folded, (matrix, gain * (bias - mean) + shift), strict=True):
            graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
        transposes = {key: settings[key] for key in ("transA", "transB") if key in settings}
        new = onnx.helper.make_node("Gemm", [gemm.input[0], *folded], [norm.output[0]], gemm.name, **transposes)
        norm.CopyFrom(new)
        graph.node.remove(gemm)


def plain_gemms(model: onnx.ModelProto) -> None:
    """Gemms by constants as onnxruntime's quantizer takes them: alpha and beta folded (it loses beta), a bias of one dimension;
    a bias that differs from row to row becomes an Add behind the Gemm."""
    graph = model.graph
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
    taken = set(weights) | {name for node in graph.node for name in (*node.input, *node.output)}

    def constant(node: onnx.NodeProto, array: np.ndarray, what: str) -> str:
        """A new initializer of a free name."""
        name = next(
            n for n in (f"{node.output[0]}.{what}{tries or ''}" for tries in itertools.count()) if n not in taken
        )
        taken.add(name)
        graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return name

    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        constants = node.input[1:] if node.op_type == "Gemm" else [""]
        if (
            not all(name in weights and weights[name].dtype == np.float32 for name in constants if name)
            or not constants[0]
        ):
            continue
        settings = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        matrix, alpha, beta = weights[node.input[1]], settings.pop("alpha", 1.0), settings.pop("beta", 1.0)
        if alpha != 1.0:
            node.input[1] = constant(node, matrix * np.float32(alpha), "weight")
        del node.attribute[:]
        node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in settings.items())
        if len(node.input) < 3 or not node.input[2]:
            continue
        units = matrix.shape[0 if settings.get("transB") else 1]
        bias = weights[node.input[2]] * np.float32(beta)
        if bias.size == 1 or bias.shape in ((units,), (1, units)):
            if beta != 1.0 or bias.shape != (units,):
                node.input[2] = constant(node, np.broadcast_to(bias.reshape(-1), (units,)).copy(), "bias")
            continue
        added = constant(node, bias, "bias")
        target, node.output[0] = node.output[0], f"{added}.product"
        del node.input[2]
        graph.node.insert(index + 1, onnx.helper.make_node("Add", [node.output[0], added], [target], f"{added}.add"))


def mean_to_pool(model: onnx.ModelProto) -> None:
    """ReduceMean over the two last axes of a rank-4 tensor becomes GlobalAveragePool, and Flatten without keepdims."""
    graph = model.graph
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in (*graph.value_info, *graph.input)}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        settings = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type != "ReduceMean" or ranks.get(node.input[0]) != 4:
            continue
        axes = settings.get("axes")
        if len(node.input) > 1 and node.input[1] in weights:
            axes = weights[node.input[1]].tolist()
        if axes is None or sorted(axis % 4 for axis in axes) != [2, 3]:
            continue
        source, target, name = node.input[0], node.output[0], node.name or node.output[0]
        if settings.get("keepdims", 1):
            node.CopyFrom(onnx.helper.make_node("GlobalAveragePool", [source], [target], name))
            continue
        node.CopyFrom(onnx.helper.make_node("Flatten", [f"{target}_pooled"], [target], f"{name}_flatten"))
        graph.node.insert(index, onnx.helper.make_node("GlobalAveragePool", [source], [f"{target}_pooled"], name))


def _drop_unused_weights(model: onnx.ModelProto) -> None:
    """Weights that nothing reads any more; subgraphs count as readers."""
    read: set[str] = {value.name for value in model.graph.output}
    pending = list(model.graph.node)
    while pending:
        node = pending.pop()
        read.update(node.input)
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                pending.extend(graph.node)
                read.update(value.name for value in graph.output)
    kept = [weight for weight in model.graph.initializer if weight.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _name_nodes(model: onnx.ModelProto) -> None:
    """Unique names, by which nodes are chosen; the first output's where there is none."""
    taken: set[str] = set()
    for node in model.graph.node:
        name = node.name or next((output for output in node.output if output), node.op_type)
        unique, count = name, 1
        while unique in taken:
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique)
        node.name = unique


def _drop_unused_domains(model: onnx.ModelProto) -> None:
    """onnxruntime lists every domain it knows."""
    used = {node.domain if node.domain != "ai.onnx" else "" for node in model.graph.node} | {""}
    kept = [o for o in model.opset_import if ("" if o.domain == "ai.onnx" else o.domain) in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
