"""QLinearAdd in integers: the table is onnxruntime's, and the integers give the table."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from onnx import helper, numpy_helper

from intaglio.network.arithmetic import add
from intaglio.network.graph import Add
from intaglio.network.onnx.add import LEFT_SHIFT, Scaling, integer_add, onnxruntime_add
from intaglio.network.onnx.host import session_of


def random_scaling(rng: np.random.Generator, kind: int) -> Scaling:
    """kind 0: equal scales; 1: ratios that are powers of two; 2: an output that holds the sum; else any."""
    a, b, c = (float(np.float32(v)) for v in np.exp(rng.uniform(-6, 0, 3)))
    if kind == 0:
        a = b = c
    elif kind == 1:
        b, c = a * 2.0 ** int(rng.integers(-3, 4)), a * 2.0 ** int(rng.integers(-3, 4))
    elif kind == 2:
        c = float(np.float32((a + b) * rng.uniform(0.5, 1.1)))
    unsigned = bool(rng.integers(2))
    lowest = 0 if unsigned else -128
    zero_points = rng.choice([lowest, lowest + 255, lowest + 128, int(rng.integers(lowest, lowest + 256))], 3)
    return Scaling(a, int(zero_points[0]), b, int(zero_points[1]), c, int(zero_points[2]), unsigned)


def in_onnxruntime(s: Scaling) -> np.ndarray:
    """QLinearAdd of all pairs, in the graph's int8: [a + 128, b + 128]."""
    dtype = np.uint8 if s.unsigned else np.int8
    values = (np.arange(256) + s.lowest).astype(dtype)
    constants = {
        "as": np.float32(s.a_scale),
        "az": dtype(s.a_zero_point),
        "bs": np.float32(s.b_scale),
        "bz": dtype(s.b_zero_point),
        "cs": np.float32(s.scale),
        "cz": dtype(s.zero_point),
    }
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = helper.make_node("QLinearAdd", ["a", "as", "az", "b", "bs", "bz", "cs", "cz"], ["c"], domain="com.microsoft")
    graph = helper.make_graph(
        [node],
        "add",
        [helper.make_tensor_value_info(name, kind, [65536]) for name in "ab"],
        [helper.make_tensor_value_info("c", kind, [65536])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    session = session_of(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    result = session.run(None, {"a": np.repeat(values, 256), "b": np.tile(values, 256)})[0]
    return result.astype(np.int64).reshape(256, 256) - s.lowest - 128


def test_the_table_is_onnxruntimes() -> None:
    seed = 11
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for trial in range(60):
        s = random_scaling(rng, trial % 5)
        np.testing.assert_array_equal(onnxruntime_add(s), in_onnxruntime(s), str(s))


def test_integers_give_the_table() -> None:
    """wrong counts truly; at least 98 % of random scales, and all equal and dyadic ones, are exact."""
    seed = 12
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    integers = np.arange(-128, 128).astype(np.int8)
    a, b = np.repeat(integers, 256), np.tile(integers, 256)
    exact = 0
    for trial in range(300):
        s = random_scaling(rng, trial % 5)
        found = integer_add(s)
        assert found is not None
        centres = (s.a_zero_point - s.lowest - 128, s.b_zero_point - s.lowest - 128)
        op = Add(
            "add", ("a", "b"), ("c",), centres, LEFT_SHIFT, found.operands, 0, found.result, (-128, 127), found.bias
        )
        for how in found.operands:
            assert -31 <= how.shift[0] <= 0 and 0 <= how.multiplier[0] < 2**31
        off = np.abs(add(op, a, b).astype(np.int64) - onnxruntime_add(s).reshape(-1))
        assert off.max() <= 1 and int(off.sum()) == found.wrong, s
        assert found.wrong == 0 or trial % 5 > 1, s
        exact += found.wrong == 0
    print(f"{exact} of 300 exact")
    assert exact >= 294


def test_ties_that_float32_decides_are_counted() -> None:
    """Decimal scales with a common denominator: many real sums are ties, and float32's errors decide them."""
    found = integer_add(Scaling(0.021, 0, 0.013, 0, 0.03, 0, False))
    assert found is not None and 0 < found.wrong < 1000


@pytest.mark.parametrize("ratio", [1e-12, 1e7])
def test_scales_far_apart(ratio: float) -> None:
    """A vanishing operand, and one that the hardware's factors do not reach."""
    found = integer_add(Scaling(ratio, 0, 1.0, 0, 1.0, 0, False))
    assert found is None if ratio > 1 else found is not None and found.wrong == 0
