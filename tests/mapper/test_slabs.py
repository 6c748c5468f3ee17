"""Chains by slabs of channels: a convolution and the depthwise or pooling layers behind it, some channels at a time."""

from __future__ import annotations

import numpy as np
import pytest
from mapper_check import check
from mapper_graphs import Builder

from intaglio.hw.config import Config, load_config
from intaglio.hw.isa import LocalMemory, Opcode
from intaglio.mapper.fused import ChainPlan
from intaglio.mapper.lower import lower
from intaglio.mapper.residency import Placed, Scheduler
from intaglio.network.execute import random_inputs
from intaglio.network.graph import Graph, Padding
from intaglio.sim.engines import run_program

BANKS = ["activation_bytes=8192", "activation_banks=4", "weight_bytes=8192"]
FEW_WEIGHTS = ["activation_bytes=16384", "weight_bytes=4096"]
ODD = ["rows=3", "cols=5", "activation_bytes=6144", "activation_banks=3", "weight_bytes=2048", "bus_bytes=4", "memory.bytes_per_cycle=4"]


def network(seed: int, shape: tuple[int, int, int], channels: int, stride: int, behind: str) -> Graph:
    """A convolution of 1 x 1 and what is behind it, then one more that reads every channel."""
    b = Builder(seed)
    x = b.conv(b.conv(b.input(1, *shape), shape[2], (1, 1)), channels, (1, 1))
    match behind:
        case "depthwise":
            x = b.conv(x, channels, (3, 3), (stride, stride), padding=Padding(1, 1, 1, 1), groups=channels)
        case "twice":
            x = b.conv(x, channels, (3, 3), padding=Padding(1, 1, 1, 1), groups=channels)
            x = b.conv(x, channels, (2, 3), (stride, stride), padding=Padding(0, 1, 1, 1), groups=channels)
        case "maximum":
            x = b.maximum(x, (3, 3), (stride, stride))
        case "mean":
            return b.graph(b.mean(x))
    return b.graph(b.conv(x, 8, (1, 1)))


def slabs_of(graph: Graph, config: Config) -> list[Placed]:
    layers = Scheduler(lower(graph, config), config, False).run().layers
    return [layer for layer in layers if isinstance(layer.plan, ChainPlan) and layer.plan.slabs]


CASES = [
    ("tiny16", BANKS, (7, 7, 16), 96, 1, "depthwise"),
    ("tiny16", BANKS, (9, 11, 8), 72, 1, "maximum"),
    ("tiny16", BANKS, (14, 14, 24), 120, 1, "mean"),
    ("tiny16", FEW_WEIGHTS, (14, 14, 24), 120, 2, "depthwise"),
    ("tiny16", FEW_WEIGHTS, (14, 14, 24), 120, 1, "twice"),
    ("edge64", BANKS, (14, 14, 24), 120, 1, "depthwise"),
    ("edge64", BANKS, (14, 14, 24), 128, 1, "maximum"),
    ("edge64", FEW_WEIGHTS, (14, 14, 24), 120, 1, "depthwise"),
    ("edge64", FEW_WEIGHTS, (14, 14, 24), 120, 2, "depthwise"),
    ("tiny16", ODD, (8, 9, 12), 60, 1, "depthwise"),
]


@pytest.mark.parametrize(("name", "setting", "shape", "channels", "stride", "behind"), CASES)
def test_slabs_compute_what_layers_do(
    name: str, setting: list[str], shape: tuple[int, int, int], channels: int, stride: int, behind: str
) -> None:
    config = load_config(name, setting)
    graph = network(1, shape, channels, stride, behind)
    assert slabs_of(graph, config)
    check(graph, config)
    check(graph, config, keep_all=True)


def test_the_cases_differ() -> None:
    """Stored and on chip, one piece and several, weights kept and not: each is among them."""
    found = set()
    for name, setting, shape, channels, stride, behind in CASES:
        for layer in slabs_of(network(1, shape, channels, stride, behind), load_config(name, setting)):
            assert isinstance(layer.plan, ChainPlan)
            found.add(("stored", layer.setting.stored))
            found.add(("pieces", len(layer.plan.pieces) > 1))
            found.add(("kept", any(g is not None and g.kept for g in layer.plan.groups)))
    assert found == {(what, yes) for what in ("stored", "pieces", "kept") for yes in (False, True)}


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[5], CASES[9]])
def test_on_the_rtl(case) -> None:
    name, setting, shape, channels, stride, behind = case
    graph, config = network(2, shape, channels, stride, behind), load_config(name, setting)
    assert slabs_of(graph, config)
    program = check(graph, config)
    host, rtl = (run_program(config, program, random_inputs(graph, 0), engine) for engine in ("host", "rtl"))
    assert host.cycles == rtl.cycles
    assert np.array_equal(host.retire_cycles, rtl.retire_cycles)
    assert host.counters == rtl.counters
    assert np.array_equal(host.memory, rtl.memory)


def test_each_weight_is_loaded_once() -> None:
    """Where the input is on chip, though neither layer's output is."""
    config = load_config("tiny16", FEW_WEIGHTS)
    graph = network(1, (14, 14, 24), 120, 1, "depthwise")
    (layer,) = slabs_of(graph, config)
    tags = {task.tag for task in layer.chain.tasks}
    loaded = sum(
        c["rows"] * c["row_bytes"]
        for c in check(graph, config).commands
        if c.opcode is Opcode.LOAD and c["memory"] == LocalMemory.WEIGHT and c["tag"] in tags
    )
    each = [task.channel_tiles(config) * task.geometry.steps for task, _ in layer.convolutions]
    assert loaded == sum(each) * config.weight_word_bytes
