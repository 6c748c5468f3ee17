"""The requantizer in Verilator against the network's arithmetic: millions of elements, every mode, every tie of FLOAT."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.hw.scale import Requantizer
from intaglio.machine import latency
from intaglio.machine.config import ROUNDINGS
from intaglio.machine.isa import RoundingCode
from intaglio.network.arithmetic import requantize, wrap32
from intaglio.network.graph import Requantize, Rounding
from tests.binary32_cases import Cases, all_ties, random_cases
from tests.hw.verilated import Pipeline

BLOCK = 1_000_000


def check(pipeline: Pipeline, latency: int, cases: Cases, code: RoundingCode, rng: np.random.Generator) -> None:
    """Every case, with random zero points and clamps; the sum comes in random parts."""
    sums, multiplier, shift = cases
    count = sums.size
    zero_point = np.where(rng.random(count) < 0.5, 0, rng.integers(-128, 128, count))
    clamp = np.sort(rng.integers(-128, 128, (2, count)), axis=0)
    clamp = np.where(rng.random(count) < 0.9, np.array([[-128], [127]]), clamp)
    bias, carry = rng.integers(-(2**31), 2**31, count), rng.integers(0, 2, count)
    ports = {
        "sum": sums - bias - carry,
        "bias": bias,
        "carry": carry,
        "multiplier": multiplier,
        "shift": shift,
        "zero_point": zero_point,
        "clamp_min": clamp[0],
        "clamp_max": clamp[1],
        "rounding": np.full(count, int(code)),
    }
    scaled = requantize(sums, Requantize(multiplier, shift, Rounding[code.name]))
    if code is not RoundingCode.FLOAT:
        scaled = wrap32(scaled)  # beyond 32 bits, which no network reaches, they wrap
    wanted = np.clip(scaled + zero_point, *clamp)
    got = pipeline.run(ports, latency).astype(np.int8)
    wrong = np.flatnonzero(got != wanted)
    first = wrong[:1]
    assert wrong.size == 0, (
        f"{wrong.size} of {count}: sum {sums[first]} multiplier {multiplier[first]} shift {shift[first]} zero point "
        f"{zero_point[first]} clamp {clamp[:, first].ravel()}: {got[first]}, not {wanted[first]}"
    )


def seeded() -> np.random.Generator:
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    return np.random.default_rng(seed)


def test_float_rounds_as_binary32_at_every_tie():
    requantizer = Requantizer()
    check(Pipeline(requantizer), latency.requantizer(ROUNDINGS), all_ties(), RoundingCode.FLOAT, seeded())


def test_float_is_binary32_arithmetic():
    """10 million sums."""
    rng = seeded()
    requantizer = Requantizer()
    pipeline = Pipeline(requantizer)
    for _ in range(10):
        check(pipeline, latency.requantizer(ROUNDINGS), random_cases(rng, BLOCK), RoundingCode.FLOAT, rng)


@pytest.mark.parametrize(
    "rounding", [("double", "single", "away"), ("double", "single", "away", "float")], ids="+".join
)
def test_the_other_modes_beside_float_and_without_it(rounding):
    rng = seeded()
    pipeline = Pipeline(Requantizer(rounding))
    for code in (RoundingCode.DOUBLE, RoundingCode.SINGLE, RoundingCode.AWAY):
        sums, multiplier, shift = random_cases(rng, BLOCK // 5)
        multiplier = np.where(multiplier, multiplier + rng.integers(0, 128, multiplier.size), 0)
        check(pipeline, latency.requantizer(rounding), (sums, multiplier, shift), code, rng)
