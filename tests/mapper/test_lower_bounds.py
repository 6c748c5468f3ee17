"""No program takes fewer cycles than the bounds that it states, of the network and of a layer that is all of it."""

from __future__ import annotations

import numpy as np
import pytest
from mapper_graphs import Builder

from intaglio.machine.config_files import load_config
from intaglio.mapper import map_network
from intaglio.network.graph import Graph, Padding
from intaglio.sim.engines import clock_of, cycles_of


def stated(graph: Graph, machine: str, *overrides: str) -> tuple[int, int]:
    """The cycles of a program, and the network's bound."""
    config = load_config(machine, list(overrides))
    program = map_network(graph, config, clock=cycles_of)
    layers = program.layers
    bound = max(sum(layer.compute_cycles for layer in layers), sum(layer.memory_cycles for layer in layers))
    return clock_of(config, program.commands).cycles, bound


@pytest.mark.parametrize("machine", ["tiny16", "edge64", "edge256"])
@pytest.mark.parametrize("stride, kernel", [(2, 1), (4, 1), (9, 3), (13, 3), (3, 3)])
def test_windows_with_gaps_between_them(stride: int, kernel: int, machine: str) -> None:
    for kind in ("conv", "maximum", "average"):
        b = Builder(stride)
        x = b.input(1, 65, 61, 8)
        window, strides = (kernel, kernel), (stride, stride)
        y = b.conv(x, 8, window, strides) if kind == "conv" else getattr(b, kind)(x, window, strides)
        cycles, bound = stated(b.graph(y), machine, "memory.latency=1")
        assert 0 < bound <= cycles, kind


def test_an_output_under_two_names_is_stored_once() -> None:
    b = Builder(1)
    y = b.conv(b.input(1, 40, 40, 8), 8, (1, 1))
    once = stated(b.graph(y), "edge256")
    twice = stated(b.graph(y, b.reshape(y, 1, 1600, 1, 8)), "edge256")
    assert twice[1] == once[1] <= twice[0]


def test_an_input_with_several_readers_is_read_once() -> None:
    """The one that needs all of it counts, wherever it stands."""
    b = Builder(1)
    x = b.input(1, 64, 64, 8)
    first, second = b.maximum(x, (1, 1), (4, 4)), b.maximum(x, (1, 1), (1, 1))
    cycles, bound = stated(b.graph(first, second), "edge256")
    assert (64 * 64 * 8 * 2 + 16 * 16 * 8) // 16 <= bound <= cycles


@pytest.mark.parametrize("seed", range(12))
def test_drawn_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = Builder(seed)
    height, width, channels = (int(rng.integers(1, n)) for n in (40, 40, 20))
    x = b.input(int(rng.integers(1, 3)), height, width, channels)
    window = int(rng.integers(1, min(height, 5) + 1)), int(rng.integers(1, min(width, 5) + 1))
    stride = int(rng.integers(1, 8)), int(rng.integers(1, 8))
    padding = Padding(*(int(rng.integers(0, k)) for k in (window[0], window[0], window[1], window[1])))
    kind = str(rng.choice(["conv", "maximum", "average"]))
    y = (
        b.conv(x, 4, window, stride, padding=padding)
        if kind == "conv"
        else getattr(b, kind)(x, window, stride, padding)
    )
    for machine in ("tiny16", "edge64", "edge256"):
        cycles, bound = stated(b.graph(y), machine, "memory.latency=1")
        assert 0 < bound <= cycles, f"seed {seed}"


def test_rows_that_nothing_reads() -> None:
    """A layer that runs row by row before one that skips rows computes only those that are read, and reads no others."""
    b = Builder(1)
    x = b.conv(b.conv(b.input(1, 64, 69, 4), 11, (1, 1)), 12, (1, 1))
    cycles, bound = stated(b.graph(b.conv(x, 1, (1, 1), (4, 1))), "edge64", "rows=4", "cols=4")
    assert 0 < bound <= cycles
