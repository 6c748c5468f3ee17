"""onnxruntime as an oracle: every 8-bit tensor of an .onnx file for given inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.network.onnx.file import constants_of, onnx_module
from intaglio.network.onnx.host import session_of
from intaglio.network.onnx.model import check, opset_of, parsed, plain
from intaglio.network.onnx.unsigned import unsigned_weights
from intaglio.network.reference import NoReference


class OnnxOracle:
    """Runs an .onnx file in onnxruntime: CPU, one thread, ORT_ENABLE_EXTENDED, `session.qdqisint8allowed`.

    What is compared are the file's outputs and the results of its integer operators: outputs of QuantizeLinear, and
    of every node that gives 8-bit integers (QOperator). Made outputs of the file, they do not keep onnxruntime from
    fusing DequantizeLinear, operator and QuantizeLinear into one integer kernel, since such a kernel computes exactly
    that tensor; `integer_kernels` tells which tensors one computes, and tests hold it against the notes of the graph.

    Weights are relabelled where products would saturate on some processors (`onnx.unsigned`).

    cut: tensors behind which onnxruntime goes on with given values instead of its own, so that one that differs by 1
    does not spoil the comparison of all that follows; its own are still among the results.
    """

    name = "onnxruntime"

    def __init__(self, path: str | Path, cut: Sequence[str] = ()) -> None:
        path = Path(path)
        onnx = onnx_module()
        model = parsed(path, "give a quantized .onnx file")
        plain(path, model)
        check(path, model)
        inferred = _types(onnx, model)
        eight = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
        given = [value.name for value in model.graph.output]
        constants = {tensor.name for tensor in model.graph.initializer}
        computed = [
            name
            for node in model.graph.node
            for name in node.output
            if name not in given and name not in constants and _gives_integers(node, inferred.get(name), eight)
        ]
        self.inputs = tuple(v.name for v in model.graph.input if v.name not in constants)
        self.outputs = tuple(given + computed)
        self.cut = tuple(name for name in cut if name in self.outputs)
        unsigned_weights(model, constants_of(path, model), inferred)
        _cut(onnx, model, self.cut, inferred)
        for name in computed:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        self._model = model.SerializeToString()
        try:
            self._session = session_of(self._model)
        except InputError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no common base
            named = f"onnxruntime {version('onnxruntime')}"
            raise NoReference(path, named, error, f"export it with another opset than {opset_of(model)}") from error

    def run(
        self, inputs: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Every input and compared tensor by name. given: values of the cut tensors."""
        own = {name: np.asarray(inputs[name]) for name in self.inputs}
        further = {_given(name): (given or {})[name] for name in self.cut}
        values = self._session.run(list(self.outputs), own | further)
        return own | dict(zip(self.outputs, values, strict=True))

    def integer_kernels(self, folder: Path) -> dict[str, str]:
        """The compared tensors that onnxruntime computes from 8-bit ones alone -> its operator. folder: for the
        optimized model."""
        onnx = onnx_module()
        file = folder / "optimized.onnx"
        session_of(self._model, file)
        model = onnx.load(file)
        floats = ("QuantizeLinear",)
        return {
            name: node.op_type
            for node in model.graph.node
            for name in node.output
            if name in self.outputs and node.op_type not in floats
        }


def _given(name: str) -> str:
    return f"{name}::given"


def _cut(onnx: Any, model: Any, names: Sequence[str], types: Mapping[str, int]) -> None:
    """Makes each reader of one of the tensors read a new input of the model instead."""
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name in names:
                node.input[position] = _given(name)
    for name in names:
        model.graph.input.append(onnx.helper.make_tensor_value_info(_given(name), types[name], None))


def _types(onnx: Any, model: Any) -> dict[str, int]:
    """Element types as far as onnx infers them; QOperator's com.microsoft nodes say theirs by their zero points."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception:  # the importer reports what is wrong with the file
        inferred = model
    graph = inferred.graph
    types = {t.name: t.data_type for t in graph.initializer}
    types |= {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    for node in model.graph.node:
        if node.domain == "com.microsoft" and node.op_type.startswith("Q") and len(node.input) > 1:
            types.setdefault(node.output[0], types.get(node.input[0], 0))
        elif node.output and node.output[0] not in types and node.input:
            types[node.output[0]] = types.get(node.input[0], 0)
    return types


def _gives_integers(node: Any, kind: int | None, eight: tuple[int, int]) -> bool:
    return node.op_type == "QuantizeLinear" or (kind in eight and node.op_type != "Constant")
