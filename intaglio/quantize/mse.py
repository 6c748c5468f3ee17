"""Clipping ranges that minimise the mean squared error of quantizing: plain numpy."""

from __future__ import annotations

import numpy as np

BINS = 4096
"""Bins of a histogram: 16 for each of the 256 levels, so that a range narrower than the histogram's is still told
apart."""
COARSE, FINE = 64, 16
"""The search tries k / 64 of the range, then refines by sixteenths of that."""
CANDIDATES_AT_ONCE = 2**21
"""Elements of a table of candidates times values."""


class Histogram:
    """Values between low and high, exact zeros left out (zero is always exact): each bin keeps its count and sum, so
    that values which lie on a grid, such as pixels, keep their place."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high
        self.counts = np.zeros(BINS, np.int64)
        self.sums = np.zeros(BINS, np.float64)

    def add(self, values: np.ndarray) -> None:
        """Values outside low..high count in the outermost bins."""
        values = values.astype(np.float64).ravel()
        values = values[values != 0]
        width = (self.high - self.low) / BINS or 1.0
        bins = ((values - self.low) / width).astype(np.int64).clip(0, BINS - 1)
        self.counts += np.bincount(bins, minlength=BINS)
        self.sums += np.bincount(bins, values, BINS)

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """(the mean of each bin that has values, how many)."""
        filled = self.counts > 0
        return self.sums[filled] / self.counts[filled], self.counts[filled].astype(np.float64)


def best_range(values: np.ndarray, counts: np.ndarray, levels: int) -> tuple[float, float]:
    """(low, high), low <= 0 <= high, whose asymmetric quantization with steps of (high - low) / levels has the least
    sum of squared errors over values that occur counts times; never worse than the full range.

    Coordinate descent: both ends together, then each alone until nothing improves.
    """
    ends = np.array([min(values.min(initial=0.0), 0.0), max(values.max(initial=0.0), 0.0)])
    if not ends.any():
        return 0.0, 0.0
    best = np.ones(2)
    least = np.inf

    def attempt(shares: np.ndarray) -> bool:
        """shares [K, 2] of the two ends: whether one is better than all before."""
        nonlocal best, least
        errors = _range_errors(values, counts, shares * ends, levels)
        at = int(errors.argmin())
        if errors[at] < least:
            best, least = shares[at], errors[at]
            return True
        return False

    coarse = np.arange(COARSE, 0, -1) / COARSE
    attempt(np.stack([coarse, coarse], axis=1))
    fine = np.arange(-FINE, FINE + 1) / (FINE * COARSE)
    for grid in (coarse, fine):
        improved = True
        while improved:
            improved = False
            for end in range(2):
                steps = grid if grid is coarse else np.clip(best[end] + fine, fine[-1] / FINE, 1)
                shares = np.repeat(best[None], len(steps), axis=0)
                shares[:, end] = steps
                improved |= bool(ends[end]) and attempt(shares)
    low, high = best * ends
    return float(low), float(high)


def _range_errors(values: np.ndarray, counts: np.ndarray, ranges: np.ndarray, levels: int) -> np.ndarray:
    """The sum of squared errors of each of the candidate ranges [K, 2]."""
    scales = (ranges[:, 1] - ranges[:, 0]) / levels
    scales = np.where(scales > 0, scales, 1.0)
    lowest = -np.rint(-ranges[:, 0] / scales)
    errors = np.empty(len(scales))
    step = max(1, CANDIDATES_AT_ONCE // max(1, values.size))
    for at in range(0, len(scales), step):
        part = slice(at, at + step)
        scale, low = scales[part, None], lowest[part, None]
        integers = np.clip(np.rint(values / scale), low, low + levels)
        errors[part] = ((integers * scale - values) ** 2) @ counts
    return errors
