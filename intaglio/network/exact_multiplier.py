"""A fixed-point multiplier that equals LiteRT's double-precision fully connected operator on every sum.

LiteRT's reference computes `round(double(sum) * scale)`, half away from zero
(`reference/integer_ops/fully_connected.h`). Hardware computes `(sum * m + 2**(s-1)) >> s`. Both are
staircases in the sum, and only the at most 255 steps inside the output's range matter, for sums that the
weights and bias can reach. Each step bounds m from both sides; any integer m within all bounds gives the
same output for every reachable sum. TFLite's own multiplier is within them for most layers, not for all,
and never for a scale with ties (such as 1/2), since the two round -1/2 to different sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

AT_ONCE = 1 << 10
"""Channels whose steps are looked at together: megabytes, however many channels there are."""
_MOST = 2**31 - 1
"""Greatest multiplier."""
_FAR = float(2**62)
"""Edges from here on bound no multiplier, since no sum reaches 2**31."""


@dataclass(frozen=True)
class Reach:
    """The sums that each of some channels can have: -lowest..highest, int64 [channels], all from 0 to 2**31 - 1."""

    lowest: np.ndarray
    highest: np.ndarray

    @property
    def widest(self) -> Reach:
        """One channel with all of their sums."""
        return Reach(self.lowest.max(keepdims=True), self.highest.max(keepdims=True))

    def __getitem__(self, channels: slice | np.ndarray) -> Reach:
        return Reach(self.lowest[channels], self.highest[channels])


def reach(weights: np.ndarray, bias: np.ndarray, zero_point: int) -> Reach:
    """The range of sums of each channel: weights [O, I] less their zero point, bias int32 [O], inputs int8."""
    low, high = -128 - zero_point, 127 - zero_point  # of an input less its zero point: at most 0, and at least
    positive = np.maximum(weights, 0).sum(axis=1, dtype=np.int64)
    negative = np.minimum(weights, 0).sum(axis=1, dtype=np.int64)
    highest = positive * high + negative * low + bias
    lowest = positive * low + negative * high + bias
    return Reach(np.maximum(-lowest, 0), np.maximum(highest, 0))


def first_sums_reaching(steps: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The smallest sums >= 0 whose products with the scales, in double precision, round to at least `steps` >= 1:
    int64, of the two arrays' common shape."""
    targets = steps - 0.5
    guess: np.ndarray = np.maximum(np.floor(targets / scales) - 1, 0)
    while (short := guess * scales < targets).any():
        guess += short
    return guess.astype(np.int64)


def exact_multipliers(
    scales: np.ndarray, sums: Reach, zero_point: int, clamp: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m, shift, found), [channels] each: SINGLE rounding with m and shift equals the reference for every sum in reach;
    where found is False no m does.

    scales: double [channels], 0 < scale < 2**30. zero_point and clamp: the output's, int8. m is 0 or 2**30 <= m < 2**31;
    -31 <= shift <= 30.
    """
    parts = [
        _exact_multipliers(scales[i : i + AT_ONCE], sums[i : i + AT_ONCE], zero_point, clamp)
        for i in range(0, len(scales), AT_ONCE)
    ]
    multipliers, shifts, found = (np.concatenate(column) for column in zip(*parts, strict=True))
    return multipliers, shifts, found


def _exact_multipliers(
    scales: np.ndarray, sums: Reach, zero_point: int, clamp: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    fractions, shifts = np.frexp(scales)
    low, high = np.full(len(scales), 2**30), np.full(len(scales), _MOST)
    for steps, farthest, positive in _sides(sums, zero_point, clamp):
        edges, near, first = _edges(steps, scales, shifts)
        before, reached = np.minimum(first - 1, farthest), first <= farthest
        # Positive sums step up at sum * m >= edge, negative ones step down at |sum| * m > edge.
        below = (edges - positive) // np.maximum(before, 1)
        high = np.minimum(high, np.where((before > 0) & near, below, _MOST).min(axis=1, initial=_MOST))
        above = -(-edges // np.maximum(first, 1)) if positive else edges // np.maximum(first, 1) + 1
        low = np.maximum(low, np.where(reached, above, 0).max(axis=1, initial=0))
    nearest = np.floor(fractions * 2.0**31 + 0.5).astype(np.int64)
    small = shifts < -31  # sums below 2**31 stay below one half
    found = (low <= high) | small
    multipliers = np.where(small, 0, np.minimum(np.maximum(nearest, low), high))
    return multipliers, np.where(small, 0, shifts).astype(np.int64), found


def sums_off(
    scales: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], sums: Reach, zero_point: int, clamp: tuple[int, int]
) -> np.ndarray:
    """Number of sums in reach that give another output with (m, shift) and SINGLE rounding than the reference: int64
    [channels]. pairs: all m and all shifts, m > 0 and -31 <= shift <= 30."""
    parts = []
    for i in range(0, len(scales), AT_ONCE):
        some = slice(i, i + AT_ONCE)
        multipliers, off = pairs[0][some, None], np.zeros(len(scales[some]), np.int64)
        for steps, farthest, positive in _sides(sums[some], zero_point, clamp):
            edges, near, theirs = _edges(steps, scales[some], pairs[1][some])
            ours = -(-edges // multipliers) if positive else edges // multipliers + 1
            ours = np.where(near, ours, farthest + 1)
            off += np.abs(np.minimum(ours, farthest + 1) - np.minimum(theirs, farthest + 1)).sum(axis=1)
        parts.append(off)
    return np.concatenate(parts)


def _sides(sums: Reach, zero_point: int, clamp: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """(steps inside the output's range, int64; farthest sum of each channel, [channels, 1]; whether sums are
    positive)."""
    yield np.arange(max(1, clamp[0] - zero_point + 1), clamp[1] - zero_point + 1), sums.highest[:, None], True
    yield np.arange(max(1, zero_point + 1 - clamp[1]), zero_point - clamp[0] + 1), sums.lowest[:, None], False


def _edges(steps: np.ndarray, scales: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(edges, near, first), [channels, steps]: sum * m rounds to the step from (2 * step - 1) * 2**(s - 1) on, with s =
    31 - shift; near: where that is below 2**62 (elsewhere the edge is 2**62, and no sum reaches the step); the
    reference's first sum."""
    exponents = 30 - np.maximum(shifts, -31)[:, None]
    near = np.ldexp((2.0 * steps - 1)[None, :], exponents) < _FAR
    edges = np.where(near, (2 * steps - 1)[None, :] << np.where(near, exponents, 0), 1 << 62)
    scales = np.where(shifts < -31, 1.0, scales)  # below, no sum reaches a step
    return edges, near, first_sums_reaching(steps[None, :], scales[:, None])
