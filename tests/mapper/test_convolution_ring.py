"""Convolutions as CONV commands whose input lies in a ring of rows: against plain numpy, legal, reading only what they need."""

from __future__ import annotations

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Command, LocalMemory
from intaglio.mapper.emit.accesses import Space, accesses
from intaglio.mapper.tasks.convolution import ConvTask, Sums
from intaglio.mapper.tasks.geometry import Geometry, Part
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.task import Operand
from intaglio.network import arithmetic
from intaglio.network.graph import Conv2D, Padding, Requantize, Rounding
from intaglio.program.layout import Region, View, layout_of
from intaglio.sim.functional import _Machine
from intaglio.verifier.footprint import footprints
from intaglio.verifier.legality import faults

SIZES = ["activation_bytes=65536", "weight_bytes=32768", "channel_bytes=8192", "partial_bytes=65536"]
FIRST_WORD, FIRST_RECORD = 3, 2


def random_layer(rng: np.random.Generator) -> Conv2D:
    kernel, stride, dilation = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 4, 2)
    pad = rng.integers(0, 3, 4)
    channels, outputs = int(rng.integers(1, 7)), int(rng.integers(1, 12))
    return Conv2D(
        name="c",
        inputs=("x",),
        outputs=("y",),
        weights=rng.integers(-128, 128, (outputs, *kernel, channels)).astype(np.int8),
        weight_zero_point=0,
        bias=rng.integers(-3000, 3000, outputs).astype(np.int32),
        stride=tuple(int(v) for v in stride),
        dilation=tuple(int(v) for v in dilation),
        padding=Padding(*(int(v) for v in pad)),
        input_zero_point=int(rng.integers(-128, 128)),
        output_zero_point=int(rng.integers(-20, 20)),
        clamp=(-120, 127),
        requantize=Requantize(rng.integers(1 << 30, 1 << 31, outputs), rng.integers(-9, -6, outputs), Rounding.SINGLE),
    )


def test_random_layers() -> None:
    """Pieces of whole reductions, and of reductions in parts by kernel rows whose sums wait: the rows that a command needs lie
    in a ring of as many rows or a few more, and no others."""
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    config = load_config("tiny16", SIZES)
    wrapped = sum(piece(config, rng) for _ in range(60))
    assert wrapped > 5


def piece(config: Config, rng: np.random.Generator) -> int:
    """Commands that wrap."""
    while True:
        op = random_layer(rng)
        size = rng.integers(1, 15, 2)
        image = rng.integers(-128, 128, (2, *size, op.weights.shape[3])).astype(np.int8)
        padded = size + [op.padding.top + op.padding.bottom, op.padding.left + op.padding.right]
        if (padded > (np.array(op.weights.shape[1:3]) - 1) * op.dilation).all():
            break
    wanted = arithmetic.conv2d(op, image)
    rows, cols, outputs = wanted.shape[1:]
    x, y = (Operand(name, name, layout_of(data.shape, 8)) for name, data in (("x", image), ("y", wanted)))
    g = Geometry(
        2,
        *image.shape[1:],
        *op.weights.shape[1:3],
        *op.stride,
        *op.dilation,
        op.padding.top,
        op.padding.left,
        rows,
        cols,
        outputs,
    )
    task = ConvTask(
        1,
        "c",
        (x,),
        y,
        g,
        op.weights.reshape(outputs, -1),
        op.bias,
        0,
        op.input_zero_point,
        op.output_zero_point,
        op.requantize,
        op.clamp,
        op.weights.size,
    )
    y0, x0 = int(rng.integers(rows)), int(rng.integers(cols))
    y1, x1 = int(rng.integers(y0, rows)) + 1, int(rng.integers(x0, cols)) + 1
    number = int(rng.integers(2))
    region = Region(number * rows + y0, number * rows + y1, x0 * outputs, x1 * outputs)
    pixels = (y1 - y0) * (x1 - x0)
    tiles = range(task.channel_tiles(config))
    words = pixels * len(tiles) * config.channel_groups
    apart = rng.random() < 0.5 and words <= config.partial_words
    parts = g.parts(g.whole_part.steps // g.kernel_rows) if apart else [g.whole_part]

    machine = _Machine(config, np.zeros(16, np.uint8))
    activation = machine._local[LocalMemory.ACTIVATION].view(np.int8)
    activation[:] = 77
    out = View(config.activation_bytes // 2, y.layout.stride)
    records = np.frombuffer(task.record_block(config, tiles), np.uint8)
    machine._local[LocalMemory.CHANNEL][FIRST_RECORD * config.channel_word_bytes :][: records.size] = records
    before = activation.copy()
    wraps = 0
    for i, part in enumerate(parts):
        block = np.frombuffer(task.weight_block(config, tiles, part), np.uint8)
        machine._local[LocalMemory.WEIGHT][FIRST_WORD * config.weight_word_bytes :][: block.size] = block
        needed = rows_needed(g, part, number, y0, y1)
        view = View(
            24, x.layout.stride, ring=max(1, len(needed) + int(rng.integers(0, 3))), turn=int(rng.integers(0, 20))
        )
        input_bytes = slice(0, config.activation_bytes // 2)
        activation[input_bytes] = before[input_bytes] = 77
        for row in needed:
            line = image.reshape(2 * g.in_rows, -1)[row]
            for memory in (activation, before):
                memory[view.address(row, 0) :][: line.size] = line
        last = i == len(parts) - 1
        sums = Sums(i == 0, 0 if last else pixels)
        command = task.command(config, Job(region, (view,), out, None, tiles, part, FIRST_WORD, FIRST_RECORD), sums)
        assert not list(faults(config, command, 0)), command
        machine.run(command, np.zeros(len(Counter), np.int64))
        wraps += command["wrap_bytes"] > 0
        agree(config, command)
    for row in range(y0, y1):
        at = out.address(number * rows + row, x0 * outputs)
        before[at : at + (x1 - x0) * outputs] = wanted[number, row, x0:x1].ravel()
    assert np.array_equal(activation, before), (g, region, parts)
    return wraps


def rows_needed(g: Geometry, part: Part, number: int, y0: int, y1: int) -> range:
    """Of the input, those that a part's windows span for output rows [y0, y1) of an image."""
    first = y0 * g.stride_rows - g.top + part.row0 * g.dilation_rows
    last = first + (y1 - 1 - y0) * g.stride_rows + (part.rows - 1) * g.dilation_rows
    return range(number * g.in_rows + max(0, first), number * g.in_rows + min(last, g.in_rows - 1) + 1)


def agree(config: Config, command: Command) -> None:
    """The mapper's bounds hold the validator's rows, and all of them end where rows do."""
    reads = [a for a in accesses(config, command) if a.space is Space.ACTIVATION and not a.write]
    exact = [f for f in footprints(config, command) if f.memory is LocalMemory.ACTIVATION and not f.write]
    for part in exact:
        for start, end in zip(part.starts, part.ends, strict=True):
            assert any(a.low <= start and end <= a.high for a in reads), (command, part, reads)
        if command["wrap_bytes"]:
            assert min(a.low for a in reads) == part.low and max(a.high for a in reads) == part.high
