"""Rows of sums to bytes: as one sum after the other."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.machine.isa import RoundingCode
from intaglio.sim.requantize import requantize, requantize_row, scales_of
from tests.binary32_cases import all_ties


def wrapped(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64).astype(np.int32).astype(np.int64)


def hold_alike(
    totals: np.ndarray,
    bias: np.ndarray,
    multiplier: np.ndarray,
    shift: np.ndarray,
    rounding: int,
    output: tuple[int, int, int],
) -> None:
    zero, low, high = output
    out = np.zeros(totals.size, np.int8)
    requantize_row(totals, scales_of(bias, multiplier, shift, rounding), zero, low, high, out)
    sums = wrapped(totals.astype(np.int64) + bias)
    scaled = [requantize(int(t), int(m), int(s), rounding) for t, m, s in zip(sums, multiplier, shift, strict=True)]
    want = np.minimum(np.maximum(np.array(scaled) + zero, low), high)
    assert np.array_equal(out, want), np.flatnonzero(out != want)[:5]


@pytest.mark.parametrize("rounding", list(RoundingCode), ids=lambda r: r.name)
@pytest.mark.parametrize("bits", [24, 31], ids=["significands", "any multiplier"])
def test_random_rows(rounding: RoundingCode, bits: int) -> None:
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    edges = [0, 1, -1, 2**31 - 1, -(2**31), 2**30]
    for _ in range(200):
        n = int(rng.integers(1, 70))
        totals = rng.integers(-(2**31), 2**31, n) >> rng.integers(0, 31, n)
        totals[: n // 4] = rng.choice(edges, n // 4)
        bias = rng.integers(-(2**31), 2**31, n) >> rng.integers(0, 32, n)
        multiplier = rng.integers(2 ** (bits - 1), 2**bits, n) << (31 - bits)
        multiplier[rng.random(n) < 0.1] = 0
        shift = rng.integers(-31, 31, n) if rng.random() < 0.5 else rng.integers(-12, 1, n)
        low, high = sorted(rng.integers(-128, 128, 2).tolist())
        hold_alike(
            totals.astype(np.int32), bias, multiplier, shift, int(rounding), (int(rng.integers(-128, 128)), low, high)
        )


def test_ties_of_float() -> None:
    totals, multipliers, shifts = all_ties()
    chosen = np.flatnonzero((multipliers & 127 == 0) & (np.abs(totals) < 2**31))[::7]
    assert chosen.size
    none = np.zeros(chosen.size, np.int64)
    hold_alike(
        totals[chosen].astype(np.int32),
        none,
        multipliers[chosen],
        shifts[chosen],
        int(RoundingCode.FLOAT),
        (0, -128, 127),
    )


def test_scales_that_no_requantizer_takes() -> None:
    one = np.ones(1, np.int64)
    with pytest.raises(IndexError, match="a shift beyond -31 to 30"):
        scales_of(one, one, 31 * one, 0)
    with pytest.raises(IndexError, match="for FLOAT"):
        scales_of(one, 2**29 * one, one, int(RoundingCode.FLOAT))
