"""The multiplier that stands for a division, against the division; windows of an input in a ring of rows."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.machine.config_files import load_config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import LocalMemory
from intaglio.mapper.emit.accesses import Space, accesses
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.pooling import PoolTask, Span, average_scale, division, spans
from intaglio.mapper.tasks.task import Operand
from intaglio.network.arithmetic import requantize
from intaglio.network.graph import AveragePool2D, Padding, Requantize, Rounding
from intaglio.program.layout import Region, View, layout_of
from intaglio.sim.functional import _Machine
from intaglio.verifier.footprint import footprints
from intaglio.verifier.legality import faults


def exact(sums: np.ndarray, count: int) -> np.ndarray:
    return np.sign(sums) * ((np.abs(sums) + count // 2) // count)


def by_multiplier(sums: np.ndarray, count: int) -> np.ndarray:
    multiplier, shift = division(count)
    assert 1 << 30 <= multiplier < 1 << 31
    return requantize(sums, Requantize(np.array([multiplier]), np.array([shift]), Rounding.AWAY))


@pytest.mark.parametrize("counts", [range(1, 300), [7 * 7, 14 * 14, 32 * 32, 3 * 1023]])
def test_every_sum(counts: list[int]) -> None:
    """Up to those of uint8."""
    for count in counts:
        sums = np.arange(-128 * count, 255 * count + 1)
        assert np.array_equal(by_multiplier(sums, count), exact(sums, count)), count


def test_large_counts_at_every_step() -> None:
    """Results change only at half steps, so the sums on both sides of each tell all."""
    for count in (2**22 - 1, 2**21, 3_000_001, 1_234_566, 2**21 - 1, 2**21 - 2):
        most = 255 if count < 2**21 else 128
        steps = np.arange(-most, most)
        around = (steps[:, None] * 2 + 1) * count // 2 + np.arange(-2, 3)
        sums = np.clip(around, -most * count, most * count).ravel()
        assert np.array_equal(by_multiplier(sums, count), exact(sums, count)), count


def test_the_scale_of_an_average_is_a_binary32_quotient() -> None:
    random = np.random.default_rng(3)
    for count in (1, 2, 3, 9, 49, 12345, 2**22 - 1):
        for rescale in (*np.exp(random.uniform(-30, 20, 200)), 1.0, 0.0, 2.0**29, 1e-45):
            op = AveragePool2D(
                "", (), (), (1, count), (1, 1), Padding(), (-128, 127), rescale, count_padding=bool(count % 2)
            )
            how = average_scale(op, 1 if op.count_padding else count)
            scale = np.float32(rescale) / np.float32(count)
            sums = np.array([255 * count, -255 * count, 1, count])
            assert -31 <= how.shift[0] <= 30
            assert np.array_equal(requantize(sums, how), np.rint(sums.astype(np.float32) * scale))


def test_spans_of_a_padded_axis() -> None:
    assert spans(range(5), 9, 3, 2, 1) == (Span(0, 1, 0, 2), Span(1, 3, 1, 3), Span(4, 1, 7, 2))
    assert spans(range(4), 4, 2, 1, 2, 3) == (Span(0, 2, 1, 1), Span(2, 1, 0, 2), Span(3, 1, 1, 1))
    assert spans(range(3), 3, 3, 1, 1) == (Span(0, 1, 0, 2), Span(1, 1, 0, 3), Span(2, 1, 1, 2))


CONFIG = load_config("tiny16", ["activation_bytes=32768"])
HALF = CONFIG.activation_bytes // 2


def random_task(rng: np.random.Generator) -> PoolTask:
    """Maxima or averages of 2 images, without a window that lies in the padding as a whole."""
    while True:
        size, channels = rng.integers(3, 13, 2), int(rng.integers(1, 20))
        window, stride, dilation = rng.integers(1, 4, 2), rng.integers(1, 4, 2), rng.integers(1, 3, 2)
        before = rng.integers(0, window)
        outputs = (size + 2 * before - (window - 1) * dilation - 1) // stride + 1
        starts = [np.arange(n) * s - b for n, s, b in zip(outputs, stride, before, strict=True)]
        taps = [s[:, None] + np.arange(k) * d for s, k, d in zip(starts, window, dilation, strict=True)]
        if all(n > 0 and ((t >= 0) & (t < s)).any(1).all() for n, t, s in zip(outputs, taps, size, strict=True)):
            break
    x, y = (Operand(name, name, layout_of((2, *shape, channels), 8)) for name, shape in (("x", size), ("y", outputs)))
    pairs = [tuple(int(v) for v in pair) for pair in (window, stride, dilation)]
    exactly = Requantize(np.array([1 << 30]), np.array([1]), Rounding.AWAY)
    maximum = bool(rng.integers(2))
    return PoolTask(
        1,
        "pool",
        (x,),
        y,
        int(size[0]),
        int(size[1]),
        channels,
        pairs[0],
        pairs[1],
        int(before[0]),
        int(before[1]),
        int(outputs[0]),
        (lambda count: exactly) if maximum else None,
        0,
        0,
        (-128, 127),
        pairs[2],
        maximum,
    )


def wanted(task: PoolTask, image: np.ndarray, y: int, x: int) -> np.ndarray:
    """One output pixel, int64 [channels]. image: [rows, cols, channels]."""
    rows = [y * task.stride[0] - task.top + i * task.dilation[0] for i in range(task.window[0])]
    cols = [x * task.stride[1] - task.left + i * task.dilation[1] for i in range(task.window[1])]
    taps = [image[r, c] for r in rows for c in cols if 0 <= r < task.in_rows and 0 <= c < task.in_cols]
    if task.maximum:
        return np.max(taps, axis=0)
    sums = np.sum(taps, axis=0, dtype=np.int64)
    return exact(sums, len(taps))


def test_a_ring_of_rows() -> None:
    """Pieces whose input lies in a ring of as many rows as they need or a few more, and no other row is there."""
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    wrapped = 0
    for _ in range(60):
        task = random_task(rng)
        image = rng.integers(-128, 128, (2, task.in_rows, task.in_cols, task.channels)).astype(np.int8)
        number, y0 = int(rng.integers(2)), int(rng.integers(task.out_rows))
        y1 = int(rng.integers(y0, task.out_rows)) + 1
        region = Region(number * task.out_rows + y0, number * task.out_rows + y1, 0, task.output.layout.row_elements)
        (needed,) = task.reads(region)
        view = View(
            24, task.inputs[0].layout.stride, ring=needed.rows + int(rng.integers(0, 3)), turn=int(rng.integers(0, 20))
        )
        out = View(HALF, task.output.layout.stride)
        machine = _Machine(CONFIG, np.zeros(16, np.uint8))
        activation = machine._local[LocalMemory.ACTIVATION].view(np.int8)
        activation[:] = 77
        for row in range(needed.row0, needed.row1):
            line = image.reshape(2 * task.in_rows, -1)[row]
            activation[view.address(row, 0) :][: line.size] = line
        before = activation.copy()
        for command in task.commands(CONFIG, Job(region, (view,), out)):
            assert not list(faults(CONFIG, command, 0)), command
            machine.run(command, np.zeros(len(Counter), np.int64))
            wrapped += command["wrap_bytes"] > 0
            reads = [a for a in accesses(CONFIG, command) if a.space is Space.ACTIVATION and not a.write]
            exactly = footprints(CONFIG, command)[0]
            assert min(a.low for a in reads) == exactly.low and max(a.high for a in reads) == exactly.high
            for start, end in zip(exactly.starts, exactly.ends, strict=True):
                assert any(a.low <= start and end <= a.high for a in reads)
        for y in range(y0, y1):
            for x in range(task.output.layout.row_elements // task.channels):
                at = out.address(number * task.out_rows + y, x * task.channels)
                before[at : at + task.channels] = wanted(task, image[number], y, x)
        assert np.array_equal(activation, before), task
    assert wrapped > 5
