"""Depthwise convolutions as DEPTHWISE commands: against plain numpy, legal, and reading nothing beyond what they need."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import LocalMemory, Opcode
from intaglio.machine.timing import compute_cycles
from intaglio.mapper.emit.accesses import Access, Space, accesses
from intaglio.mapper.tasks.depthwise import Depthwise, suits, tile_width, weight_block
from intaglio.mapper.tasks.geometry import Geometry
from intaglio.mapper.tasks.job import Job
from intaglio.network import arithmetic
from intaglio.network.graph import Conv2D, Padding, Requantize, Rounding
from intaglio.program.layout import Region, View, align_up
from intaglio.sim.functional import _Machine
from intaglio.verifier.footprint import footprints
from intaglio.verifier.legality import faults

CONFIGS = {
    "tiny16": [],
    "edge64": ["feed_bytes=16", "cols=11", "requantizers=3", "depthwise_delay=4"],
    "edge256": [],
    "wide": ["rows=6", "feed_bytes=16"],
}


def geometry_of(rng: np.random.Generator, channels: int) -> Geometry:
    """Random, with at least one output and padding that may hold whole windows."""
    while True:
        kernel, stride, dilation = rng.integers(1, 6, 2), rng.integers(1, 4, 2), rng.integers(1, 4, 2)
        if rng.random() < 0.3:
            kernel = rng.permutation([1, 7])
        size, pad = rng.integers(1, 15, 2), rng.integers(0, 4, 4)
        span = (kernel - 1) * dilation + 1
        outputs = (size + pad[[0, 2]] + pad[[1, 3]] - span) // stride + 1
        if (outputs >= 1).all() and (size + pad[[0, 2]] + pad[[1, 3]] >= span).all():
            break
    values = [2, *size, channels, *kernel, *stride, *dilation, pad[0], pad[2], *outputs, channels]
    return Geometry(*(int(v) for v in values))


def layer_of(g: Geometry, rng: np.random.Generator, zero_point: int) -> Conv2D:
    bottom, right = (
        max(0, (outs - 1) * stride + (kernel - 1) * dilation + 1 - before - size)
        for outs, stride, kernel, dilation, before, size in (
            (g.out_rows, g.stride_rows, g.kernel_rows, g.dilation_rows, g.top, g.in_rows),
            (g.out_cols, g.stride_cols, g.kernel_cols, g.dilation_cols, g.left, g.in_cols),
        )
    )
    return Conv2D(
        name="dw",
        inputs=("x",),
        outputs=("y",),
        weights=rng.integers(-128, 128, (g.channels, g.kernel_rows, g.kernel_cols, 1)).astype(np.int8),
        weight_zero_point=zero_point,
        bias=rng.integers(-3000, 3000, g.channels).astype(np.int32),
        stride=(g.stride_rows, g.stride_cols),
        dilation=(g.dilation_rows, g.dilation_cols),
        padding=Padding(g.top, bottom, g.left, right),
        groups=g.channels,
        input_zero_point=int(rng.integers(-128, 128)),
        output_zero_point=int(rng.integers(-20, 20)),
        clamp=(-120, 127),
        requantize=Requantize(
            rng.integers(1 << 30, 1 << 31, g.channels), rng.integers(-9, -6, g.channels), Rounding.SINGLE
        ),
    )


def records(config: Config, op: Conv2D, width: int) -> np.ndarray:
    """Channel words of all tiles, int32."""
    weights = op.weights.reshape(len(op.weights), -1).astype(np.int64) - op.weight_zero_point
    bias = op.bias - op.input_zero_point * weights.sum(axis=1)
    words = np.zeros((-(-len(bias) // width) * config.channel_groups, config.channel_word_bytes // 16, 4), np.int32)
    for channel in range(len(bias)):
        tile, column = divmod(channel, width)
        group, place = divmod(column, config.requantizers)
        shift = int(op.requantize.shift[channel]) & 0xFF
        words[tile * config.channel_groups + group, place, :3] = bias[channel], op.requantize.multiplier[channel], shift
    return words


@pytest.mark.parametrize("name", CONFIGS)
def test_random_layers(name: str) -> None:
    """Whole layers and pieces of them, all channel tiles and some; what is not to be written stays."""
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    config = load_config(name, ["activation_bytes=131072", "weight_bytes=65536", "channel_bytes=65536", *CONFIGS[name]])
    for _ in range(12):
        piece(config, rng, False)
        piece(config, rng, True)


def piece(config: Config, rng: np.random.Generator, ring: bool) -> None:
    """ring: with the rows that the piece needs, and no others, in a ring of as many rows or a few more."""
    width = tile_width(config)
    g = geometry_of(rng, int(rng.integers(1, 2 * width + 2)))
    op = layer_of(g, rng, int(rng.integers(-9, 9)) * config.weight_zero_points)
    image = rng.integers(-128, 128, (2, g.in_rows, g.in_cols, g.channels)).astype(np.int8)
    wanted = arithmetic.conv2d(op, image)
    assert wanted.shape == (2, g.out_rows, g.out_cols, g.channels)

    y0, x0 = int(rng.integers(g.out_rows)), int(rng.integers(g.out_cols))
    y1, x1 = int(rng.integers(y0, g.out_rows)) + 1, int(rng.integers(x0, g.out_cols)) + 1
    number, total = int(rng.integers(2)), -(-g.channels // width)
    first = int(rng.integers(total))
    tiles = range(first, int(rng.integers(first, total)) + 1)
    region = Region(number * g.out_rows + y0, number * g.out_rows + y1, x0 * g.channels, x1 * g.channels)

    half = config.activation_bytes // 2
    stride, out_stride = g.in_cols * g.channels + 3, g.out_cols * g.channels + 5
    machine = _Machine(config, np.zeros(16, np.uint8))
    activation = machine._local[LocalMemory.ACTIVATION].view(np.int8)
    activation[:] = 77
    needed = rows_needed(g, number, y0, y1)
    view, out = (
        View(16, stride, ring=len(needed) + int(rng.integers(0, 3)) if ring else 0, turn=int(rng.integers(0, 5))),
        View(half, out_stride),
    )
    for row, line in enumerate(image.reshape(2 * g.in_rows, -1)):
        if row in needed or not ring:
            activation[view.address(row, 0) :][: line.size] = line
    weights, channels = machine._local[LocalMemory.WEIGHT], machine._local[LocalMemory.CHANNEL]
    block = np.frombuffer(weight_block(config, op.weights.reshape(g.channels, -1), tiles), np.uint8)
    weights[config.weight_word_bytes :][: block.size] = block
    words = records(config, op, width)[tiles.start * config.channel_groups :].view(np.uint8).reshape(-1)
    channels[2 * config.channel_word_bytes :][: words.size] = words

    layer = Depthwise(
        3, g, op.input_zero_point, op.weight_zero_point, op.output_zero_point, op.clamp, op.requantize.rounding
    )
    commands = layer.commands(config, Job(region, (view,), out, None, tiles, None, 1, 2))
    before = activation.copy()
    for command in commands:
        assert not list(faults(config, command, 0)), command
        ledger = np.zeros(len(Counter), np.int64)
        machine.run(command, ledger)
        assert compute_cycles(config, command) * config.macs_per_cycle >= ledger[Counter.MACS] > 0
        within(config, command)
        reads_what_it_needs(config, command, g, view, number, (y0, y1, x0, x1))
    c0, c1 = tiles.start * width, min(tiles.stop * width, g.channels)
    for y in range(y0, y1):
        for x in range(x0, x1):
            at = out.address(number * g.out_rows + y, x * g.channels)
            before[at + c0 : at + c1] = wanted[number, y, x, c0:c1]
    wrong = np.flatnonzero(activation != before)
    assert wrong.size == 0, (g, region, tiles, wrong[:8])


def within(config: Config, command: isa.Command) -> None:
    """The mapper's bounds hold the validator's rows, and touch them."""
    spaces = {None: Space.EXTERNAL, **{m: Space(int(m)) for m in LocalMemory}}
    bounds: dict[tuple[Space, bool], list[Access]] = {}
    for access in accesses(config, command):
        bounds.setdefault((access.space, access.write), []).append(access)
    found = footprints(config, command)
    for part in found:
        around = bounds[spaces[part.memory], part.write]
        low, high = min(access.low for access in around), max(access.high for access in around)
        assert low == part.low and high >= part.high, (command, part, around)
        if part.memory is LocalMemory.ACTIVATION:
            assert high == part.high, (command, part, around)
        for start, end in zip(part.starts, part.ends, strict=True):
            assert any(access.low <= start and end <= access.high for access in around), (command, part, around)
    assert len(found) == len(bounds)


def rows_needed(g: Geometry, number: int, y0: int, y1: int) -> range:
    """Of the input, those that windows of output rows [y0, y1) of an image span."""
    first, last = y0 * g.stride_rows - g.top, (y1 - 1) * g.stride_rows - g.top + (g.kernel_rows - 1) * g.dilation_rows
    return range(number * g.in_rows + max(0, first), number * g.in_rows + min(last, g.in_rows - 1) + 1)


def reads_what_it_needs(
    config: Config, command: isa.Command, g: Geometry, view: View, number: int, piece: tuple[int, int, int, int]
) -> None:
    """Nothing outside the rectangle that the windows of the outputs span."""
    y0, y1, x0, x1 = piece
    rows = rows_needed(g, number, y0, y1)
    cols = (
        max(0, x0 * g.stride_cols - g.left),
        (x1 - 1) * g.stride_cols - g.left + (g.kernel_cols - 1) * g.dilation_cols,
    )
    end = (min(cols[1], g.in_cols - 1) + 1) * g.channels
    held = {view.address(row, 0) for row in rows}
    for part in footprints(config, command):
        if part.memory is LocalMemory.ACTIVATION and not part.write:
            x = (part.starts - view.base) % view.stride
            assert set((part.starts - x).tolist()) <= held
            assert (x >= cols[0] * g.channels).all()
            assert (x + part.ends - part.starts <= end).all()


@pytest.mark.parametrize("ring", [3, 4, 5])
def test_a_ring_passed_row_by_row(ring: int) -> None:
    """Each row of the input is written once, over the oldest, and each row of the output made as soon as its window is there."""
    config = load_config("tiny16", ["activation_bytes=8192"])
    rng = np.random.default_rng(ring)
    g = square(9, 5, 3, 1)
    op = layer_of(g, rng, 0)
    image = rng.integers(-128, 128, (1, 9, 9, 5)).astype(np.int8)
    wanted = arithmetic.conv2d(op, image)[0].reshape(9, -1)
    machine = _Machine(config, np.zeros(16, np.uint8))
    activation = machine._local[LocalMemory.ACTIVATION].view(np.int8)
    tiles = range(-(-g.channels // tile_width(config)))
    block = np.frombuffer(weight_block(config, op.weights.reshape(g.channels, -1), tiles), np.uint8)
    machine._local[LocalMemory.WEIGHT][: block.size] = block
    words = records(config, op, tile_width(config)).view(np.uint8).reshape(-1)
    machine._local[LocalMemory.CHANNEL][: words.size] = words
    layer = Depthwise(0, g, op.input_zero_point, 0, op.output_zero_point, op.clamp, op.requantize.rounding)
    view, out = View(8, align_up(45, 8), ring=ring), View(4096, 45)
    wrapped = written = 0
    for y in range(9):
        while written < min(y + 2, 9):
            activation[view.address(written, 0) :][:45] = image[0, written].ravel()
            written += 1
        for command in layer.commands(config, Job(Region(y, y + 1, 0, 45), (view,), out, tiles=tiles)):
            assert not list(faults(config, command, 0))
            machine.run(command, np.zeros(len(Counter), np.int64))
            wrapped += command["wrap_bytes"] == ring * view.stride
        assert np.array_equal(activation[out.address(y, 0) :][:45], wanted[y])
    assert activation[8 : 8 + ring * view.stride].any() and (activation[8 + ring * view.stride : 4096] == 0).all()
    assert wrapped >= 2


def cycles_of(config: Config, g: Geometry) -> int:
    layer = Depthwise(0, g, 0, 0, 0, (-128, 127), Rounding.SINGLE)
    whole = Region(0, g.out_rows, 0, g.out_cols * g.channels)
    tiles = range(-(-g.channels // tile_width(config)))
    view, out = View(0, g.in_cols * g.channels), View(0, g.out_cols * g.channels)
    commands = layer.commands(config, Job(whole, (view,), out, tiles=tiles))
    assert all(c.opcode is Opcode.DEPTHWISE for c in commands)
    return sum(compute_cycles(config, c) for c in commands)


def square(size: int, channels: int, kernel: int, stride: int) -> Geometry:
    out = -(-size // stride)
    return Geometry(
        1, size, size, channels, kernel, kernel, stride, stride, 1, 1, kernel // 2, kernel // 2, out, out, channels
    )


@pytest.mark.parametrize(
    ("size", "channels", "kernel", "stride", "macs"),
    [(112, 32, 3, 1, 55), (112, 96, 3, 2, 25), (14, 384, 3, 1, 50), (7, 960, 3, 1, 38), (28, 240, 5, 2, 48)],
)
def test_useful_macs_a_cycle(size: int, channels: int, kernel: int, stride: int, macs: int) -> None:
    """Layers of MobileNetV2 and EfficientNet's size on 16 x 16; as CONV a channel's own products are 16 a cycle at most."""
    g = square(size, channels, kernel, stride)
    useful = g.out_rows * g.out_cols * g.channels * kernel * kernel
    cycles = cycles_of(load_config("edge256"), g)
    assert macs <= useful / cycles <= 256, (useful / cycles, cycles)


def test_which_layers_suit() -> None:
    g = square(8, 16, 3, 1)
    assert suits(load_config("edge64"), g, 16)
    assert not suits(load_config("edge64"), g, 8)
    assert not suits(load_config("edge64", ["depthwise_delay=0"]), g, 16)
