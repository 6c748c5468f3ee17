"""What CI tries: 300 pairs, half of them new in each run, and each kind of check on the RTL of one machine."""

from __future__ import annotations

import os
import random

import pytest

from tests.fuzz.command import fuzz, rtl_names
from tests.fuzz.state import State

JOBS = len(os.sched_getaffinity(0))


def tried(names: list[str]) -> dict[str, list[str]]:
    print(f"pairs {names[0]} to {names[-1]}; one again: python -m tests.fuzz --replay PAIR")
    return fuzz(names, State(None), JOBS)


def test_some_pairs() -> None:
    assert tried([str(seed) for seed in range(1000, 1020)]) == {}


@pytest.mark.slow
def test_fixed_pairs() -> None:
    assert tried([str(seed) for seed in range(150)]) == {}


@pytest.mark.slow
def test_fresh_pairs() -> None:
    first = random.SystemRandom().randrange(1 << 40)
    assert tried([str(first + i) for i in range(150)]) == {}


@pytest.mark.slow
def test_a_machine_s_rtl() -> None:
    assert tried(rtl_names([1], 8, 1)) == {}
