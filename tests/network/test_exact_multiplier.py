"""The searched multiplier against the reference's double arithmetic, sum by sum."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.network.arithmetic import requantize
from intaglio.network.exact_multiplier import AT_ONCE, Reach, exact_multipliers, reach, sums_off
from intaglio.network.graph import Requantize, Rounding


def reference(sums: np.ndarray, scale: float, zero_point: int, clamp: tuple[int, int]) -> np.ndarray:
    """LiteRT's fully connected: C's round() of the double product."""
    product = sums.astype(np.float64) * scale
    rounded = np.trunc(product) + np.where(np.abs(product - np.trunc(product)) >= 0.5, np.sign(product), 0)
    return np.clip(rounded + zero_point, *clamp).astype(np.int64)


def ours(sums: np.ndarray, pair: tuple[int, int], zero_point: int, clamp: tuple[int, int]) -> np.ndarray:
    how = Requantize(np.array([pair[0]]), np.array([pair[1]]), Rounding.SINGLE)
    return np.clip(requantize(sums, how) + zero_point, *clamp)


def reaches(*farthest: int) -> Reach:
    return Reach(np.array(farthest), np.array(farthest))


@pytest.mark.parametrize("clamp", [(-128, 127), (-128, 0), (20, 127)])
@pytest.mark.parametrize("zero_point", [-128, -5, 0, 127])
def test_equals_the_reference_on_every_sum(zero_point: int, clamp: tuple[int, int]) -> None:
    scales = np.array([0.5, 0.25, 1.0, 1.5, 1 / 3, 0.0078125, 3.3e-4, 100.0, 2.0**-40, 2.0**-300])
    far = [int(min(300 / scale, 10**6)) + 10 for scale in scales]
    multipliers, shifts, found = exact_multipliers(scales, reaches(*far), zero_point, clamp)
    assert found.all()
    for scale, farthest, *pair in zip(scales, far, multipliers.tolist(), shifts.tolist(), strict=True):
        assert pair == [0, 0] or 2**30 <= pair[0] < 2**31
        sums = np.arange(-farthest, farthest + 1)
        np.testing.assert_array_equal(ours(sums, pair, zero_point, clamp), reference(sums, scale, zero_point, clamp))


def test_multipliers_are_within_every_bound_and_the_nearest_of_those() -> None:
    """Against the bounds of each step in Python's integers, channel by channel, on more channels than are looked at together;
    reaches up to 2**31 - 1, scales from 2**-33 to 2**29."""
    rng = np.random.default_rng(5)
    count, clamp, zero_point = AT_ONCE + 40, (-128, 127), -3
    scales = np.exp2(rng.uniform(-33, 29, count))
    scales[::2] = rng.uniform(0.5, 1, len(scales[::2])) * 2.0 ** rng.integers(-20, -10, len(scales[::2]))
    sums = Reach(*(np.exp2(rng.uniform(0, 31, (2, count))).astype(np.int64)))
    multipliers, shifts, found = exact_multipliers(scales, sums, zero_point, clamp)
    assert 0 < (~found).sum() < count // 2
    for i in rng.choice(count, 60, replace=False).tolist():
        low, high = 2**30, 2**31 - 1
        fraction, shift = np.frexp(scales[i])
        if shift < -31:
            assert (found[i], multipliers[i], shifts[i]) == (True, 0, 0)
            continue
        for far, steps, strict in ((sums.highest[i], 130, 0), (sums.lowest[i], 125, 1)):
            for step in range(1, steps + 1):
                edge = (2 * step - 1) * 2 ** (30 - int(shift))  # reached where sum * m + strict > edge, or is it
                first = int((step - 0.5) / scales[i])
                while first * scales[i] < step - 0.5 or (first > 0 and (first - 1) * scales[i] >= step - 0.5):
                    first += 1 if first * scales[i] < step - 0.5 else -1
                if first <= far:
                    low = max(low, -(-(edge + strict) // first))
                if (before := min(first - 1, int(far))) > 0:
                    high = min(high, (edge + strict - 1) // before)
        assert found[i] == (low <= high)
        if low <= high:
            nearest = int(np.floor(fraction * 2.0**31 + 0.5))
            assert (multipliers[i], shifts[i]) == (min(max(nearest, low), high), shift)


def test_where_no_multiplier_fits_the_sums_off_are_counted() -> None:
    """Tiny scales, of which some cannot be met; the counts equal those of trying every sum."""
    far = 10**7
    scales = np.random.default_rng(1).uniform(0.5, 1, 4000) * 2.0**-15
    scales = scales[~exact_multipliers(scales, reaches(*[far] * 4000), -128, (-128, 127))[2]]
    assert scales.size
    fractions, shifts = np.frexp(scales)
    pairs = np.round(fractions * 2**31).astype(np.int64), shifts
    counts = sums_off(scales, pairs, reaches(*[far] * len(scales)), -128, (-128, 127))
    sums = np.arange(0, far + 1)
    wrong = ours(sums, (pairs[0][0], shifts[0]), -128, (-128, 127)) != reference(sums, scales[0], -128, (-128, 127))
    assert counts[0] == wrong.sum() > 0


def test_reach_is_the_tight_range_of_sums() -> None:
    weights = np.array([[1, -2], [0, 0]], np.int8)
    found = reach(weights, np.array([10, -7], np.int32), 3)
    assert found.lowest.tolist() == [369, 7] and found.highest.tolist() == [396, 0]
