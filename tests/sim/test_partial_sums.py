"""A convolution by kernel rows, its sums kept from one command to the next, against the same convolution at once."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.machine.counters import Counter
from intaglio.machine.isa import Command, Opcode
from intaglio.machine.timing import least_tile_cycles
from intaglio.sim.engines import run_program
from tests.sim.programs import SMALL, program_of, random_image

SIDE, CHANNELS = 5, 7  # a padded 3x3 over 5x5 pixels of 7 channels
OUTPUTS = SMALL.cols - 1
GROUPS = -(-OUTPUTS // SMALL.requantizers)


def convolution(kernel_rows: range, rows: range, **fields: int) -> Command:
    """Some kernel rows of the convolution for some output rows; zero point 0, so that padding is worth nothing."""
    stride = SIDE * CHANNELS
    iy, x = rows.start - 1 + kernel_rows.start, -CHANNELS
    pixels = len(rows) * SIDE
    tiles = -(-pixels // SMALL.rows)
    slot = max(SMALL.rows, CHANNELS)
    slots = len(kernel_rows) * 3 * slot
    command = Command(
        Opcode.CONV,
        {
            "origin": (iy * stride + x) % (1 << 32),
            "in_row_bytes": stride,
            "iy_start": iy,
            "x_start": x,
            "in_rows": SIDE,
            "stride_rows": 1,
            "x_step": CHANNELS,
            "row_step": stride,
            "kernel_rows": len(kernel_rows),
            "dilation_rows": 1,
            "kernel_row_step": stride,
            "kernel_cols": 3,
            "chunks": 1,
            "kernel_x_step": CHANNELS,
            "chunk_bytes": CHANNELS,
            "last_chunk_bytes": CHANNELS,
            "slot_cycles": slot,
            "last_slot_cycles": slot,
            "weight_base": 3 * CHANNELS * kernel_rows.start,
            "channel_base": 0,
            "region_width": SIDE,
            "pixel_tiles": tiles,
            "rows_per_tile": SMALL.rows,
            "last_pixels": pixels - (tiles - 1) * SMALL.rows,
            "channel_tiles": 1,
            "last_channels": OUTPUTS,
            "out_base": 1024 + rows.start * SIDE * OUTPUTS,
            "out_row_stride": SIDE * OUTPUTS,
            "out_pixel_stride": OUTPUTS,
            "clamp_min": -128,
            "clamp_max": 127,
            "partial_base": 5 + rows.start * SIDE * GROUPS,
            **fields,
        },
    )
    idle = max(0, least_tile_cycles(SMALL, command) - slots)
    return Command(Opcode.CONV, {**command.fields, "idle_cycles": idle})


@pytest.mark.parametrize("engine", ["host", "rtl"])
def test_padding_rows_are_left_out(engine: str) -> None:
    """The middle kernel row for every pixel; the first for all output rows but the first, and the last output row is complete
    with it; the last for all but the last, which completes them."""
    images = random_image(SMALL, np.random.default_rng(1))
    every, upper, lower = range(SIDE), range(SIDE - 1), range(1, SIDE)
    parts = [
        convolution(range(1, 2), every, start=1, drain_from=SIDE * SIDE),
        convolution(range(0, 1), lower, start=0, drain_from=SIDE * (SIDE - 2)),
        convolution(range(2, 3), upper, start=0, drain_from=0),
    ]
    wanted = run_program(SMALL, program_of(SMALL, [convolution(range(3), every, start=1)], images), {}, "host")
    found = run_program(SMALL, program_of(SMALL, parts, images), {}, engine)
    assert np.array_equal(found.outputs["all"], wanted.outputs["all"])
    assert found.counters[Counter.REQUANTIZATIONS] == SIDE * SIDE * OUTPUTS
    assert found.counters[Counter.PARTIAL_READS] == 2 * SIDE * (SIDE - 1) * GROUPS
    assert found.counters[Counter.PARTIAL_WRITES] == (SIDE * SIDE + SIDE * (SIDE - 2)) * GROUPS
    assert found.counters[Counter.MACS] < wanted.counters[Counter.MACS]
