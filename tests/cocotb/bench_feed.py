"""Addressing of CONV: for random geometries each row's bytes are those of a plain im2col, weights' addresses count on."""

from __future__ import annotations

import cocotb
import numpy as np
from assemblies import Feed
from bench_side import TIMEOUT_MS, generator, started, tick
from rtl_bench import parameters

from intaglio.machine.config_files import config_from_dict
from intaglio.machine.isa import Command
from tests.hw.core_commands import random_conv
from tests.hw.units import payload_of

COMMANDS = 25
BORDER_ROWS, BORDER_BYTES = 16, 512
"""Around an image; more than any padding of random_conv, its kernel included."""


def patches(command: Command, memory: np.ndarray) -> np.ndarray:
    """Every output pixel's inputs in the order of the kernel, int8 [pixels, steps]: the image, padded, cut up."""
    f = command.fields
    stride = f["kernel_row_step"] // f["dilation_rows"]
    base = f["origin"] - f["iy_start"] * stride - f["x_start"] & 0xFFFFFFFF
    starts = [base + y * stride - f["wrap_bytes"] * (y >= f["wrap_iy"]) & 0xFFFFFFFF for y in range(f["in_rows"])]
    image = np.stack([memory[start:][: f["in_row_bytes"]] for start in starts])
    borders = ((BORDER_ROWS, BORDER_ROWS), (BORDER_BYTES, BORDER_BYTES))
    padded = np.pad(image, borders, constant_values=f["in_zero_point"])
    pixels = (f["pixel_tiles"] - 1) * f["rows_per_tile"] + f["last_pixels"]
    run = (f["chunks"] - 1) * f["chunk_bytes"] + f["last_chunk_bytes"]
    out = []
    for pixel in range(pixels):
        y0 = BORDER_ROWS + f["iy_start"] + pixel // f["region_width"] * f["stride_rows"]
        x0 = BORDER_BYTES + f["x_start"] + pixel % f["region_width"] * f["x_step"]
        out.append(
            np.concatenate(
                [
                    padded[y0 + kh * f["dilation_rows"], x0 + kw * f["kernel_x_step"] :][:run]
                    for kh in range(f["kernel_rows"])
                    for kw in range(f["kernel_cols"])
                ]
            )
        )
    return np.array(out)


async def fill(dut, memory: np.ndarray, bus: int) -> None:
    """Writes the activation memory through LOAD's port."""
    dut.load_en.value = 1
    for at in range(0, memory.size, bus):
        dut.load_address.value = at
        dut.load_data.value = int.from_bytes(memory[at : at + bus].tobytes(), "little")
        await tick(dut)
    dut.load_en.value = 0
    for _ in range(2):
        await tick(dut)


async def streams(dut, rows: int) -> tuple[list[list[int]], list[list[tuple[bool, bool]]], list[tuple[int, int]]]:
    """Each row's bytes and (first, last) beside them, and row 0's (weight address, channels), to the command's end."""
    data: list[list[int]] = [[] for _ in range(rows)]
    marks: list[list[tuple[bool, bool]]] = [[] for _ in range(rows)]
    weights = []
    left = None
    while left != 0:
        await tick(dut)
        for r in range(rows):
            control = int(getattr(dut, f"row_{r}").value)
            if control & 1:
                data[r].append(getattr(dut, f"activation_{r}").value.to_signed())
                marks[r].append((bool(control & 2), bool(control & 4)))
                if r == 0:
                    weights.append((int(dut.weight_address.value), int(dut.channels.value)))
        if left is not None:
            left -= 1
        elif not dut.active.value:
            left = Feed.LATENCY + rows + 1  # active tells of the next cycle
    return data, marks, weights


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def geometries(dut) -> None:
    """Kernels, strides, dilations, paddings, chunks and tiles at random."""
    config = config_from_dict(parameters()["config"])
    rng = generator()
    memory = rng.integers(-128, 128, config.activation_bytes).astype(np.int8)
    await started(dut)
    await fill(dut, memory, config.bus_bytes)
    for _ in range(COMMANDS):
        command = random_conv(config, rng)
        f = command.fields
        inputs = patches(command, memory)
        steps = inputs.shape[1]
        dut.command.value = payload_of(command)
        dut.start.value = 1
        await tick(dut)
        dut.start.value = 0
        for _ in range(2):  # active from then on
            await tick(dut)
        data, marks, weights = await streams(dut, config.rows)
        once = [(step == 0, step == steps - 1) for step in range(steps)]
        for r in range(config.rows):
            mine = inputs[r :: f["rows_per_tile"]] if r < f["rows_per_tile"] else inputs[:0]
            expected = np.tile(mine.reshape(-1), f["channel_tiles"])
            assert data[r] == expected.tolist(), f"row {r} of {command}"
            assert marks[r] == once * len(mine) * f["channel_tiles"]
        assert weights == [
            (
                f["weight_base"] + tile * steps + step,
                f["last_channels"] if tile == f["channel_tiles"] - 1 else config.cols,
            )
            for tile in range(f["channel_tiles"])
            for _ in range(f["pixel_tiles"])
            for step in range(steps)
        ]
