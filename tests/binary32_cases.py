"""Sums and scales at which requantizing by float32 has to choose: the ties of each of its three roundings.

A case is (sum, multiplier, shift) as FLOAT takes them: sum of 32 bits, multiplier 0 or a 24-bit significand times 128,
shift -31 to 30. An 8-bit result shows a rounding only where the product then lies beside the middle of two
integers, n + 1/2, so all cases but the random ones aim there: scale = significand * 2**(shift - 24).
"""

from __future__ import annotations

import numpy as np

Cases = tuple[np.ndarray, np.ndarray, np.ndarray]
"""int64 arrays of one length."""
SIGNIFICANT = 24
LARGEST = 300
"""Of n: results of more than 255 are beyond every clamp."""


def random_cases(rng: np.random.Generator, count: int) -> Cases:
    """A third each: anything; results of about 8 bits; a product next to n + 1/2, where the second and the third rounding
    depend on each other."""
    sums = rng.integers(-(2**31), 2**31, count) >> rng.integers(0, 32, count)
    sums = np.where(rng.random(count) < 0.01, rng.choice([-(2**31), 2**31 - 1, 0], count), sums)
    significands = rng.integers(2**23, 2**24, count)
    shifts = rng.integers(-31, 31, count)
    third = count // 3
    bits = np.ceil(np.log2(np.abs(sums[third:]) + 1)).astype(np.int64)
    shifts[third:] = np.clip(rng.integers(-1, 10, count - third) - bits, -31, 30)
    middle = rng.integers(0, LARGEST, third) + 0.5
    beside = np.rint(middle / significands[-third:] * 2.0 ** (SIGNIFICANT - shifts[-third:]))
    fits = beside < 2**31
    sums[-third:] = np.where(fits, beside * rng.choice([-1, 1], third), sums[-third:])
    multipliers = np.where(rng.random(count) < 0.01, 0, significands << 7)
    return sums, multipliers, shifts


def all_ties() -> Cases:
    """Every kind of tie, with the neighbours of each, and both signs."""
    parts = [_around(*kind) for kind in (_of_the_sum(), _of_the_product(), _of_the_result())]
    sums, multipliers, shifts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return np.concatenate((sums, -sums)), np.tile(multipliers, 2), np.tile(shifts, 2)


def _around(sums: np.ndarray, multipliers: np.ndarray, shifts: np.ndarray) -> Cases:
    """The cases, and those with a sum or a significand one more or less."""
    near_sums = np.concatenate([sums, sums - 1, sums + 1, sums, sums])
    near = np.concatenate([multipliers, multipliers, multipliers, multipliers - 128, multipliers + 128])
    shifts = np.tile(shifts, 5)
    legal = (near >= 2**30) & (near < 2**31) & (np.abs(near_sums) < 2**31) & (shifts >= -31) & (shifts <= 30)
    return near_sums[legal], near[legal], shifts[legal]


def _of_the_sum() -> Cases:
    """Sums of 25 to 32 bits half a unit of their last place from (2n + 1) * 2**j, a half of the scale 2**-(j + 1)."""
    rows = []
    for n in range(LARGEST):
        for j in range(31):
            middle = (2 * n + 1) << j
            for bits in range(1, 9):
                half = 1 << (bits - 1)
                for away in (0, half, half // 2, 3 * half):
                    rows += [(sum_, 1 << 30, -j) for sum_ in (middle - away, middle + away) if 2**24 <= sum_ < 2**31]
    return _columns(rows)


def _of_the_product() -> Cases:
    """Products of exactly 25 bits or more that lie half a unit of their 24th bit from n + 1/2: both roundings tie.

    With k the bits of n, (2n + 1) * 2**(24 - k) +- 1 units of 2**(k - 25), as every product of two factors that a sum
    (below 2**24, so that it is exact) and a significand can be.
    """
    rows = []
    for n in range(256):
        k = n.bit_length()
        for away in (-1, 1):
            product = ((2 * n + 1) << (24 - k)) + away
            for factor in _divisors(product):
                other = product // factor
                if factor < 1 << SIGNIFICANT and other < 1 << SIGNIFICANT:
                    rows += _scaled(other, factor, k - 25)
    return _columns(rows)


def _of_the_result() -> Cases:
    """Products of exactly n + 1/2."""
    rows = []
    for n in range(LARGEST):
        for factor in _divisors(2 * n + 1):
            rows += _scaled((2 * n + 1) // factor, factor, -1)
    return _columns(rows)


def _scaled(sum_: int, factor: int, exponent: int) -> list[tuple[int, int, int]]:
    """sum_ * factor * 2**exponent as a sum, times every power of two that it has room for, and a significand."""
    up = SIGNIFICANT - factor.bit_length()
    return [
        (sum_ << more, factor << up + 7, exponent - up + SIGNIFICANT - more) for more in range(32 - sum_.bit_length())
    ]


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return small + [number // d for d in small if d * d != number]


def _columns(rows: list[tuple[int, int, int]]) -> Cases:
    table = np.unique(np.array(rows, np.int64), axis=0)
    return table[:, 0], table[:, 1], table[:, 2]
