"""An ONNX network's edges, uint8 and channels first, through the driver: equal to onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intaglio.export import make_bundle
from intaglio.machine.config_files import load_config
from intaglio.network import load
from intaglio.session import Session
from tests.cli.command import validate
from tests.export.exported import Exported, compile_all, export, need_compilers
from tests.export.test_driver import OTHER

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def network(path: Path, float_edges: bool, more: bool = False) -> Path:
    """A convolution with 3 channels in and 5 out, channels first; uint8 at both ends, or floats around uint8, and with
    `more` an operator on floats before and after.

    Weights of 7 bits: on processors without VNNI onnxruntime's sums of two products saturate at 16 bits.
    """
    random = np.random.default_rng(9)
    helper, types = onnx.helper, onnx.TensorProto
    constants = {
        "in_scale": np.float32(0.02),
        "in_zero": np.uint8(121),
        "out_scale": np.float32(0.04),
        "out_zero": np.uint8(140),
        "w": random.integers(-63, 64, (5, 3, 3, 3)).astype(np.int8),
        "w_scale": np.float32(0.006),
        "w_zero": np.int8(0),
        "b": random.integers(-2000, 2000, 5).astype(np.int32),
        "b_scale": np.float32(0.02) * np.float32(0.006),
        "b_zero": np.int32(0),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "in_scale", "in_zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wf"]),
        helper.make_node("DequantizeLinear", ["b", "b_scale", "b_zero"], ["bf"]),
        helper.make_node("Conv", ["x", "wf", "bf"], ["y"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("QuantizeLinear", ["y", "out_scale", "out_zero"], ["features"]),
    ]
    given, result = ("image", types.UINT8), ("features", types.UINT8)
    if float_edges:
        nodes.insert(0, helper.make_node("QuantizeLinear", ["pixels", "in_scale", "in_zero"], ["image"]))
        nodes.append(helper.make_node("DequantizeLinear", ["features", "out_scale", "out_zero"], ["reals"]))
        given, result = ("pixels", types.FLOAT), ("reals", types.FLOAT)
    if more:
        nodes.insert(0, helper.make_node("Mul", ["raw", "in_scale"], ["pixels"]))
        nodes.append(helper.make_node("Softmax", ["reals"], ["shares"], axis=1))
        given, result = ("raw", types.FLOAT), ("shares", types.FLOAT)
    graph = helper.make_graph(
        nodes,
        "edges",
        [helper.make_tensor_value_info(*given, [1, 3, 6, 5])],
        [helper.make_tensor_value_info(*result, [1, 5, 6, 5])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module", params=[False, True], ids=["uint8", "float32"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    need_compilers()
    folder = tmp_path_factory.mktemp("onnx")
    return export(network(folder / "edges.onnx", request.param), folder / "out", "tiny16", OTHER)


def test_driver_equals_onnxruntime(exported: Exported) -> None:
    random = np.random.default_rng(4)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    model = str(exported.folder.with_name("edges.onnx"))
    reference = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (name,) = exported.graph.inputs
    inputs = []
    for _ in range(3):
        image = random.integers(0, 256, (1, 3, 6, 5)).astype(np.uint8)
        # Halves too: multiples of half a step.
        pixels = ((image.astype(np.float32) - 121) * np.float32(0.5) * np.float32(0.02)).astype(np.float32)
        inputs.append({name: image if name == "image" else pixels})
    for given, found in zip(inputs, exported.example(inputs), strict=True):
        (expected,) = reference.run(None, given)
        (result,) = found.values()
        assert result.dtype == expected.dtype and result.shape == expected.shape
        assert len(np.unique(result)) > 20
        assert np.array_equal(result, expected)


def test_header_names_the_files_order(exported: Exported) -> None:
    text = (exported.folder / "intaglio_network.h").read_text()
    assert "image, uint8 (1, 3, 6, 5) in the model file" in text
    assert "as (1, 6, 5, 3) transposed by (0, 3, 1, 2)" in text
    assert (
        "#define INTAGLIO_INPUT_image_ZERO_POINT 121\n" in text
        and "#define INTAGLIO_INPUT_image_TYPE uint8_t\n" in text
    )


def test_what_the_driver_leaves_to_the_caller(tmp_path: Path) -> None:
    """Operators that only onnxruntime runs: named everywhere, their operands and results at the board's hooks."""
    session = Session.map(load(network(tmp_path / "edges.onnx", True, more=True)), load_config("tiny16", OTHER))
    bundle = make_bundle("edges.onnx", b"", session, "")
    validate(bundle.manifest, "export")
    steps = {step["op"]: step for step in bundle.manifest["host_steps"]}
    assert steps["Mul"]["function"] is None and steps["Softmax"]["function"] is None
    assert steps["Mul"]["when"] == "before" and steps["Softmax"]["sources"] == ["reals"]
    main = bundle.files["main.c"].decode()
    assert (
        main.index("/* Mul pixels is left to you")
        < main.index('input("pixels", data_pixels, KNOWN(intaglio_test_pixels)')
        < main.index("intaglio_quantize_even")
    )
    assert (
        main.index("intaglio_dequantize")
        < main.index("/* Softmax shares is left to you")
        < main.index('output("reals", data_reals, KNOWN(intaglio_test_reals)')
    )
    assert "data_shares" not in main
    assert "| after | Softmax | reals, float32 (1, 5, 6, 5) | shares, float32 (1, 5, 6, 5) | left to you |" in (
        bundle.files["README.md"].decode()
    )
    compile_all(bundle, tmp_path)
