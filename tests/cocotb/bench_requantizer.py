"""The requantizer alone: random sums, ties and extremes, every rounding, against the network's arithmetic."""

from __future__ import annotations

import cocotb
import numpy as np
from bench_side import TIMEOUT_MS, generator, started
from cocotb.triggers import ReadOnly, RisingEdge

from intaglio.machine import latency
from intaglio.machine.config import ROUNDINGS
from intaglio.machine.isa import RoundingCode
from intaglio.network.arithmetic import requantize, wrap32
from intaglio.network.graph import Requantize, Rounding

ELEMENTS = 6000
LATENCY = latency.requantizer(ROUNDINGS)
EXTREMES = np.array([-(2**31), -(2**31) + 1, -1, 0, 1, 2**31 - 1])
MULTIPLIERS = np.array([0, 1, 2**29, 2**30, 2**30 + 1, 2**31 - 1])


def inputs(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """ELEMENTS of each port, some of them such that a product lies at or beside the middle of two integers."""
    sums = rng.integers(-(2**31), 2**31, ELEMENTS) >> rng.integers(0, 31, ELEMENTS)
    bias = rng.integers(-(2**31), 2**31, ELEMENTS) >> rng.integers(0, 31, ELEMENTS)
    multiplier = rng.integers(2**30, 2**31, ELEMENTS)
    shift = rng.integers(-31, 31, ELEMENTS)
    special = rng.random(ELEMENTS) < 0.3
    sums = np.where(special, rng.choice(EXTREMES, ELEMENTS), sums)
    multiplier = np.where(rng.random(ELEMENTS) < 0.2, rng.choice(MULTIPLIERS, ELEMENTS), multiplier)
    # A tie: (2k + 1) * 2**30 * 2**(shift - 31) ends in one half for shift = 0; a step beside it on either side.
    tie = rng.random(ELEMENTS) < 0.3
    shift = np.where(tie, -rng.integers(0, 8, ELEMENTS), shift)
    near = ((2 * rng.integers(-200, 200, ELEMENTS) + 1) << -np.minimum(shift, 0)) + rng.integers(-1, 2, ELEMENTS)
    sums = np.where(tie, near, sums)
    multiplier = np.where(tie, 2**30, multiplier)
    bias = np.where(tie | (rng.random(ELEMENTS) < 0.5), 0, bias)
    carry = np.where(tie, 0, rng.integers(0, 2, ELEMENTS))
    rounding = rng.choice(list(RoundingCode), ELEMENTS)
    multiplier = np.where(rounding == RoundingCode.FLOAT, scale_of(multiplier), multiplier)
    low, high = np.sort(rng.integers(-128, 128, (2, ELEMENTS)), axis=0)
    whole = rng.random(ELEMENTS) < 0.8
    return {
        "sum": sums,
        "bias": bias,
        "carry": carry,
        "multiplier": multiplier,
        "shift": shift,
        "rounding": rounding,
        "zero_point": np.where(rng.random(ELEMENTS) < 0.5, 0, rng.integers(-128, 128, ELEMENTS)),
        "clamp_min": np.where(whole, -128, low),
        "clamp_max": np.where(whole, 127, high),
    }


def scale_of(multiplier: np.ndarray) -> np.ndarray:
    """FLOAT's multipliers: 0, or 24 significant bits from 2**30 on."""
    return np.where(multiplier == 0, 0, (multiplier | 2**30) & -128)


def expected(x: dict[str, np.ndarray]) -> np.ndarray:
    """What the network's arithmetic makes of them; a scaled sum beyond 32 bits, which no network reaches, wraps, that of
    FLOAT saturates."""
    out = np.zeros(ELEMENTS, np.int64)
    for code in RoundingCode:
        at = x["rounding"] == code
        how = Requantize(x["multiplier"][at], x["shift"][at], Rounding[code.name])
        scaled = requantize(wrap32(x["sum"][at] + x["bias"][at] + x["carry"][at]), how)
        if code is not RoundingCode.FLOAT:
            scaled = wrap32(scaled)
        out[at] = np.clip(scaled + x["zero_point"][at], x["clamp_min"][at], x["clamp_max"][at])
    return out


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def elements(dut) -> None:
    """One element each cycle, each by its own constants, LATENCY cycles later."""
    x = inputs(generator())
    right = expected(x)
    await started(dut)
    for now in range(ELEMENTS + LATENCY):
        if now < ELEMENTS:
            for port, values in x.items():
                getattr(dut, port).value = int(values[now])
        await ReadOnly()
        at = now - LATENCY
        if at >= 0:
            got = dut.out.value.to_signed()
            assert got == right[at], {port: int(values[at]) for port, values in x.items()} | {"expected": right[at]}
        await RisingEdge(dut.clk)
