"""Grouped convolutions as block-structured CONV commands, depthwise ones as DEPTHWISE commands where that is faster."""

from __future__ import annotations

import numpy as np
import pytest
from mapper_check import check
from mapper_graphs import Builder

from intaglio.errors import RefusedError
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Engine, Opcode
from intaglio.mapper import map_network
from intaglio.mapper.tasks.geometry import Geometry
from intaglio.mapper.tasks.grouped import slices_of
from intaglio.network.execute import random_inputs
from intaglio.network.graph import Graph, Padding
from intaglio.sim.engines import clock_of, run_program

MACHINES = [
    ("tiny16", []),
    ("edge64", []),
    ("tiny16", ["rows=3", "cols=5", "requantizers=2", "feed_bytes=32", "weight_zero_points=true"]),
    ("tiny16", ["activation_bytes=512", "activation_banks=1", "weight_bytes=256", "channel_bytes=64"]),
    ("tiny16", ["activation_bytes=1024", "activation_banks=4", "weight_bytes=512", "channel_bytes=64", "bus_bytes=16"]),
    ("tiny16", ["rows=3", "cols=5", "activation_bytes=512", "weight_bytes=128", "channel_bytes=128", "bus_bytes=32"]),
    ("tiny16", ["depthwise_delay=0"]),
    (
        "tiny16",
        ["depthwise_delay=0", "activation_bytes=512", "activation_banks=1", "weight_bytes=256", "channel_bytes=64"],
    ),
]
PLAIN = ["depthwise_delay=0"]


def random_graph(seed: int) -> Graph:
    """One grouped convolution of any shape, and one behind it."""
    random = np.random.default_rng(seed)
    b = Builder(seed)
    y = b.input(int(random.integers(1, 3)), *(int(n) for n in random.integers(1, 9, 2)), _channels(random))
    for _ in range(2):
        _, height, width, channels = b.tensors[y].shape
        groups = int(random.choice([n for n in range(1, channels + 1) if channels % n == 0]))
        kernel = int(random.integers(1, 5)), int(random.integers(1, 5))
        dilation = int(random.integers(1, 3)), int(random.integers(1, 3))
        span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        top, left = (max(s - n, int(random.integers(s))) for s, n in zip(span, (height, width), strict=True))
        padding = Padding(top, int(random.integers(span[0])), left, int(random.integers(span[1])))
        stride = int(random.integers(1, 4)), int(random.integers(1, 4))
        outputs = groups * int(random.integers(1, 5))
        y = b.conv(y, outputs, kernel, stride, dilation, padding, groups, int(random.integers(-128, 128)))
    return b.graph(y)


def _channels(random: np.random.Generator) -> int:
    return int(random.choice([2, 3, 4, 6, 8, 12, 16, 18, 24, 35]))


@pytest.mark.parametrize("machine", range(len(MACHINES)))
@pytest.mark.parametrize("seed", range(12))
def test_random_shapes(seed: int, machine: int) -> None:
    name, overrides = MACHINES[machine]
    print(f"seed {seed} on {name} {overrides}")
    check(random_graph(seed), load_config(name, ["weight_zero_points=true", *overrides]), seed=seed)


@pytest.mark.parametrize("name", ["tiny16", "edge64"])
@pytest.mark.parametrize(("channels", "multiplier", "groups"), [(64, 1, 64), (24, 3, 24), (96, 2, 8), (512, 1, 512)])
def test_layers_of_real_sizes(name: str, channels: int, multiplier: int, groups: int) -> None:
    """Each channel tile is a command that reads the channels of its groups alone, and useful products are counted."""
    b = Builder(channels)
    x = b.input(1, 7, 6, channels)
    y = b.conv(x, channels * multiplier, (3, 3), padding=Padding(1, 1, 1, 1), groups=groups)
    program = check(b.graph(y), load_config(name, PLAIN))
    convs = [c for c in program.commands if c.opcode == Opcode.CONV]
    assert max(c["chunk_bytes"] * (c["chunks"] - 1) + c["last_chunk_bytes"] for c in convs) < channels
    (layer,) = program.layers
    assert layer.macs == 42 * channels * multiplier * 9 * channels // groups
    inside = layer.macs // 21 * 19  # of 7 rows' 3 kernel rows, those that lie in the padding are no work
    assert layer.compute_cycles == -(-inside // load_config(name).macs_per_cycle)


@pytest.mark.parametrize(("channels", "groups", "dilation"), [(256, 256, 1), (256, 32, 1), (96, 96, 3)])
def test_windows_larger_than_the_memory(channels: int, groups: int, dilation: int) -> None:
    """Each array tile loads its own channel tile's slice, part by part of the reduction."""
    b = Builder(channels + groups)
    d = dilation
    y = b.conv(b.input(1, 5, 4, channels), channels, (3, 3), (1, 1), (d, d), Padding(d, d, d, d), groups)
    config = load_config("tiny16", ["activation_bytes=1024", "activation_banks=2", "weight_bytes=512"])
    assert any(c["drain_from"] for c in check(b.graph(y), config).commands if c.opcode == Opcode.CONV)


@pytest.mark.parametrize("name", ["tiny16", "edge64", "edge256"])
def test_depthwise_layers_are_depthwise_commands(name: str) -> None:
    """Fewer cycles than block-structured CONV commands, and the same outputs."""
    b = Builder(1)
    y = b.conv(b.input(1, 13, 11, 40), 40, (3, 3), padding=Padding(1, 1, 1, 1), groups=40)
    graph = b.graph(y)
    programs = [check(graph, load_config(name, overrides)) for overrides in ([], PLAIN)]
    kinds = [{c.opcode for c in p.commands if c.engine == Engine.COMPUTE} for p in programs]
    assert kinds == [{Opcode.DEPTHWISE}, {Opcode.CONV}]
    cycles = [clock_of(load_config(name, o), p.commands).cycles for o, p in zip(([], PLAIN), programs, strict=True)]
    assert 3 * cycles[0] < 2 * cycles[1]


def test_windows_larger_than_the_memory_are_not_depthwise_commands() -> None:
    """Channels of one window do not fit: block-structured commands take their input in parts."""
    b = Builder(2)
    y = b.conv(b.input(1, 5, 5, 64), 64, (3, 3), padding=Padding(1, 1, 1, 1), groups=64)
    config = load_config(
        "tiny16", ["activation_bytes=512", "activation_banks=1", "weight_bytes=256", "channel_bytes=64"]
    )
    assert all(c.opcode != Opcode.DEPTHWISE for c in check(b.graph(y), config).commands)


@pytest.mark.parametrize("seed", range(4))
def test_on_the_rtl(seed: int) -> None:
    print(f"seed {seed}")
    graph, config = random_graph(seed + 100), load_config("tiny16")
    program = check(graph, config)
    inputs = random_inputs(graph, seed)
    host, rtl = (run_program(config, program, inputs, engine) for engine in ("host", "rtl"))
    assert host.cycles == rtl.cycles and host.counters == rtl.counters
    assert np.array_equal(host.retire_cycles, rtl.retire_cycles) and np.array_equal(host.memory, rtl.memory)


def test_few_channels_run_as_ordinary_convolution() -> None:
    """Where a slice would be too short for the feed, all channels in merged runs are quicker."""
    b = Builder(0)
    x = b.input(1, 16, 16, 4)
    y = b.conv(x, 4, (3, 3), padding=Padding(1, 1, 1, 1), groups=4)
    convs = [c for c in check(b.graph(y), load_config("edge256", PLAIN)).commands if c.opcode == Opcode.CONV]
    assert convs and all(c["kernel_cols"] == 1 and c["last_chunk_bytes"] == 12 for c in convs)


@pytest.mark.parametrize("seed", range(20))
def test_tiles_cover_the_groups_of_their_channels(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups, inputs, outputs, width = (int(n) for n in random.integers(1, 9, 4))
    geometry = Geometry(
        images=1,
        in_rows=1,
        in_cols=1,
        channels=groups * inputs,
        kernel_rows=1,
        kernel_cols=1,
        stride_rows=1,
        stride_cols=1,
        dilation_rows=1,
        dilation_cols=1,
        top=0,
        left=0,
        out_rows=1,
        out_cols=1,
        out_channels=groups * outputs,
    )
    slices = slices_of(geometry, groups, width)
    assert len(slices.starts) == -(-groups * outputs // width) and slices.span <= groups * inputs
    for channel in range(groups * outputs):
        first, group = slices.starts[channel // width], channel // outputs
        assert 0 <= first <= group * inputs and (group + 1) * inputs <= first + slices.span <= groups * inputs


def test_groups_do_not_straddle_tiles() -> None:
    """Groups of 3 outputs of 20 inputs on 8 columns: tiles of 6 read 40 channels, tiles of 8 would read 80."""
    b = Builder(3)
    y = b.conv(b.input(1, 8, 8, 160), 24, (3, 3), groups=8)
    program = check(b.graph(y), load_config("tiny16", ["rows=8", "cols=8"]))
    convs = [c for c in program.commands if c.opcode == Opcode.CONV]
    assert {c["last_channels"] for c in convs} <= {3, 6}


def test_shapes_that_do_not_fit_are_refused() -> None:
    b = Builder(4)
    y = b.conv(b.input(1, 4, 4, 6), 4, (1, 1), groups=3)
    with pytest.raises(RefusedError, match="do not fit input"):
        map_network(b.graph(y), load_config("tiny16"))
