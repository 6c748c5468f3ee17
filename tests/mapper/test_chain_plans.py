"""Every kind of plan of a chain computes what its layers do: pieces, slabs of channels, rings of rows, weights kept or not,
with the output stored or on chip for the layer behind it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from mapper_check import check, check_program
from mapper_graphs import Builder

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import LocalMemory, Opcode
from intaglio.mapper import program_of
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.fusion.chain import Chain
from intaglio.mapper.fusion.chain_plan import ChainPlan
from intaglio.mapper.fusion.chain_planner import ChainPlanner
from intaglio.mapper.fusion.rings import passages, segments
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.schedule.schedule import Placed, Schedule
from intaglio.mapper.tiling.buffers import Setting
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.mapper.tiling.layer_planner import LayerPlanner
from intaglio.network.execute import random_inputs
from intaglio.network.graph import Graph, Padding
from intaglio.program.layout import Region
from intaglio.program.program import Program
from intaglio.sim.engines import run_program

SAME = Padding(1, 1, 1, 1)
TINY = ("tiny16", ["activation_bytes=8192", "activation_banks=4", "weight_bytes=8192"])
FEW = ("tiny16", ["activation_bytes=8192", "weight_bytes=4096"])
EDGE = ("edge64", ["activation_bytes=16384", "activation_banks=4", "weight_bytes=8192"])
ODD = (
    "tiny16",
    [
        "rows=3",
        "cols=5",
        "activation_bytes=6144",
        "activation_banks=3",
        "weight_bytes=2048",
        "bus_bytes=4",
        "memory.bytes_per_cycle=4",
    ],
)


def network(behind: str, images: int, shape: tuple[int, int, int], channels: int, seed: int) -> Graph:
    """A convolution of 1 x 1, the layers of a chain, and a layer of all channels behind them."""
    b = Builder(seed)
    x = b.conv(b.input(images, *shape), shape[2], (1, 1))
    y = b.conv(x, channels, (1, 1))
    match behind:
        case "depthwise":
            y = b.conv(y, channels, (3, 3), padding=SAME, groups=channels)
        case "strided":
            y = b.conv(y, channels, (3, 3), (2, 2), padding=Padding(0, 1, 0, 1), groups=channels)
        case "dilated":
            y = b.conv(y, channels, (3, 2), dilation=(2, 1), padding=Padding(2, 2, 1, 0), groups=channels)
        case "twice":
            y = b.conv(y, channels, (3, 3), padding=SAME, groups=channels)
            y = b.conv(y, channels, (5, 3), (2, 1), padding=Padding(1, 2, 1, 1), groups=channels)
        case "block":
            y = b.conv(y, channels, (3, 3), padding=SAME, groups=channels)
            y = b.add(x, b.conv(y, shape[2], (1, 1)))
        case "windows":
            y = b.conv(
                b.conv(y, 12, (3, 4), (1, 2), padding=Padding(1, 1, 2, 1)),
                20,
                (5, 1),
                (2, 1),
                padding=Padding(2, 2, 0, 0),
            )
        case "maximum":
            y = b.maximum(y, (3, 3), (2, 2))
        case (
            "apart"
        ):  # maxima of elements that lie apart: the first window lacks its first one, and begins below the second
            y = b.maximum(y, (2, 1), (1, 1), Padding(1, 1, 0, 0), dilation=(2, 1))
        case "far apart":
            y = b.maximum(y, (3, 2), (2, 1), Padding(4, 3, 1, 0), dilation=(4, 1))
        case "mean":
            return b.graph(b.rescale(b.mean(y)))
    return b.graph(b.conv(y, 8, (1, 1)))


CASES = [
    ("depthwise", TINY, 1, (7, 7, 16), 96),
    ("depthwise", EDGE, 2, (14, 11, 24), 120),
    ("depthwise", ODD, 1, (8, 9, 12), 60),
    ("strided", FEW, 1, (15, 14, 24), 64),
    ("strided", EDGE, 2, (9, 14, 8), 72),
    ("dilated", TINY, 1, (13, 9, 8), 40),
    ("twice", FEW, 1, (14, 10, 16), 64),
    ("block", TINY, 2, (14, 8, 8), 48),
    ("block", ODD, 1, (11, 6, 10), 45),
    ("windows", TINY, 2, (11, 10, 8), 24),
    ("windows", ODD, 1, (9, 10, 5), 6),
    ("maximum", TINY, 1, (9, 11, 8), 72),
    ("maximum", EDGE, 1, (14, 14, 24), 128),
    ("apart", TINY, 1, (9, 11, 8), 72),
    ("apart", FEW, 2, (2, 3, 16), 144),
    ("far apart", EDGE, 1, (11, 14, 24), 128),
    ("mean", TINY, 1, (14, 14, 24), 120),
]


def placed(network: Lowered, config: Config, span: range, settings: dict[int, Setting]) -> list[Placed]:
    """The tasks one by one, those of `span` as a chain still without a plan of its own (its first candidate)."""
    out = []
    at = 0
    while at < len(network.tasks):
        tasks = tuple(network.tasks[i] for i in (span if at == span.start else range(at, at + 1)))
        chain = Chain(tasks)
        nowhere = Setting((None,) * (len(chain.inputs) + 1), True, ((0, config.activation_bytes),))
        setting = settings.get(at, nowhere)
        planner: LayerPlanner | ChainPlanner = LayerPlanner(tasks[0], config)
        if len(tasks) > 1:
            planner = ChainPlanner(chain, config)
        plan = planner.plan(setting)
        assert plan is not None
        out.append(Placed(chain, planner, plan, setting, ()))
        at += len(tasks)
    return out


def kind(plan: LayerPlan | ChainPlan, stored: bool) -> tuple[bool, ...]:
    assert isinstance(plan, ChainPlan)
    kept = any(g is not None and g.kept for g in plan.groups)
    return bool(plan.slabs), bool(plan.rings), len(plan.pieces) > 1, kept, len(plan.buffers.output) > 1, stored


def programs(graph: Graph, config: Config, seed: int) -> list[tuple[tuple[bool, ...], Program]]:
    """One for each kind of plan that the chain has: from the second task to the last but one."""
    lowered = accepted(graph, config)
    span = range(1, len(lowered.tasks) - 1)
    last = lowered.tasks[span[-1]].output
    chain = Chain(tuple(lowered.tasks[i] for i in span))
    on_chip = Setting((None,) * len(chain.inputs) + (0,), False, ((last.layout.size, config.activation_bytes),))
    behind = Setting((0, None), True, ((last.layout.size, config.activation_bytes),))
    between = {lowered.tasks[i].output.value for i in span[:-1]}
    rng = random.Random(seed)
    out = []
    for settings in ({}, {span.start: on_chip, span.stop: behind}):
        if settings and last.layout.size > config.activation_bytes // 2:
            continue
        inside = between | ({last.value} if settings else set())
        outside = frozenset(name for name in lowered.values if name not in inside)
        layers = placed(lowered, config, span, settings)
        planner = layers[1].planner
        plans = planner.candidates(layers[1].setting)
        rng.shuffle(plans)
        for what, plan in {kind(plan, not settings): plan for plan in plans}.items():
            chosen = [*layers[:1], Placed(layers[1].chain, planner, plan, layers[1].setting, ()), *layers[2:]]
            out.append((what, program_of(graph, config, emit(lowered, config, Schedule(tuple(chosen), outside, 0.0)))))
    return out


@pytest.mark.parametrize(("behind", "machine", "images", "shape", "channels"), CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_kind_of_plan_computes_what_layers_do(
    behind: str, machine: tuple[str, list[str]], images: int, shape: tuple[int, int, int], channels: int, seed: int
) -> None:
    config = load_config(*machine)
    graph = network(behind, images, shape, channels, seed)
    for _, program in programs(graph, config, seed):
        check_program(graph, config, program, list(program.outputs), seed)


def test_the_cases_have_every_kind() -> None:
    """Slabs, rings, neither; pieces, kept weights, two buffers, stored: each is there with and without."""
    found = set()
    for behind, machine, images, shape, channels in CASES[:5]:
        found |= {what for what, _ in programs(network(behind, images, shape, channels, 1), load_config(*machine), 1)}
    slabs, rings, pieces, kept, twice, stored = (
        {what[:i] + what[i + 1 :] for what in found if what[i]} for i in range(6)
    )
    assert all((slabs, rings, pieces, kept, twice, stored))
    assert any(what[0] and what[2] for what in found) and any(what[0] and what[3] for what in found)
    assert any(what[0] and what[5] for what in found) and any(what[1] and not what[5] for what in found)
    assert not any(what[0] and what[1] for what in found)


@pytest.mark.parametrize("case", [CASES[1], CASES[8], CASES[9], CASES[11]])
def test_on_the_rtl(case) -> None:
    behind, machine, images, shape, channels = case
    graph, config = network(behind, images, shape, channels, 3), load_config(*machine)
    seen = set()
    for what, program in programs(graph, config, 3):
        if what[:2] in seen:
            continue
        seen.add(what[:2])
        host, rtl = (run_program(config, program, random_inputs(graph, 0), engine) for engine in ("host", "rtl"))
        assert host.cycles == rtl.cycles
        assert np.array_equal(host.retire_cycles, rtl.retire_cycles)
        assert host.counters == rtl.counters
        assert np.array_equal(host.memory, rtl.memory)
    assert len(seen) > 1


def test_slabs_load_each_weight_once() -> None:
    """Where the input is on chip, though neither layer's output is."""
    config = load_config("edge256", ["activation_bytes=32768"])
    graph = network("depthwise", 1, (14, 14, 32), 192, 1)
    program = check(graph, config)
    lowered = accepted(graph, config)
    tags = {lowered.tasks[i].tag for i in (1, 2)}
    loaded = sum(
        c["rows"] * c["row_bytes"]
        for c in program.commands
        if c.opcode is Opcode.LOAD and c["memory"] == LocalMemory.WEIGHT and c["tag"] in tags
    )
    tiles = 192 // config.cols
    assert loaded == tiles * (32 + 9) * config.weight_word_bytes


def test_rings_compute_each_row_once() -> None:
    """Row by row, whatever the pieces; without rings rows at pieces' edges are computed twice."""
    config = load_config(*TINY)
    lowered = accepted(network("twice", 2, (14, 8, 8), 40, 1), config)
    chain = Chain(tuple(lowered.tasks[1:4]))
    assert chain.ringable == (0, 1)
    layout = chain.output.layout
    pieces = [Region(y, min(y + 2, top + 7), 0, layout.row_elements) for top in (0, 7) for y in range(top, top + 7, 2)]
    for rings in ((), (7, 5, 0)):
        rows: list[list[int]] = [[], []]
        for needs, _ in passages(chain, pieces, rings):
            for i in (0, 1):
                rows[i] += range(needs.made[i].row0, needs.made[i].row1)
        for i in (0, 1):
            assert set(rows[i]) == set(range(2 * 14))
            assert (len(rows[i]) == 2 * 14) == bool(rings)


def test_segments_end_where_a_ring_does() -> None:
    region = Region(9, 17, 3, 8)
    assert [(r.row0, r.row1) for r in segments(region, 5, 11)] == [(9, 11), (11, 16), (16, 17)]
    assert [(r.row0, r.row1) for r in segments(region, 4, 9)] == [(9, 13), (13, 17)]
    assert segments(region, 0, 0) == [region]
