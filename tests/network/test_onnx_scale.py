"""Scales: elementwise changes of quantization for all 256 inputs; orders as forms."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.network.arithmetic import requantize
from intaglio.network.graph import Rounding
from intaglio.network.onnx.scale import elementwise, float_scale, mean_scale, product_scale
from intaglio.network.onnx.values import Unsupported, form_of


def table_of(scale: np.float32, zero_point: int, to: np.float32, to_zero_point: int) -> np.ndarray:
    """DequantizeLinear and QuantizeLinear in float32."""
    real = (np.arange(-128, 128) - zero_point).astype(np.float32) * scale
    return np.clip(np.rint(real / to) + to_zero_point, -128, 127).astype(np.int64)


def test_changes_of_quantization() -> None:
    """Random and equal scales: exact. Ratios that are fractions have ties, which float32's errors decide: counted."""
    seed = 3
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    exact = [0, 0, 0, 0]
    for trial in range(2000):
        scale = np.float32(np.exp(rng.uniform(-6, 0)))
        factor = [
            1.0,
            2.0 ** int(rng.integers(-6, 4)),
            rng.integers(1, 9) / rng.integers(1, 9),
            np.exp(rng.uniform(-2, 2)),
        ]
        to = np.float32(scale * np.float32(factor[trial % 4]))
        zero_point, to_zero_point = rng.integers(-128, 128, 2).tolist()
        table = table_of(scale, zero_point, to, to_zero_point)
        how, wrong = elementwise(table, zero_point, to_zero_point, (-128, 127), float(scale / to))
        got = np.clip(requantize(np.arange(-128, 128) - zero_point, how) + to_zero_point, -128, 127)
        assert wrong == int((got != table).sum())
        assert np.abs(got - table).max() <= 1
        exact[trial % 4] += wrong == 0
    print(f"exact of 500: equal {exact[0]}, powers of two {exact[1]}, fractions {exact[2]}, any {exact[3]}")
    assert exact[0] == exact[3] == 500 and min(exact) > 250


def test_multipliers_from_the_steps_where_float_fails() -> None:
    """Half up: no binary32 product makes these steps."""
    for ratio, table in ((0.5, (np.arange(-128, 128) + 1) // 2), (0.25, (np.arange(-128, 128) + 2) // 4)):
        how, wrong = elementwise(table, 0, 0, (-128, 127), ratio)
        assert wrong == 0 and how.rounding is Rounding.SINGLE


def test_scales_are_onnxruntimes_float32() -> None:
    how = product_scale(np.float32(0.1), np.array([0.3, 0.7], np.float32), np.float32(0.9))
    wanted = np.float32(0.1) * np.array([0.3, 0.7], np.float32) / np.float32(0.9)
    np.testing.assert_array_equal(
        np.ldexp(how.multiplier.astype(np.float64), how.shift - 31), wanted.astype(np.float64)
    )
    assert not (how.multiplier % 128).any() and how.rounding is Rounding.FLOAT
    mean = mean_scale(np.float32(0.1), np.float32(0.3), 49)
    wanted = np.float32(0.1) / (np.float32(0.3) * np.float32(49))
    assert np.ldexp(float(mean.multiplier[0]), int(mean.shift[0]) - 31) == float(wanted)


@pytest.mark.parametrize("scale", [np.inf, np.nan, 0.0, -1.0, 2.0**31])
def test_impossible_factors_are_refused(scale: float) -> None:
    with pytest.raises(Unsupported, match="not between 0 and 2"):
        float_scale(np.array([scale], np.float32))


def test_forms_of_random_reshapes_and_transposes() -> None:
    """A form is found for every view that is one, and gives the array back."""
    seed = 4
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    found = refused = 0
    for _ in range(300):
        shape = tuple(rng.integers(1, 5, 4).tolist())
        order = np.arange(int(np.prod(shape))).reshape(shape).transpose(rng.permutation(4))
        if rng.random() < 0.7:
            order = order.reshape(*order.shape[:2], -1) if rng.random() < 0.5 else order.reshape(-1)
            order = order.transpose(rng.permutation(order.ndim))
        try:
            form = form_of(order, np.dtype(np.uint8))
        except Unsupported:
            refused += 1
            continue
        found += 1
        values = rng.integers(-128, 128, shape).astype(np.int8)
        seen = (values.reshape(-1)[order].astype(np.int16) + 128).astype(np.uint8)
        np.testing.assert_array_equal(form.to_file(values), seen)
        np.testing.assert_array_equal(form.from_file(seen, shape, np.dtype(np.int8)), values)
    assert found == 300 and refused == 0


def test_an_order_that_is_no_view_is_refused() -> None:
    with pytest.raises(Unsupported, match="would have to move"):
        form_of(np.array([0, 2, 1, 3, 4, 5]), np.dtype(np.int8))
