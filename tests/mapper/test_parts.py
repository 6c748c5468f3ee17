"""Reductions in parts: every pixel begins and ends once, rows in the padding are left out, and sums come out right."""

from __future__ import annotations

import numpy as np
import pytest
from mapper_check import check, check_program
from mapper_graphs import Builder

from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Opcode
from intaglio.mapper import map_proven
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.geometry import Geometry
from intaglio.mapper.tasks.parts import is_needed, partial_pixels, steps_of
from intaglio.network.execute import random_inputs
from intaglio.network.graph import Graph, Padding
from intaglio.program.layout import Region
from intaglio.sim.engines import clock_of, cycles_of, run_program

MACHINES = [
    ["partial_bytes=4096", "weight_bytes=1024"],
    ["rows=16", "cols=8", "feed_bytes=32", "requantizers=8", "partial_bytes=4096", "weight_bytes=4096"],
    [
        "rows=3",
        "cols=5",
        "partial_bytes=960",
        "weight_bytes=512",
        "activation_bytes=8192",
        "bus_bytes=4",
        "memory.bytes_per_cycle=4",
    ],
]


def padded(seed: int, side: int, kernel: int, stride: int = 1, dilation: int = 1, channels: int = 24) -> Graph:
    b = Builder(seed)
    pad = (kernel - 1) * dilation // 2
    x = b.input(2, side, side + 1, channels)
    return b.graph(b.conv(x, 11, (kernel, kernel), (stride, stride), (dilation, dilation), Padding(pad, pad, pad, pad)))


@pytest.mark.parametrize("machine", range(len(MACHINES)))
@pytest.mark.parametrize(
    ("side", "kernel", "stride", "dilation"), [(7, 3, 1, 1), (7, 3, 2, 1), (5, 5, 1, 1), (6, 3, 1, 2), (3, 3, 1, 1)]
)
def test_outputs(side: int, kernel: int, stride: int, dilation: int, machine: int) -> None:
    graph = padded(side, side, kernel, stride, dilation)
    check(graph, load_config("tiny16", MACHINES[machine]))


def test_on_the_rtl() -> None:
    """Parts that leave rows out, some with records of their own."""
    graph, config = padded(1, 7, 3, channels=32), load_config("tiny16", MACHINES[0])
    program = check(graph, config)
    convs = [c for c in program.commands if c.opcode == Opcode.CONV]
    assert any(not c["start"] for c in convs) and any(c["early_pixels"] for c in convs)
    inputs = random_inputs(graph, 0)
    host, rtl = (run_program(config, program, inputs, engine) for engine in ("host", "rtl"))
    assert host.cycles == rtl.cycles and host.counters == rtl.counters
    assert np.array_equal(host.retire_cycles, rtl.retire_cycles) and np.array_equal(host.memory, rtl.memory)


def test_padding_is_left_out() -> None:
    """7x7, 3x3 on 16 rows: 3, 4 and 3 tiles for the three kernel rows, not 4 each."""
    (task,) = accepted(padded(1, 7, 3), load_config("edge256")).tasks
    assert isinstance(task, ConvTask)
    width = 8 * 11
    steps = steps_of(load_config("edge256"), task, Region(0, 7, 0, width), tuple(task.geometry.parts(3 * 24)))
    assert [(s.part.row0, s.region.row0, s.region.row1) for s in steps] == [(1, 0, 7), (0, 1, 7), (2, 0, 6)]
    assert [s.start for s in steps] == [True, False, False]
    assert [s.drain_from for s in steps] == [56, 40, 0]
    assert [s.without for s in steps] == [(), (2,), ()]
    assert (steps[2].early_pixels, steps[2].early_without) == (8, (0,))


@pytest.mark.parametrize("seed", range(60))
def test_every_pixel_and_kernel_row_once(seed: int) -> None:
    random = np.random.default_rng(seed)
    print(f"seed {seed}")
    b = Builder(seed)
    kernel, stride, dilation = int(random.integers(1, 6)), int(random.integers(1, 4)), int(random.integers(1, 4))
    span = (kernel - 1) * dilation + 1
    side = int(random.integers(1, 12))
    top = int(random.integers(max(0, (span - side + 1) // 2), span)) if span > 1 else 0
    x = b.input(1, side, 3, 4)
    y = b.conv(
        x,
        5,
        (kernel, 1),
        (stride, 1),
        (dilation, 1),
        Padding(top, max(0, span - side - top) + int(random.integers(0, span)), 0, 0),
    )
    config = load_config("tiny16", ["partial_bytes=8192"])
    (task,) = accepted(b.graph(y), config).tasks
    assert isinstance(task, ConvTask)
    g = task.geometry
    parts = tuple(g.parts(int(random.integers(1, 3)) * 4))
    (region,) = task.tile_regions(
        Region(0, g.out_rows, 0, task.output.layout.row_elements), partial_pixels(config, task)
    )
    sums: dict[tuple[int, int], list[int]] = {}
    ended: dict[tuple[int, int], tuple[int, ...]] = {}
    for step in steps_of(config, task, region, parts):
        pixels = [(y, x) for y in range(step.region.row0, step.region.row1) for x in range(g.out_cols)]
        assert step.first_pixel == (step.region.row0 - region.row0) * g.out_cols
        for n, pixel in enumerate(pixels):
            assert (pixel not in sums) == step.start and pixel not in ended
            sums.setdefault(pixel, []).extend(range(step.part.row0, step.part.row0 + step.part.rows))
            if n >= step.drain_from:
                ended[pixel] = step.early_without if n < step.early_pixels else step.without
    assert len(ended) == g.out_rows * g.out_cols
    for (y, _), rows in sums.items():
        lacks = ended[y, _]
        assert sorted((*rows, *lacks)) == list(range(kernel))
        assert all(not 0 <= y * stride - top + k * dilation < side for k in lacks)


@pytest.mark.parametrize(
    "stride, top, rows, kernel, dilation",
    [(1, 1, 7, 3, 1), (2, 4, 1, 5, 1), (1, 4, 1, 5, 2), (3, 0, 11, 4, 3), (2, 6, 3, 7, 2), (1, 9, 2, 3, 1)],
)
def test_rows_inside(stride: int, top: int, rows: int, kernel: int, dilation: int) -> None:
    """Kernel rows that meet the image, counted one by one."""
    out_rows = (rows + 2 * top - (kernel - 1) * dilation - 1) // stride + 1
    g = Geometry(1, rows, 4, 8, kernel, 1, stride, 1, dilation, 1, top, 0, out_rows, 4, 8)
    meets = [(y, k) for y in range(out_rows) for k in range(kernel) if 0 <= y * stride - top + k * dilation < rows]
    assert g.rows_inside == [sum(y == of for of, _ in meets) for y in range(out_rows)]
    assert g.used_rows == len({k for _, k in meets})
    parts = g.parts(8)
    assert sum(is_needed(g, part) for part in parts) == g.used_rows and g.used_steps == 8 * g.used_rows


@pytest.mark.parametrize("size", [1, 2, 3])
def test_bounds_leave_out_what_lies_in_the_padding(size: int) -> None:
    """Of a 5 x 5 layer on few pixels, whose parts are never loaded where they lie in the padding alone."""
    b = Builder(2)
    graph = b.graph(b.conv(b.input(1, size, size, 8), 8, (5, 5), (2, 2), padding=Padding(4, 2, 2, 2)))
    config = load_config("tiny16", ["weight_bytes=512", "memory.latency=1"])
    program, certificates = map_proven(graph, config, cycles_of)
    check_program(graph, config, program, list(program.outputs))
    assert certificates[0].bound <= certificates[0].best
    assert program.layers[0].bound_cycles <= clock_of(config, program.commands).cycles


@pytest.mark.parametrize("channel_bytes", [64, 128, 192, 320])
@pytest.mark.parametrize("side", [3, 4, 5])
def test_early_pixels_have_records_of_their_own(side: int, channel_bytes: int) -> None:
    """Where there is room for one tile's records alone, for two, and for sizes between which blocks wrap."""
    b = Builder(7)
    graph = b.graph(
        b.conv(
            b.conv(b.input(1, side, 1, 9), 9, (3, 3), padding=Padding(1, 1, 1, 1)),
            8,
            (3, 3),
            padding=Padding(1, 1, 1, 1),
        )
    )
    machine = [
        "rows=2",
        "cols=4",
        "requantizers=4",
        f"channel_bytes={channel_bytes}",
        "weight_bytes=128",
        "partial_bytes=256",
    ]
    config = load_config("tiny16", machine)
    check(graph, config)
    program, _ = map_proven(graph, config, cycles_of)
    check_program(graph, config, program, list(program.outputs))


def test_an_operand_twice_is_proven() -> None:
    b = Builder(8)
    x = b.input(1, 4, 4, 8)
    config = load_config("tiny16")
    _, certificates = map_proven(b.graph(b.add(x, x)), config, cycles_of)
    assert certificates[0].bound <= certificates[0].best
