"""Preparing for quantizing: nothing changes but the operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from intaglio.quantize.model_file import read_float_model
from intaglio.quantize.prepare import OPSET, prepare
from intaglio.quantize.runtime import runtime_session
from tests.quantize.onnx_models import Builder, residual, samples, save


def outputs(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    return runtime_session(model, Path("model"), "none").run(None, {"image": image[None]})[0]


def prepared(path: Path, model: onnx.ModelProto) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    read = read_float_model(save(model, path))
    before = onnx.ModelProto()
    before.CopyFrom(read)
    return before, prepare(read, path, OPSET)


def check_same(before: onnx.ModelProto, after: onnx.ModelProto, shape: tuple[int, ...] = (3, 8, 8)) -> None:
    for image in samples(shape=shape):
        np.testing.assert_allclose(outputs(after, image), outputs(before, image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 20])
@pytest.mark.parametrize("mean", [False, True])
def test_batch_norms_and_means_are_folded(tmp_path: Path, opset: int, mean: bool) -> None:
    before, after = prepared(tmp_path / "m.onnx", residual(opset=opset, mean=mean))
    check_same(before, after)
    kinds = [node.op_type for node in after.graph.node]
    assert "BatchNormalization" in [node.op_type for node in before.graph.node]
    assert kinds == ["Conv", "Relu", "Conv", "Add", "Relu", "GlobalAveragePool", "Flatten", "Gemm", "Relu", "Gemm"]
    names = [node.name for node in after.graph.node]
    assert all(names) and len(set(names)) == len(names)
    assert [(o.domain, o.version >= OPSET) for o in after.opset_import] == [("", True)]
    used = {name for node in after.graph.node for name in node.input}
    assert {weight.name for weight in after.graph.initializer} <= used


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, (9,), (1, 9), (1,)])
def test_gemm_and_batch_norm(tmp_path: Path, transposed: int, bias: tuple[int, ...] | None) -> None:
    b = Builder((1, 6), 2)
    operands = ["image", b.weight(9, 6) if transposed else b.weight(6, 9)] + ([b.weight(*bias)] if bias else [])
    x = b.node("Gemm", operands, "g", transB=transposed, alpha=0.7, beta=1.3)
    before, after = prepared(tmp_path / "m.onnx", b.model(b.node("Tanh", [b.norm(x, 9, "n")], "y")))
    check_same(before, after, (6,))
    assert [node.op_type for node in after.graph.node] == ["Gemm", "Tanh"]


def test_a_gemm_that_others_read_keeps_its_batch_norm(tmp_path: Path) -> None:
    b = Builder((1, 6), 2)
    x = b.node("Gemm", ["image", b.weight(6, 6), b.weight(6)], "g")
    before, after = prepared(tmp_path / "m.onnx", b.model(b.node("Add", [x, b.norm(x, 6, "n")], "y")))
    check_same(before, after, (6,))
    assert "BatchNormalization" in [node.op_type for node in after.graph.node]


@pytest.mark.parametrize("axes", [[1], [2], [1, 2, 3], [3, 2], [-2, -1]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_only_means_over_rows_and_columns_become_pools(tmp_path: Path, axes: list[int], keepdims: int) -> None:
    b = Builder((1, 3, 8, 8), 2)
    before, after = prepared(
        tmp_path / "m.onnx", b.model(b.node("ReduceMean", ["image"], "y", axes=axes, keepdims=keepdims))
    )
    check_same(before, after)
    spatial = sorted(axis % 4 for axis in axes) == [2, 3]
    assert ("GlobalAveragePool" in [node.op_type for node in after.graph.node]) == spatial
