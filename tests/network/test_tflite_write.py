"""The .tflite writer: LiteRT loads what it writes and computes what was meant."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from intaglio.network import float_network
from intaglio.network.tflite.write import TfliteBuilder

GENERATOR = np.random.default_rng(3)


def run(builder, outputs, inputs):
    """LiteRT's reference results, by Value."""
    interpreter = Interpreter(
        model_content=builder.to_bytes(outputs), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(value.index) for value in outputs]


def real(integers, value):
    return (integers.astype(np.float64) - value.zero_point) * value.scale


def int8(*shape):
    return GENERATOR.integers(-127, 128, shape).astype(np.int8)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("stride", "dilation"), [((1, 1), (1, 1)), ((2, 1), (1, 1)), ((1, 3), (2, 1))])
@pytest.mark.parametrize(("activation", "low", "high"), [(None, -12.8, 12.7), ("RELU6", 0, 6)])
def test_conv2d(padding, stride, dilation, activation, low, high):
    """Within half a step of the float convolution of the same numbers, per-channel scales and all."""
    b = TfliteBuilder("conv")
    x = b.input((1, 9, 7, 3), 0.02, -5)
    weights, scales = int8(5, 3, 2, 3), np.linspace(0.001, 0.01, 5, dtype=np.float32)
    bias = np.arange(-200, 300, 100, dtype=np.int32)
    y = b.conv2d(x, weights, bias, scales, 0.1, 0, stride, dilation, padding, activation)
    pixels = int8(1, 9, 7, 3)
    (found,) = run(b, [y], [pixels])
    expected = float_network.conv2d(
        real(pixels, x), weights * scales[:, None, None, None].astype(np.float64), stride, dilation, padding
    )
    expected = np.clip(expected + bias * scales * x.scale, low, high)
    assert found.shape == y.shape == expected.shape
    assert np.abs(real(found, y) - expected).max() < 0.0501


@pytest.mark.parametrize("scales", [[0.003], [0.001, 0.003, 0.002]])
def test_fully_connected(scales):
    b = TfliteBuilder("fc")
    x = b.input((1, 2, 2, 5), 0.02, 7)
    weights, bias = int8(3, 20), np.array([5, -9, 1000], np.int32)
    y = b.fully_connected(x, weights, bias, np.array(scales), 0.2, -3)
    pixels = int8(1, 2, 2, 5)
    (found,) = run(b, [y], [pixels])
    sums = real(pixels, x).reshape(1, 20) @ weights.T.astype(np.float64) + bias * x.scale
    assert found.shape == y.shape == (1, 3)
    assert np.abs(real(found, y) - sums * scales).max() < 0.101


def test_elementwise_pools_and_edges():
    """Float in, every operator without weights, float out; each within its rounding of the real result.

    That is half a step, but three quarters where LiteRT rounds twice (QUANTIZE from int8).
    """
    b = TfliteBuilder("rest")
    x = b.float_input((1, 6, 5, 3))
    q = b.quantize(x, 0.02, 4)
    wider = b.quantize(q, 0.05, -30)
    total = b.add(q, wider, 0.04, 1)
    pool = b.average_pool(total, (3, 2), (2, 2), "SAME", activation="RELU")
    relu = b.relu(pool, 0.04, -128)
    relu6 = b.relu(relu, 0.04, -100, "RELU6")
    mean = b.mean(total, 0.02, 0)
    kept = b.mean(total, 0.02, 0, keep_dims=True)
    flat = b.reshape(kept, (1, 3))
    softmax = b.softmax(flat)
    probabilities = b.dequantize(softmax)
    image = GENERATOR.uniform(-2, 2, (1, 6, 5, 3)).astype(np.float32)
    values = [q, wider, total, pool, relu, relu6, mean, kept, flat, softmax]
    results = run(b, [*values, probabilities], [image])
    for value, result in zip(values, results, strict=False):
        assert result.shape == value.shape
        assert result.dtype == np.int8
    rq, rwider, rtotal, rpool, rrelu, rrelu6, rmean, rkept, rflat, _ = (
        real(result, value) for result, value in zip(results, values, strict=False)
    )
    pooled = float_network.average_pool(rtotal, (3, 2), (2, 2), "SAME").clip(0)
    exponent = np.exp(rflat - rflat.max())
    for found, expected, bound in [
        (rq, image, 0.0101),
        (rwider, rq, 0.0376),
        (rtotal, rq + rwider, 0.0201),
        (rpool, pooled, 0.0201),
        (rrelu, rpool.clip(0), 0.0201),
        (rrelu6, rrelu.clip(0, 6), 0.0201),
        (rmean, rtotal.mean(axis=(1, 2)), 0.0101),
        (rkept, rmean[:, None, None], 1e-9),
        (rflat, rmean, 1e-9),
        (results[-1], exponent / exponent.sum(), 1 / 256),
    ]:
        assert np.abs(found - expected).max() <= bound


def test_constants_are_aligned():
    """Every constant starts at a multiple of 16 bytes of the file, as the schema asks."""
    b = TfliteBuilder("aligned")
    x = b.input((1, 5), 0.1, 0)
    for _ in range(3):
        x = b.fully_connected(x, int8(5, 5), np.zeros(5, np.int32), np.array([0.01]), 0.1, 0)
    contents = b.to_bytes([x])
    model = schema.Model.GetRootAs(contents)
    for index in range(1, model.BuffersLength()):
        data = model.Buffers(index).DataAsNumpy().tobytes()
        places = [at for at in range(0, len(contents), 16) if contents[at : at + len(data)] == data]
        assert places


def test_same_calls_same_bytes(tmp_path):
    files = []
    for name in ("a", "b"):
        b = TfliteBuilder("net")
        y = b.relu(b.input((1, 4), 0.1, 0), 0.1, -128)
        b.write(tmp_path / name, [y])
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_refusals():
    b = TfliteBuilder("bad")
    x = b.input((1, 4, 4, 2), 0.1, 0)
    weights, bias = int8(3, 5, 5, 2), np.zeros(3, np.int32)
    with pytest.raises(ValueError, match=r"window \(5, 5\), dilation \(1, 1\) does not fit into \(1, 4, 4, 2\)"):
        b.conv2d(x, weights, bias, np.ones(3), 0.1, 0, padding="VALID")
    with pytest.raises(TypeError, match="weights int8, bias float64; int8 and int32 needed"):
        b.conv2d(x, weights, bias.astype(float), np.ones(3), 0.1, 0)
    with pytest.raises(ValueError, match=r"bias \[3\], weight_scales \[1\] or as many"):
        b.conv2d(x, weights, bias, np.ones(2), 0.1, 0)
    with pytest.raises(ValueError, match=r"zero point 128 outside -128\.\.127"):
        b.quantize(x, 0.1, 128)
    with pytest.raises(ValueError, match="its input must be int8"):
        b.reshape(b.float_input((1, 4)), (4,))


def test_uint8_is_int8_with_128_more():
    """The same calls in both types: LiteRT's results differ by 128 where the two kernels' arithmetic is one."""
    found = []
    for dtype in ("int8", "uint8"):
        rng = np.random.default_rng(4)
        b = TfliteBuilder("types")
        x = b.input((1, 5, 6, 4), 0.02, -5, dtype=dtype)
        weights = rng.integers(-127, 128, (5, 3, 3, 4)).astype(np.int8)
        y = b.conv2d(x, weights, np.arange(5, dtype=np.int32), np.float32([2**-8]), 0.25, 3)
        depthwise = b.depthwise_conv2d(y, weights[:, :, :, :1], np.arange(5, dtype=np.int32), np.float32([2**-8]), 1, 2)
        ends = [b.max_pool(depthwise, (2, 2), (1, 1)), b.quantize(b.relu(y, 0.25, -100), 0.3, 7, dtype="int8")]
        pixels = rng.integers(-128, 128, (1, 5, 6, 4)).astype(np.int8)
        found.append(run(b, ends, [pixels if dtype == "int8" else (pixels ^ np.int8(-128)).view(np.uint8)]))
    (pooled, quantized), (unsigned, same) = found
    assert unsigned.dtype == np.uint8 and same.dtype == np.int8
    np.testing.assert_array_equal(unsigned.astype(int), pooled.astype(int) + 128)
    np.testing.assert_array_equal(same, quantized)


def test_a_weight_zero_point_is_uint8_s_alone():
    b = TfliteBuilder("types")
    signed, unsigned = b.input((1, 4), 0.02, 0), b.input((1, 4), 0.02, 0, dtype="uint8")
    weights, bias = int8(2, 4), np.zeros(2, np.int32)
    for x, scales, point in ((signed, [0.1], 1), (unsigned, [0.1, 0.2], 0)):
        with pytest.raises(ValueError, match="uint8 weights have one scale, int8 ones zero point 0"):
            b.fully_connected(x, weights, bias, np.float32(scales), 0.1, 0, weight_zero_point=point)
    y = b.fully_connected(unsigned, weights, bias, np.float32([0.1]), 0.1, 0, weight_zero_point=3)
    (found,) = run(b, [y], [np.zeros((1, 4), np.int8), np.full((1, 4), 129, np.uint8)])
    expected = np.rint((weights.astype(int) - 3).sum(axis=1) * 0.02).clip(-128, 127) + 128
    assert np.abs(found - expected).max() <= 1


def test_types_that_are_neither():
    with pytest.raises(ValueError, match="int16 is neither int8 nor uint8"):
        TfliteBuilder("types").input((1, 4), 0.02, 0, dtype="int16")
