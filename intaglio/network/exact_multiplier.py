"""A fixed-point multiplier that equals LiteRT's double-precision fully connected operator on every sum.

LiteRT's reference computes `round(double(sum) * scale)`, half away from zero
(`reference/integer_ops/fully_connected.h`). Hardware computes `(sum * m + 2**(s-1)) >> s`. Both are
staircases in the sum, and only the at most 255 steps inside the output's range matter, for sums that the
weights and bias can reach. Each step bounds m from both sides; any integer m within all bounds gives the
same output for every reachable sum. TFLite's own multiplier is within them for most layers, not for all,
and never for a scale with ties (such as 1/2), since the two round -1/2 to different sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reach:
    """The sums one channel (or several) can have: -lowest..highest, both >= 0."""

    lowest: int
    highest: int


def reach(weights: np.ndarray, bias: np.ndarray, zero_point: int) -> list[Reach]:
    """The range of sums of each channel: weights int8 [O, I], bias int32 [O], inputs int8."""
    wide = weights.astype(np.int64)
    at_low, at_high = wide * (-128 - zero_point), wide * (127 - zero_point)
    highest = np.maximum(at_low, at_high).sum(axis=1) + bias
    lowest = np.minimum(at_low, at_high).sum(axis=1) + bias
    return [Reach(max(-int(a), 0), max(int(b), 0)) for a, b in zip(lowest, highest, strict=True)]


def first_sum_reaching(step: int, scale: float) -> int:
    """The smallest sum >= 0 whose product with scale, in double precision, rounds to at least `step` >= 1."""
    target = step - 0.5
    guess = max(math.floor(target / scale) - 1, 0)
    while float(guess) * scale < target:
        guess += 1
    return guess


def exact_multiplier(
    scale: float, sums: Reach, zero_point: int, clamp: tuple[int, int]
) -> tuple[int, int] | None:
    """(m, shift) so that SINGLE rounding equals the reference for every sum in reach; None if no m does.

    scale: double, 0 < scale < 2**30; sums below 2**31. zero_point and clamp: the output's, int8.
    m is 0 or 2**30 <= m < 2**31; -31 <= shift <= 30.
    """
    fraction, shift = math.frexp(scale)
    if shift < -31:
        return 0, 0  # sums below 2**31 stay below one half
    half = 2 ** (30 - shift)  # 2**(s-1) with s = 31 - shift
    low, high = 2**30, 2**31 - 1
    up = range(max(1, clamp[0] - zero_point + 1), clamp[1] - zero_point + 1)
    down = range(max(1, zero_point + 1 - clamp[1]), zero_point - clamp[0] + 1)
    for steps, farthest, positive in ((up, sums.highest, True), (down, sums.lowest, False)):
        for step in steps:
            first = first_sum_reaching(step, scale)
            edge = (2 * step - 1) * half
            before = min(first - 1, farthest)
            # positive sums step up at sum * m >= edge, negative ones step down at |sum| * m > edge
            if before > 0:
                high = min(high, (edge - 1) // before if positive else edge // before)
            if first > farthest:
                break
            low = max(low, -(-edge // first) if positive else edge // first + 1)
    if low > high:
        return None
    return min(max(math.floor(fraction * 2.0**31 + 0.5), low), high), shift


def sums_off(
    scale: float, pair: tuple[int, int], sums: Reach, zero_point: int, clamp: tuple[int, int]
) -> int:
    """How many sums in reach give another output with (m, shift) and SINGLE rounding than the reference."""
    multiplier, shift = pair
    half = 2 ** (30 - shift)
    up = range(max(1, clamp[0] - zero_point + 1), clamp[1] - zero_point + 1)
    down = range(max(1, zero_point + 1 - clamp[1]), zero_point - clamp[0] + 1)
    off = 0
    for steps, farthest, positive in ((up, sums.highest, True), (down, sums.lowest, False)):
        for step in steps:
            edge = (2 * step - 1) * half
            ours = -(-edge // multiplier) if positive else edge // multiplier + 1
            theirs = first_sum_reaching(step, scale)
            if min(ours, theirs) > farthest:
                break
            off += abs(min(ours, farthest + 1) - min(theirs, farthest + 1))
    return off
