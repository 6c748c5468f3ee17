"""The searched multiplier against the reference's double arithmetic, sum by sum."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.network.arithmetic import requantize
from intaglio.network.exact_multiplier import Reach, exact_multiplier, reach, sums_off
from intaglio.network.graph import Requantize, Rounding


def reference(sums: np.ndarray, scale: float, zero_point: int, clamp: tuple[int, int]) -> np.ndarray:
    """LiteRT's fully connected: C's round() of the double product."""
    product = sums.astype(np.float64) * scale
    rounded = np.trunc(product) + np.where(np.abs(product - np.trunc(product)) >= 0.5, np.sign(product), 0)
    return np.clip(rounded + zero_point, *clamp).astype(np.int64)


def ours(sums: np.ndarray, pair: tuple[int, int], zero_point: int, clamp: tuple[int, int]) -> np.ndarray:
    how = Requantize(np.array([pair[0]]), np.array([pair[1]]), Rounding.SINGLE)
    return np.clip(requantize(sums, how) + zero_point, *clamp)


@pytest.mark.parametrize("clamp", [(-128, 127), (-128, 0), (20, 127)])
@pytest.mark.parametrize("zero_point", [-128, -5, 0, 127])
@pytest.mark.parametrize("scale", [0.5, 0.25, 1.0, 1.5, 1 / 3, 0.0078125, 3.3e-4, 100.0, 2.0**-40])
def test_equals_the_reference_on_every_sum(scale: float, zero_point: int, clamp: tuple[int, int]) -> None:
    far = int(min(300 / scale, 10**6)) + 10
    pair = exact_multiplier(scale, Reach(far, far), zero_point, clamp)
    assert pair is not None
    assert pair == (0, 0) or 2**30 <= pair[0] < 2**31
    sums = np.arange(-far, far + 1)
    np.testing.assert_array_equal(
        ours(sums, pair, zero_point, clamp), reference(sums, scale, zero_point, clamp)
    )


def test_where_no_multiplier_fits_the_sums_off_are_counted() -> None:
    """A tiny scale: the first of a few that cannot be met; the count equals that of trying every sum."""
    rng = np.random.default_rng(1)
    far, found = 10**7, None
    while found is None:
        scale = float(rng.uniform(0.5, 1) * 2.0**-15)
        if exact_multiplier(scale, Reach(far, far), -128, (-128, 127)) is None:
            found = scale
    fraction, shift = np.frexp(found)
    pair = (round(fraction * 2**31), int(shift))
    sums = np.arange(0, far + 1)
    wrong = ours(sums, pair, -128, (-128, 127)) != reference(sums, found, -128, (-128, 127))
    assert sums_off(found, pair, Reach(far, far), -128, (-128, 127)) == wrong.sum() > 0


def test_reach_is_the_tight_range_of_sums() -> None:
    weights = np.array([[1, -2], [0, 0]], np.int8)
    assert reach(weights, np.array([10, -7]), 3) == [Reach(369, 396), Reach(7, 0)]
