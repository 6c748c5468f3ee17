"""Products of small integers against numpy's in 64 bits."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from intaglio.sim.products import LEAST_ROWS, WIDTH, multiply, pack


def hold_exact(rows: int, steps: int, columns: int, minus: int, rng: np.random.Generator) -> None:
    """Of random operands, the extremes among them; sums that stood there before stay in them."""
    inputs = rng.choice(np.array([-128, 127, *rng.integers(-128, 128, 9)]), (rows, steps))
    words = rng.choice(np.array([-128, 127, *rng.integers(-128, 128, 9)]), (steps, columns + 3)).astype(np.int8)
    panels, pairs = -(-columns // WIDTH), -(-steps // 2)
    weights = np.zeros((panels, pairs, WIDTH, 2), np.int16)
    for panel in range(panels):
        count = min(WIDTH, columns - panel * WIDTH)
        pack(words[:, panel * WIDTH :], count, minus, weights[panel])
    height = -(-rows // LEAST_ROWS) * LEAST_ROWS
    block = np.zeros((height, 2 * pairs), np.int16)
    block[:rows, :steps] = inputs
    before = rng.integers(-(2**31), 2**31, (height, panels * WIDTH)).astype(np.int32)
    sums = before.copy()
    multiply(block, weights, sums)
    exact = inputs @ (words[:, :columns].astype(np.int64) - minus) + before[:rows, :columns]
    assert np.array_equal(sums[:rows, :columns], exact.astype(np.int32))  # wraps
    assert np.array_equal(sums[:, columns:], before[:, columns:])


def test_random_shapes() -> None:
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    for _ in range(300):
        hold_exact(
            int(rng.integers(1, 40)),
            int(rng.integers(1, 70)),
            int(rng.integers(1, 50)),
            int(rng.integers(-128, 128)),
            rng,
        )


def test_sums_that_wrap() -> None:
    hold_exact(7, 70_000, 17, -128, np.random.default_rng(1))


@pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="is the other process")
def test_a_processor_without_vector_pairs() -> None:
    """The same tests, compiled for the plainest processor of this kind."""
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed, 1 skipped" in done.stdout
