"""Each ONNX operator as the importer takes it, against onnxruntime on every tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from onnx_files import NEWEST, OnnxBuilder, middle

from intaglio.errors import InputError
from intaglio.network import Graph, execute, extreme_inputs, load, load_onnx, random_inputs
from intaglio.network.onnx.oracle import OnnxOracle
from intaglio.network.oracle import oracle_of

SIGNS = [(np.int8, np.int8), (np.uint8, np.int8), (np.uint8, np.uint8)]


def compare(path: Path, inputs: int = 4, inexact: bool = False) -> Graph:
    """Every tensor equals onnxruntime's; inexact ones, where there may be such, to 1."""
    graph = load_onnx(path)
    assert bool(graph.inexact) == inexact, graph.notes
    oracle = OnnxOracle(path, graph.inexact)
    compared = 0
    for values in [random_inputs(graph, seed) for seed in range(inputs)] + list(extreme_inputs(graph).values()):
        ours = execute(graph, values)
        theirs = oracle.run(values, ours)
        for name in theirs.keys() & ours.keys():
            assert ours[name].dtype == theirs[name].dtype and ours[name].shape == theirs[name].shape, name
            if name in graph.inexact:
                assert np.abs(ours[name].astype(np.int64) - theirs[name]).max() <= 1, name
            else:
                np.testing.assert_array_equal(ours[name], theirs[name], name)
            compared += name in graph.tensors and name not in graph.inputs
    assert compared >= inputs
    return graph


def rng_of(text: str) -> np.random.Generator:
    seed = sum(text.encode())
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def conv_file(path: Path, opset: int = 17, signs: tuple[type, type] = (np.int8, np.int8), **changes) -> Path:
    """input -> QDQ -> Conv [6, 4, 3, 3] -> QDQ."""
    rng = np.random.default_rng(7)
    build = OnnxBuilder(opset, *signs)
    x = build.qdq(build.input("x", (1, 4, 7, 9)), 0.02, middle(build.dtype, 5))
    scale = changes.pop("scale", rng.uniform(0.002, 0.02, 6))
    shift = 128 if signs[1] is np.uint8 else 0
    zero_point = changes.pop("zero_point", shift)
    values = rng.integers(-128, 128, (6, 4, 3, 3)) + shift
    inputs = [x, build.weights("w", values, scale, zero_point)]
    bias = changes.pop("bias", "int32")
    if bias == "int32":
        inputs.append(build.bias("b", rng.integers(-500, 500, 6), np.float32(0.02) * np.asarray(scale, np.float32)))
    elif bias == "float":
        inputs.append(build.constant("b", rng.normal(0, 0.2, 6), np.float32))
    y = build.node("Conv", inputs, "y", **changes)
    out = build.qdq(y, 0.03, middle(build.dtype, -20))
    return build.write(path, [out])


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("opset", [13, 17, 21, 23])
def test_conv_of_every_type_and_opset(tmp_path: Path, opset: int, signs: tuple[type, type]) -> None:
    scale = 0.01 if signs[1] is np.uint8 else None
    changes = {} if scale is None else {"scale": scale}
    graph = compare(conv_file(tmp_path / "m.onnx", opset, signs, **changes))
    assert [op.kind for op in graph.operators] == ["Quantize", "Conv2D", "Dequantize"]


def test_newest_opset_is_read(tmp_path: Path) -> None:
    """Beyond what this onnxruntime runs, perhaps; the graph is that of an older file."""
    new = load_onnx(conv_file(tmp_path / "new.onnx", NEWEST))
    old = load_onnx(conv_file(tmp_path / "old.onnx", 17))
    values = random_inputs(old, 0)
    assert NEWEST >= 23
    np.testing.assert_array_equal(execute(new, values)["y_dq"], execute(old, values)["y_dq"])


@pytest.mark.parametrize(
    "changes",
    [
        {"pads": [2, 0, 1, 3]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
        {"auto_pad": "VALID", "strides": [1, 2]},
        {"dilations": [2, 3], "pads": [2, 3, 1, 2]},
        {"bias": "none"},
        {"bias": "float"},
        {"bias": "float", "scale": 0.004},
        {"scale": 0.007},
    ],
    ids=str,
)
def test_conv_attributes(tmp_path: Path, changes: dict) -> None:
    compare(conv_file(tmp_path / "m.onnx", **changes))


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize(("inputs", "group", "outputs"), [(4, 4, 1), (4, 2, 3), (6, 6, 4), (9, 3, 2), (32, 32, 1)])
def test_grouped_conv(tmp_path: Path, inputs: int, group: int, outputs: int, signs: tuple[type, type]) -> None:
    """outputs: of a group. QDQ form, which onnxruntime runs as QLinearConv."""
    rng = rng_of(f"{inputs} {group} {outputs} {signs}")
    build = OnnxBuilder(17, *signs)
    x = build.qdq(build.input("x", (2, inputs, 6, 7)), 0.02, middle(build.dtype, 9))
    shift = 128 if signs[1] is np.uint8 else 0
    scale = 0.01 if shift else rng.uniform(0.002, 0.02, group * outputs)
    values = rng.integers(-128, 128, (group * outputs, inputs // group, 3, 2)) + shift
    sizes = {"strides": rng.integers(1, 3, 2).tolist(), "dilations": rng.integers(1, 3, 2).tolist()}
    w = build.weights("w", values, scale, shift and shift + 5)
    y = build.node("Conv", [x, w], "y", group=group, pads=rng.integers(0, 3, 4).tolist(), **sizes)
    graph = compare(build.write(tmp_path / "m.onnx", [build.qdq(y, 0.05, middle(build.dtype, -20))]))
    (op,) = (op for op in graph.operators if op.kind == "Conv2D")
    assert op.groups == group and op.weights.shape == (group * outputs, 3, 2, inputs // group)


def test_uint8_weights_with_a_zero_point(tmp_path: Path) -> None:
    path = conv_file(tmp_path / "m.onnx", signs=(np.uint8, np.uint8), scale=0.01, zero_point=117)
    (conv,) = (op for op in compare(path).operators if op.kind == "Conv2D")
    assert conv.weight_zero_point == -11 and conv.weights.dtype == np.int8


def test_int8_weights_with_a_zero_point(tmp_path: Path) -> None:
    (conv,) = (
        op for op in compare(conv_file(tmp_path / "m.onnx", scale=0.01, zero_point=-9)).operators if op.kind == "Conv2D"
    )
    assert conv.weight_zero_point == -9


def test_weights_stored_in_float_before_their_quantize(tmp_path: Path) -> None:
    rng = rng_of("float weights")
    build = OnnxBuilder()
    x = build.qdq(build.input("x", (1, 3, 5, 5)), 0.02, 0)
    w = build.constant("w", rng.normal(0, 0.3, (4, 3, 3, 3)), np.float32)
    scale, zero = (
        build.constant("ws", rng.uniform(0.002, 0.01, 4), np.float32),
        build.constant("wz", np.zeros(4), np.int8),
    )
    q = build.node("QuantizeLinear", [w, scale, zero], "w_q", axis=0)
    d = build.node("DequantizeLinear", [q, scale, zero], "w_dq", axis=0)
    compare(build.write(tmp_path / "m.onnx", [build.qdq(build.node("Conv", [x, d], "y"), 0.05, 3)]))


@pytest.mark.parametrize("between", ["", "quantized"])
def test_pad_becomes_the_padding_of_a_convolution(tmp_path: Path, between: str) -> None:
    rng = rng_of("pad")
    build = OnnxBuilder(18)
    x = build.qdq(build.input("x", (1, 3, 5, 6)), 0.02, 11)
    amounts = build.constant("amounts", [0, 0, 1, 2, 0, 0, 0, 3], np.int64)
    padded = build.node("Pad", [x, amounts], "padded")
    if between:
        padded = build.qdq(padded, 0.02, 11)
    w = build.weights("w", rng.integers(-128, 128, (4, 3, 3, 2)), 0.01)
    graph = compare(build.write(tmp_path / "m.onnx", [build.qdq(build.node("Conv", [padded, w], "y"), 0.05, 3)]))
    (conv,) = (op for op in graph.operators if op.kind == "Conv2D")
    assert (conv.padding.top, conv.padding.bottom, conv.padding.left, conv.padding.right) == (1, 0, 2, 3)


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("activation", ["Relu", "Clip"])
@pytest.mark.parametrize("inside", [False, True])
def test_activations_before_quantize(tmp_path: Path, signs: tuple[type, type], activation: str, inside: bool) -> None:
    """Where the type's range is the activation's, onnxruntime drops it; else it computes in float32."""
    rng = rng_of("activation")
    build = OnnxBuilder(17, *signs)
    x = build.qdq(build.input("x", (1, 3, 6, 6)), 0.02, middle(build.dtype, 5))
    shift = 128 if signs[1] is np.uint8 else 0
    w = build.weights("w", rng.integers(-128, 128, (4, 3, 3, 3)) + shift, 0.01, shift)
    y = build.node("Conv", [x, w], "y")
    limits = [build.constant("low", 0.0, np.float32), build.constant("high", 6.0, np.float32)]
    y = build.node(activation, [y, *(limits if activation == "Clip" else [])], "z")
    zero_point = middle(build.dtype, 0 if inside else -128)
    graph = compare(build.write(tmp_path / "m.onnx", [build.qdq(y, 6 / 255, zero_point)]), inexact=inside)
    (conv,) = (op for op in graph.operators if op.kind == "Conv2D")
    assert conv.clamp == ((0, 127) if inside else (-128, 127))


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize(
    "attributes", [{}, {"transB": 1}, {"alpha": 0.5}, {"beta": 0.0}, {"beta": 2.0}, {"transA": 1}], ids=str
)
def test_gemm(tmp_path: Path, signs: tuple[type, type], attributes: dict) -> None:
    rng = rng_of("gemm")
    build = OnnxBuilder(17, *signs)
    shape = (24, 1) if attributes.get("transA") else (1, 24)
    x = build.qdq(build.input("x", shape), 0.02, middle(build.dtype, 5))
    shift = 128 if signs[1] is np.uint8 else 0
    values = rng.integers(-128, 128, (24, 7)) + shift
    w = build.weights("w", values.T if attributes.get("transB") else values, 0.01, shift)
    b = build.bias(
        "b", rng.integers(-500, 500, 7), np.float32(0.02) * np.float32(0.01) * np.float32(attributes.get("alpha", 1))
    )
    y = build.qdq(build.node("Gemm", [x, w, b], "y", **attributes), 0.03, middle(build.dtype, -20))
    compare(build.write(tmp_path / "m.onnx", [y]), inexact=bool({"alpha", "beta"} & set(attributes)))


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("shape", [(1, 24), (3, 24), (1, 5, 24)])
@pytest.mark.parametrize("bias", [False, True])
def test_matmul(tmp_path: Path, signs: tuple[type, type], shape: tuple[int, ...], bias: bool) -> None:
    rng = rng_of("matmul")
    build = OnnxBuilder(21, *signs)
    x = build.qdq(build.input("x", shape), 0.02, middle(build.dtype, 5))
    shift = 128 if signs[1] is np.uint8 else 0
    scale = 0.01 if shift else rng.uniform(0.003, 0.02, 7)
    w = build.weights("w", rng.integers(-128, 128, (24, 7)) + shift, scale, shift, axis=1)
    y = build.node("MatMul", [x, w], "y")
    if bias:
        y = build.node("Add", [y, build.constant("b", rng.normal(0, 1, 7), np.float32)], "sum")
    path = build.write(tmp_path / "m.onnx", [build.qdq(y, 0.06, middle(build.dtype, -20))])
    compare(path, inexact=bias and len(shape) > 2)


def image_file(
    tmp_path: Path, build: OnnxBuilder, op: str, scales: tuple[float, float], shape=(1, 5, 6, 8), **attributes
) -> Path:
    x = build.qdq(build.input("x", shape), scales[0], middle(build.dtype, 5))
    inputs = [x]
    if op == "ReduceMean" and build.opset >= 18:
        inputs.append(build.constant("axes", attributes.pop("axes"), np.int64))
    y = build.qdq(build.node(op, inputs, "y", **attributes), scales[1], middle(build.dtype, -7))
    return build.write(tmp_path / "m.onnx", [y])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_global_average_pool(tmp_path: Path, dtype: type) -> None:
    graph = compare(image_file(tmp_path, OnnxBuilder(17, dtype), "GlobalAveragePool", (0.02, 0.013)))
    assert "Mean" in [op.kind for op in graph.operators]


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2], [1, 2]])
def test_reduce_mean(tmp_path: Path, opset: int, keepdims: int, axes: list[int]) -> None:
    """Over rows and columns of [N, C, H, W] and of [N, H, W, C]; onnxruntime computes it in float32."""
    path = image_file(tmp_path, OnnxBuilder(opset), "ReduceMean", (0.02, 0.013), axes=axes, keepdims=keepdims)
    compare(path, inexact=True)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize(
    ("attributes", "scales", "inexact"),
    [
        ({"kernel_shape": [3, 3], "strides": [2, 2]}, (0.02, 0.02), False),
        ({"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, (0.02, 0.02), False),
        ({"kernel_shape": [3, 3], "pads": [1, 0, 1, 2]}, (0.02, 0.02), True),
        ({"kernel_shape": [2, 2], "strides": [2, 2]}, (0.02, 0.02), True),
        ({"kernel_shape": [2, 3], "auto_pad": "SAME_UPPER", "count_include_pad": 1}, (0.02, 0.013), False),
    ],
)
def test_average_pool(
    tmp_path: Path, dtype: type, attributes: dict, scales: tuple[float, float], inexact: bool
) -> None:
    """Inexact where a mean can be a tie: even counts. Padding leaves other counts out of a 3 x 3 window."""
    compare(image_file(tmp_path, OnnxBuilder(17, dtype), "AveragePool", scales, **attributes), inexact=inexact)


WINDOWS = [
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [1, 0, 2, 1]},
    {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1},
    {"kernel_shape": [1, 2], "strides": [3, 4], "pads": [0, 1, 0, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [0, 2, 1, 1], "dilations": [3, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "dilations": [2, 3], "pads": [1, 2, 1, 1]},
    {"kernel_shape": [2, 3], "strides": [2, 3], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 3], "strides": [1, 2], "auto_pad": "SAME_LOWER", "ceil_mode": 1},
    {"kernel_shape": [2, 3], "strides": [3, 2], "auto_pad": "VALID", "ceil_mode": 1},
    {"kernel_shape": [5, 6]},
]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("attributes", WINDOWS)
def test_max_pool(tmp_path: Path, dtype: type, attributes: dict) -> None:
    """In QDQ form, scale and zero point kept; and of integers, as QOperator files have it."""
    build = OnnxBuilder(22, dtype)
    zero = middle(dtype, 5)
    q = build.quantize(build.input("x", (2, 5, 6, 8)), "x_q", 0.02, zero)
    p = build.node("MaxPool", [q], "p_q", **attributes)
    y = build.node("MaxPool", [build.dequantize(q, "x_dq", 0.02, zero)], "y", **attributes)
    outputs = [build.dequantize(p, "p", 0.02, zero), build.qdq(y, 0.02, zero)]
    graph = compare(build.write(tmp_path / "m.onnx", outputs))
    assert [op.kind for op in graph.operators] == ["Quantize", "MaxPool2D", "MaxPool2D", "Dequantize", "Dequantize"]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("scales", [(0.02, 0.02), (0.021377, 0.013249)])
@pytest.mark.parametrize("activation", ["", "Relu"])
def test_max_pool_that_changes_the_quantization(
    tmp_path: Path, dtype: type, scales: tuple[float, float], activation: str
) -> None:
    build = OnnxBuilder(17, dtype)
    x = build.qdq(build.input("x", (1, 5, 6, 8)), scales[0], middle(dtype, 5))
    y = build.node("MaxPool", [x], "largest", kernel_shape=[3, 3], strides=[2, 2])
    y = build.node(activation, [y], "active") if activation else y
    graph = compare(build.write(tmp_path / "m.onnx", [build.qdq(y, scales[1], middle(dtype, -7))]))
    assert [op.kind for op in graph.operators] == ["Quantize", "MaxPool2D", "Rescale", "Dequantize"]


def test_relu_behind_a_max_pool_of_the_same_scale(tmp_path: Path) -> None:
    build = OnnxBuilder(17)
    x = build.qdq(build.input("x", (1, 5, 6, 8)), 0.02, 5)
    y = build.node("Relu", [build.node("MaxPool", [x], "largest", kernel_shape=[2, 2])], "active")
    graph = compare(build.write(tmp_path / "m.onnx", [build.qdq(y, 0.02, 5)]))
    assert [getattr(op, "clamp", None) for op in graph.operators] == [None, (5, 127), None]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize(
    ("scales", "exact"),
    [
        ((0.02, 0.02, 0.02), True),
        ((0.02, 0.01, 0.02), True),
        ((0.0213467, 0.0131823, 0.0298341), True),
        ((0.021, 0.013, 0.03), False),
    ],
)
def test_add(tmp_path: Path, dtype: type, scales: tuple[float, float, float], exact: bool) -> None:
    """All 65,536 pairs. 0.021, 0.013 and 0.03 make ties that float32's errors decide: the note counts them."""
    build = OnnxBuilder(17, dtype)
    a = build.qdq(build.input("a", (256, 256)), scales[0], middle(dtype, 5))
    b = build.qdq(build.input("b", (256, 256)), scales[1], middle(dtype, -77))
    y = build.qdq(build.node("Add", [a, b], "y"), scales[2], middle(dtype, 3))
    path = build.write(tmp_path / "m.onnx", [y])
    graph, oracle = load_onnx(path), OnnxOracle(path)
    assert bool(graph.inexact) != exact
    first, second = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    inputs = {
        "a": ((first - 5) * np.float32(scales[0])).astype(np.float32),
        "b": ((second + 77) * np.float32(scales[1])).astype(np.float32),
    }
    ours, theirs = execute(graph, inputs), oracle.run(inputs)
    assert len(np.unique(ours["a_q"])) == len(np.unique(ours["b_q"])) == 256
    off = np.abs(ours["y_q"].astype(np.int64) - theirs["y_q"])
    assert off.max() <= 1 and (exact or f"by 1 for {off.sum()} of 65,536" in graph.notes[0])
    assert not (exact and off.any())


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("middle_op", ["", "Relu", "Clip"])
def test_requantization_between_operators(tmp_path: Path, dtype: type, middle_op: str) -> None:
    rng = rng_of("rescale")
    for trial in range(20):
        build = OnnxBuilder(17, dtype)
        scales = np.exp(rng.uniform(-5, -1, 2))
        zero_points = [middle(dtype, int(z)) for z in rng.integers(-128, 128, 2)]
        x = build.qdq(build.input("x", (1, 256)), float(scales[0]), zero_points[0])
        if middle_op:
            limits = [build.constant("low", -0.3, np.float32), build.constant("high", 1.1, np.float32)]
            x = build.node(middle_op, [x, *(limits if middle_op == "Clip" else [])], "y")
        y = build.quantize(x, "z_q", float(scales[1]), zero_points[1])
        path = build.write(tmp_path / f"{trial}.onnx", [build.dequantize(y, "z", float(scales[1]), zero_points[1])])
        compare(path, inputs=1)


def test_layouts_compose(tmp_path: Path) -> None:
    """[N, H, W, C] from outside, transposed to a convolution, flattened in two ways into Gemm."""
    rng = rng_of("layouts")
    for transposed in (False, True):
        build = OnnxBuilder(17)
        x = build.input("x", (1, 6, 5, 3))
        x = build.node("Transpose", [build.qdq(x, 0.02, 3)], "t", perm=[0, 3, 1, 2])
        w = build.weights("w", rng.integers(-128, 128, (4, 3, 3, 3)), 0.01)
        y = build.qdq(build.node("Conv", [build.qdq(x, 0.02, 3), w], "y"), 0.05, 3)
        if transposed:
            y = build.qdq(build.node("Transpose", [y], "back", perm=[0, 2, 3, 1]), 0.05, 3)
        y = build.qdq(build.node("Reshape", [y, build.constant("to", [1, -1], np.int64)], "flat"), 0.05, 3)
        v = build.weights("v", rng.integers(-128, 128, (4 * 4 * 3, 7)), 0.01)
        z = build.qdq(build.node("Gemm", [y, v], "z"), 0.3, 3)
        graph = compare(build.write(tmp_path / "m.onnx", [z]))
        assert graph.tensors["y_q"].shape == (1, 4, 3, 4)


def test_squeeze_unsqueeze_flatten_identity_dropout(tmp_path: Path) -> None:
    rng = rng_of("moves")
    build = OnnxBuilder(13)
    y = build.qdq(build.input("x", (1, 4, 6, 6)), 0.02, 3)
    y = build.qdq(build.node("GlobalAveragePool", [y], "pool"), 0.01, 3)
    axes = build.constant("axes", [2, 3], np.int64)
    y = build.qdq(build.node("Squeeze", [y, axes], "squeezed"), 0.01, 3)
    y = build.qdq(build.node("Unsqueeze", [y, axes], "unsqueezed"), 0.01, 3)
    y = build.node("Dropout", [build.node("Identity", [y], "same")], "dropped")
    y = build.qdq(build.node("Flatten", [y], "flat"), 0.01, 3)
    w = build.weights("w", rng.integers(-128, 128, (4, 7)), 0.01)
    compare(build.write(tmp_path / "m.onnx", [build.qdq(build.node("MatMul", [y, w], "z"), 0.01, 3)]))


def test_shapes_computed_in_the_graph(tmp_path: Path) -> None:
    """Shape, Gather, Concat and Reshape as PyTorch exports x.view(x.size(0), -1), with a dynamic batch."""
    rng = rng_of("shapes")
    build = OnnxBuilder(17)
    x = build.qdq(build.input("x", ("batch", 2, 3, 4)), 0.02, 3)
    size = build.node(
        "Gather", [build.node("Shape", [x], "shape"), build.constant("zero", [0], np.int64)], "size", axis=0
    )
    target = build.node("Concat", [size, build.constant("rest", [-1], np.int64)], "target", axis=0)
    y = build.qdq(build.node("Reshape", [x, target], "flat"), 0.02, 3)
    w = build.weights("w", rng.integers(-128, 128, (24, 7)), 0.01)
    graph = compare(build.write(tmp_path / "m.onnx", [build.qdq(build.node("Gemm", [y, w], "z"), 0.1, 3)]))
    assert "batch dimension batch is set to 1" in graph.notes[0]


def test_constant_nodes_and_initializers_among_inputs(tmp_path: Path) -> None:
    path = conv_file(tmp_path / "m.onnx")
    import onnx

    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name == "w_raw")
    listed = next(t for t in model.graph.initializer if t.name == "w_scale")
    model.graph.initializer.remove(tensor)
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w_raw"], value=tensor))
    model.graph.input.append(onnx.helper.make_tensor_value_info("w_scale", listed.data_type, listed.dims))
    onnx.save(model, path)
    assert compare(path).inputs == ("x",)


@pytest.mark.parametrize("tail", ["Softmax", "Sigmoid", "ArgMax", "Softmax quantized", "Mul"])
def test_host_operators_at_the_end(tmp_path: Path, tail: str) -> None:
    rng = rng_of("tail")
    build = OnnxBuilder(17)
    x = build.qdq(build.input("x", (1, 24)), 0.02, 3)
    w = build.weights("w", rng.integers(-128, 128, (24, 7)), 0.01)
    y = build.qdq(build.node("Gemm", [x, w], "y"), 0.1, 3)
    attributes = {"axis": 1, "keepdims": 0} if tail == "ArgMax" else {}
    further = [build.constant("factor", rng.normal(0, 1, 7), np.float32)] if tail == "Mul" else []
    z = build.node(tail.split()[0], [y, *further], "z", **attributes)
    if tail.endswith("quantized"):
        z = build.qdq(z, 1 / 256, -128)
    graph = compare(build.write(tmp_path / "m.onnx", [z]))
    assert [op.on_host for op in graph.operators][:3] == [True, False, True]


def test_host_operators_at_the_beginning(tmp_path: Path) -> None:
    """(x - mean) / deviation, then QuantizeLinear; the image becomes NHWC on the host."""
    rng = rng_of("head")
    build = OnnxBuilder(17, np.uint8)
    x = build.input("x", (1, 3, 6, 6))
    x = build.node("Sub", [x, build.constant("mean", rng.normal(0, 0.3, (3, 1, 1)), np.float32)], "centred")
    x = build.node("Mul", [x, build.constant("factor", rng.uniform(1, 2, (3, 1, 1)), np.float32)], "scaled")
    w = build.weights("w", rng.integers(-128, 128, (4, 3, 3, 3)), 0.01)
    y = build.qdq(build.node("Conv", [build.qdq(x, 0.02, 131), w], "y"), 0.05, 128)
    graph = compare(build.write(tmp_path / "m.onnx", [y]))
    assert [op.kind for op in graph.operators] == ["Sub", "Mul", "Quantize", "Conv2D", "Dequantize"]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_eight_bit_edges_in_the_file_s_form(tmp_path: Path, dtype: type) -> None:
    rng = rng_of("edges")
    build = OnnxBuilder(17, dtype)
    x = build.dequantize(build.input("x", (1, 3, 6, 6), dtype), "x_dq", 0.02, middle(dtype, 3))
    w = build.weights("w", rng.integers(-128, 128, (4, 3, 3, 3)), 0.01)
    y = build.quantize(build.node("Conv", [x, w], "y"), "y_q", 0.05, middle(dtype, 3))
    graph = compare(build.write(tmp_path / "m.onnx", [y]))
    assert random_inputs(graph, 0)["x"].dtype == dtype and random_inputs(graph, 0)["x"].shape == (1, 3, 6, 6)
    result = execute(graph, random_inputs(graph, 0))["y_q"]
    assert result.dtype == dtype and result.shape == (1, 4, 4, 4)
    assert graph.tensors["y_q"].dtype == np.int8 and graph.tensors["y_q"].quantization is not None
    assert int(graph.tensors["y_q"].quantization.zero_point[0]) == 3


def test_quantize_on_the_host_equals_onnxruntime(tmp_path: Path) -> None:
    """Ties, their neighbours and numbers far outside, for many scales."""
    rng = rng_of("quantize")
    for dtype in (np.int8, np.uint8):
        build = OnnxBuilder(17, dtype)
        scale, zero_point = float(np.exp(rng.uniform(-8, 2))), int(middle(dtype, int(rng.integers(-128, 128))))
        x = build.input("x", (1, 200_000))
        path = build.write(tmp_path / "m.onnx", [build.qdq(x, scale, zero_point)])
        graph, oracle = load_onnx(path), OnnxOracle(path)
        values = (rng.integers(-300, 300, 200_000) + rng.choice([0, 0.5, 0.1], 200_000)) * np.float32(scale)
        values = np.nextafter(values.astype(np.float32), rng.choice([-np.inf, 0, np.inf], 200_000).astype(np.float32))
        values[:4] = 1e30, -1e30, 3e38, -3e38
        inputs = {"x": values[None].astype(np.float32)}
        for name, value in oracle.run(inputs).items():
            np.testing.assert_array_equal(execute(graph, inputs)[name], value, name)


QOPERATORS = [
    ("com.microsoft", "QLinearAveragePool", {"kernel_shape": [3, 3]}),
    ("com.microsoft", "QLinearGlobalAveragePool", {}),
    ("com.microsoft", "QLinearAdd", {}),
    ("com.microsoft", "QLinearSoftmax", {"axis": 1, "opset": 13}),
]


@pytest.mark.parametrize(("domain", "op", "attributes"), QOPERATORS)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_qoperator_form(tmp_path: Path, domain: str, op: str, attributes: dict, dtype: type) -> None:
    build = OnnxBuilder(17, dtype)
    parameters = [build.constant("xs", 0.02, np.float32), build.constant("xz", middle(dtype, 3), dtype)]
    q = build.node("QuantizeLinear", [build.input("x", (1, 5, 6, 6)), *parameters], "x_q")
    inputs = [q, *parameters] * (2 if op == "QLinearAdd" else 1)
    scale = 1 / 256 if op == "QLinearSoftmax" else 0.02
    result = [build.constant("ys", scale, np.float32), build.constant("yz", middle(dtype, -128), dtype)]
    y = build.node(op, [*inputs, *result], "y_q", domain, **attributes)
    path = build.write(tmp_path / "m.onnx", [build.node("DequantizeLinear", [y, *result], "y")])
    compare(path)


def test_a_batch_of_images(tmp_path: Path) -> None:
    rng = rng_of("batch")
    build = OnnxBuilder(17, np.uint8)
    x = build.qdq(build.input("x", (3, 2, 5, 6)), 0.02, 131)
    w = build.weights("w", rng.integers(-128, 128, (4, 2, 3, 3)), 0.01)
    y = build.qdq(build.node("Conv", [x, w], "y"), 0.05, 128)
    y = build.qdq(build.node("Flatten", [y], "flat"), 0.05, 128)
    v = build.weights("v", rng.integers(-128, 128, (4 * 3 * 4, 7)), 0.01)
    compare(build.write(tmp_path / "m.onnx", [build.qdq(build.node("Gemm", [y, v], "z"), 0.3, 128)]))


def test_intermediate_values_among_the_outputs(tmp_path: Path) -> None:
    """A dequantized tensor, an 8-bit one and the result, all outputs of the file."""
    rng = rng_of("outputs")
    build = OnnxBuilder(17)
    x = build.qdq(build.input("x", (1, 3, 6, 6)), 0.02, 3)
    outputs = []
    for name in ("first", "second"):
        w = build.weights(f"w_{name}", rng.integers(-128, 128, (3, 3, 3, 3)), 0.01)
        x = build.qdq(build.node("Conv", [x, w], name), 0.05, 3)
        outputs += [x, f"{name}_q"]
    graph = compare(build.write(tmp_path / "m.onnx", outputs))
    assert graph.outputs == tuple(outputs)


def test_a_float_result_that_is_an_output_too(tmp_path: Path) -> None:
    """Conv in float and quantized: onnxruntime does not fuse it, and the accelerator has no float results."""
    build = OnnxBuilder(17)
    x = build.qdq(build.input("x", (1, 3, 6, 6)), 0.02, 3)
    y = build.node("Conv", [x, build.weights("w", np.ones((3, 3, 3, 3)), 0.01)], "y")
    path = build.write(tmp_path / "m.onnx", [y, build.qdq(y, 0.05, 3)])
    with pytest.raises(InputError, match="never quantized"):
        load_onnx(path)


def test_a_file_without_suffix(tmp_path: Path) -> None:
    path = conv_file(tmp_path / "m.onnx")
    bare = path.rename(tmp_path / "model")
    assert load(bare).inputs == ("x",)
    assert isinstance(oracle_of(bare, load(bare)), OnnxOracle)
