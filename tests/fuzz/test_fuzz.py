"""What CI tries: 300 pairs, half of them new in each run, and each kind of check on the RTL of one machine."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

from tests.fuzz.case import draw_case
from tests.fuzz.command import fuzz, rtl_names
from tests.fuzz.hold import Held, hold
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


def test_machines_share_compiled_code(tmp_path: Path) -> None:
    """Each function is compiled for two sets of types at most (arrays that may be written and not), whatever the machine. In
    a process of its own: other tests call compiled functions with types of theirs."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        counts = alone.submit(_compiled_for, range(2000, 2030), tmp_path).result()
    assert sum(counts.values()) > 20
    assert max(counts.values()) <= 2, counts


def _compiled_for(seeds: Iterable[int], folder: Path) -> dict[str, int]:
    """By function, for how many sets of types these pairs compile it."""
    for seed in seeds:
        assert isinstance(hold(draw_case(str(seed)), folder), Held)
    compiled = [
        value
        for name, module in list(sys.modules.items())
        if name.startswith("intaglio.")
        for value in vars(module).values()
        if isinstance(value, Dispatcher)
    ]
    return {
        f"{function.py_func.__module__}.{function.py_func.__qualname__}": len(function.signatures)
        for function in compiled
    }
