"""Layers that run together: regions and buffers of chains, their results, and what they save outside."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from mapper_check import check
from mapper_graphs import Builder

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Opcode
from intaglio.mapper.fusion.chain import Chain, can_chain
from intaglio.mapper.fusion.chain_plan import ChainPlan
from intaglio.mapper.fusion.rings import passages
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.schedule.schedule import Schedule
from intaglio.network.execute import random_inputs
from intaglio.network.graph import Graph, Padding
from intaglio.program.layout import Region
from intaglio.sim.engines import run_program

SAME = Padding(1, 1, 1, 1)
SMALL = [
    "activation_bytes=4096",
    "activation_banks=4",
    "weight_bytes=8192",
    "channel_bytes=2048",
    "memory.bytes_per_cycle=1",
]
ODD = [
    "rows=3",
    "cols=5",
    "activation_bytes=6144",
    "activation_banks=3",
    "weight_bytes=4096",
    "bus_bytes=4",
    "memory.bytes_per_cycle=2",
]


def inverted_bottleneck(seed: int) -> Graph:
    """Expand, 3 x 3, project, add: what MobileNetV2's blocks are made of."""
    b = Builder(seed)
    x = b.conv(b.input(1, 14, 14, 8), 8, (1, 1))
    y = b.conv(x, 24, (1, 1))
    y = b.conv(y, 24, (3, 3), padding=SAME)
    y = b.conv(y, 8, (1, 1))
    return b.graph(b.add(x, y))


def stem(seed: int) -> Graph:
    """A strided convolution, then overlapping maxima, over two images."""
    b = Builder(seed)
    x = b.conv(b.input(2, 23, 31, 3), 16, (5, 5), stride=(2, 2), padding=Padding(2, 2, 2, 2))
    return b.graph(b.maximum(x, (3, 3), (2, 2)))


def schedule_of(graph: Graph, config: Config) -> Schedule:
    return Scheduler(accepted(graph, config), config, False).run()


@pytest.mark.parametrize("setting", [SMALL, ODD])
@pytest.mark.parametrize("make", [inverted_bottleneck, stem])
@pytest.mark.parametrize("seed", [1, 2])
def test_chains_compute_what_layers_do(make, seed: int, setting: list[str]) -> None:
    graph = make(seed)
    config = load_config("tiny16", setting)
    schedule = schedule_of(graph, config)
    assert any(isinstance(layer.plan, ChainPlan) and len(layer.plan.pieces) > 1 for layer in schedule.layers)
    program = check(graph, config, seed=seed)
    for layer in schedule.layers:
        for task in layer.chain.tasks[:-1]:
            assert task.output.tensor not in program.places  # it never left the chip
    check(graph, config, keep_all=True, seed=seed)


@pytest.mark.parametrize("make", [inverted_bottleneck, stem])
def test_on_the_rtl(make) -> None:
    graph = make(3)
    config = load_config("tiny16", SMALL)
    program = check(graph, config)
    inputs = {name: value for name, value in random_inputs(graph, 0).items()}
    host, rtl = (run_program(config, program, inputs, engine) for engine in ("host", "rtl"))
    assert host.cycles == rtl.cycles
    assert np.array_equal(host.retire_cycles, rtl.retire_cycles)
    assert host.counters == rtl.counters
    assert np.array_equal(host.memory, rtl.memory)


def test_a_chain_saves_traffic() -> None:
    """What lies between is neither stored nor loaded: fewer bytes than with every layer by itself."""
    graph, config = inverted_bottleneck(1), load_config("tiny16", SMALL)
    moved = [
        sum(
            c["rows"] * c["row_bytes"]
            for c in check(graph, config, keep_all).commands
            if c.opcode in (Opcode.LOAD, Opcode.STORE) and c["memory"] == 0
        )
        for keep_all in (False, True)
    ]
    assert 3 * moved[0] < 2 * moved[1]


def test_needs_cover_windows_and_the_shortcut() -> None:
    network = accepted(inverted_bottleneck(1), load_config("tiny16"))
    chain = Chain(tuple(network.tasks[1:]))
    assert [x.tensor for x in chain.inputs] == [network.tasks[0].output.tensor]
    assert chain.sources == ((0,), (~0,), (~1,), (0, ~2))
    needs = chain.needs(Region(4, 6, 0, 14 * 8))
    assert needs.made[-1] == needs.made[-2] == Region(4, 6, 0, 14 * 8)
    assert needs.made[0] == Region(3, 7, 0, 14 * 24)
    assert needs.inputs == (Region(3, 7, 0, 14 * 8),)
    edge = chain.needs(Region(0, 1, 0, 2 * 8))
    assert edge.inputs == (Region(0, 2, 0, 3 * 8),)


def test_cuts_are_whole_pixels_through_element_by_element() -> None:
    network = accepted(inverted_bottleneck(1), load_config("tiny16"))
    assert Chain(tuple(network.tasks[3:])).cut.pixel == 8
    network = accepted(stem(1), load_config("tiny16"))
    assert Chain(tuple(network.tasks)).cut.image_rows == 5


def test_which_layers_may_chain() -> None:
    network = accepted(inverted_bottleneck(1), load_config("tiny16"))
    every = range(len(network.tasks))
    assert can_chain(network, range(1, 5), set())
    assert not can_chain(network, range(1, 5), {network.tasks[2].output.value})  # must be stored
    assert not can_chain(network, range(0, 2), set())  # the shortcut reads it too
    assert can_chain(network, every, set())
    for a, b in pairwise(every):
        assert can_chain(network, range(a, b + 1), set()) == (a != 0)


def residual(seed: int, size: int, channels: int, blocks: int) -> Graph:
    """As they are drawn from PyTorch: a block whose shortcut is a strided 1 x 1 convolution, then blocks with plain ones."""
    b = Builder(seed)
    x = b.conv(b.input(1, size, size, 3), channels, (3, 3), padding=SAME)
    for block in range(blocks):
        stride = (2, 2) if block % 2 == 0 else (1, 1)
        wide = b.tensors[x].shape[3] * stride[0]
        y = b.conv(x, wide, (3, 3), stride, padding=SAME)
        y = b.conv(y, wide, (3, 3), padding=SAME)
        x = b.add(y, b.conv(x, wide, (1, 1), stride) if stride != (1, 1) else x)
    return b.graph(b.dense(b.mean(x), 10))


@pytest.mark.parametrize("size, channels, blocks", [(64, 16, 2), (32, 8, 3), (16, 16, 1), (24, 24, 4)])
@pytest.mark.parametrize(
    "machine",
    [
        ("edge64", []),
        ("edge256", ["activation_bytes=2048"]),
        ("tiny16", []),
        ("edge64", ["cols=16", "activation_bytes=4096", "memory.bytes_per_cycle=4"]),
    ],
)
def test_parted_chains_are_chains(machine: tuple[str, list[str]], size: int, channels: int, blocks: int) -> None:
    """A chain is parted only where both parts can run by themselves: what a shortcut reads too cannot stay within one."""
    config = load_config(*machine)
    graph = residual(3, size, channels, blocks)
    network = accepted(graph, config)
    scheduler = Scheduler(network, config, False)
    schedule = scheduler.run()
    tasks = {id(task): i for i, task in enumerate(network.tasks)}
    for layer in schedule.layers:
        span = range(tasks[id(layer.chain.tasks[0])], tasks[id(layer.chain.tasks[-1])] + 1)
        assert len(span) == 1 or can_chain(network, span, scheduler.required)
    check(graph, config)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_is_no_image(batch: int) -> None:
    """A fully connected layer takes a batch's rows for those of one image; windows before it do not."""
    b = Builder(1)
    graph = b.graph(b.dense(b.conv(b.input(batch, 4, 4, 5), 6, (4, 4)), 4))
    network = accepted(graph, load_config("edge64"))
    assert len(network.tasks) == 2
    assert can_chain(network, range(2), set()) == (batch == 1)


def test_rows_of_a_ring_keep_their_columns() -> None:
    """For the last row the first layer's other reader needs nothing more, and the shortcut fewer columns."""
    b = Builder(1)
    x = b.conv(b.input(1, 12, 12, 4), 4, (1, 1))
    y = b.conv(b.conv(x, 4, (3, 3), (2, 2), padding=Padding(1, 1, 1, 1)), 4, (3, 3), padding=Padding(1, 1, 1, 1))
    chain = Chain(tuple(accepted(b.graph(b.add(b.conv(x, 4, (1, 1), (2, 2)), y)), load_config("edge64")).tasks))
    pieces = [Region(row, row + 1, 0, 24) for row in range(6)]
    read = [needs.read[0] for needs, _ in passages(chain, pieces, (6, 3, 0, 0, 0))]
    assert not any(region.empty for region in read) and {(region.x0, region.x1) for region in read} == {(0, 48)}


def dilated(rng: np.random.Generator) -> Graph:
    """A convolution, then maxima whose elements lie apart, with padding."""
    b = Builder(int(rng.integers(1 << 30)))
    height, window, stride = int(rng.integers(2, 12)), int(rng.integers(2, 4)), int(rng.integers(1, 4))
    dilation = int(rng.integers(2, 5))
    padding = Padding(*(int(n) for n in rng.integers(0, dilation + 1, 2)), 0, 0)
    inside = height + padding.top + padding.bottom - (window - 1) * dilation
    x = b.conv(b.input(1, max(height, height - inside + 1), 3, 16), 48, (1, 1))
    return b.graph(b.maximum(x, (window, 1), (stride, 1), padding, (dilation, 1)))


@pytest.mark.parametrize("seed", range(30))
def test_windows_that_do_not_go_down_read_no_ring(seed: int) -> None:
    """Of a window that lacks its first element the next one is the first, which may lie below all of the next window's."""
    graph = dilated(np.random.default_rng(seed))
    config = load_config(*[("edge64", ["activation_bytes=2048"]), ("tiny16", SMALL)][seed % 2])
    check(graph, config)
    tasks = accepted(graph, config).tasks
    reads = tasks[-1].rows_read()
    assert tasks[-1].goes_down == bool((np.diff(reads, axis=1) >= 0).all())
    assert Chain(tuple(tasks[-2:])).ringable == ((0,) if tasks[-1].goes_down else ())
