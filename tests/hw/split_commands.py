"""Random CONV commands whose reductions are split over two rows, legal for a configuration with two weight lanes."""

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.isa import Command, Opcode
from intaglio.machine.timing import least_tile_cycles
from tests.hw.core_commands import output_fields, partial, random_rounding, random_rows


def random_split(config: Config, rng: np.random.Generator) -> Command:
    """One output pixel; its input lies in the lower half of the activation memory, its output in the upper. Half of them
    are fully connected layers, of odd lengths too, the others have kernels, gaps and padding. Half have no more idle cycles
    than they must."""
    half = config.activation_bytes // 2
    words = config.weight_bytes // config.weight_word_bytes, config.channel_bytes // config.channel_word_bytes
    while True:
        plain = bool(rng.integers(0, 2))
        kh, kw = (1, 1) if plain else (int(v) for v in rng.integers(1, 4, 2))
        run = int(rng.integers(1, 3 * config.feed_bytes)) if rng.integers(0, 2) else int(rng.integers(1, 9))
        outputs = int(rng.integers(1, 4 * config.cols))
        tiles = -(-outputs // config.cols)
        length = 2 * run - int(rng.integers(0, 2)) if plain else int(rng.integers(1, 4 * run))
        rows = 1 if plain else int(rng.integers(1, 6))
        row_stride = length + int(rng.integers(0, 9))
        if (
            rows * row_stride <= half
            and 2 * tiles * kh * kw * run <= words[0]
            and tiles * config.channel_groups <= words[1]
        ):
            break
    dilation = int(rng.integers(1, 3))
    iy, x = (0, 0) if plain else (int(rng.integers(-2, 2)), int(rng.integers(-3, 3)))
    base, wrap, wrap_bytes = random_rows(rng, rows, row_stride, half)
    chunks = (
        int(rng.integers(-(-run // config.feed_bytes), run + 1)) if rng.random() < 0.3 else -(-run // config.feed_bytes)
    )
    chunk = -(-run // chunks)
    chunks = -(-run // chunk)
    last = run - (chunks - 1) * chunk
    slot, last_slot = max(2, chunk) + int(rng.integers(0, 2)), max(2, last) + int(rng.integers(0, 2))
    slots = kh * kw * ((chunks - 1) * slot + last_slot)
    more = int(rng.integers(0, 2)) * int(rng.integers(0, 4))
    command = Command(
        Opcode.CONV,
        {
            "origin": (base + iy * row_stride + x) % (1 << 32),
            "in_row_bytes": length,
            "iy_start": iy,
            "x_start": x,
            "in_rows": rows,
            "stride_rows": 1,
            "x_step": run if plain else int(rng.integers(0, 2 * run)),
            "row_step": row_stride,
            "kernel_rows": kh,
            "dilation_rows": dilation,
            "kernel_row_step": dilation * row_stride,
            "kernel_cols": kw,
            "chunks": chunks,
            "kernel_x_step": int(rng.integers(0, 2 * run)),
            "chunk_bytes": chunk if chunks > 1 else last,
            "last_chunk_bytes": last,
            "slot_cycles": slot,
            "last_slot_cycles": last_slot,
            "weight_base": 2 * int(rng.integers(0, words[0] // 2 - tiles * kh * kw * run + 1)),
            "channel_base": int(rng.integers(0, words[1] - tiles * config.channel_groups + 1)),
            "early_pixels": int(rng.integers(0, 2)),
            "early_base": int(rng.integers(0, words[1] - tiles * config.channel_groups + 1)),
            "region_width": 2,
            "pixel_tiles": 1,
            "rows_per_tile": 2,
            "last_pixels": 2,
            "channel_tiles": tiles,
            "last_channels": outputs - (tiles - 1) * config.cols,
            "in_zero_point": int(rng.integers(-128, 128)),
            "weight_zero_point": int(rng.integers(-128, 128)) * bool(rng.integers(0, 2)) * config.weight_zero_points,
            "start": 1,
            "split": 1,
            "wrap_iy": wrap,
            "wrap_bytes": wrap_bytes,
            **output_fields(
                rng,
                int(rng.integers(half, config.activation_bytes - outputs + 1)),
                int(rng.integers(0, 99)),
                int(rng.integers(0, 99)),
                random_rounding(config, rng),
            ),
        },
    )
    idle = max(0, least_tile_cycles(config, command) - slots) + more
    return Command(Opcode.CONV, {**command.fields, "idle_cycles": idle})


def random_split_chain(config: Config, rng: np.random.Generator) -> list[Command]:
    """Commands that keep the sums of one pixel, continue and keep them, and drain them: each split."""
    while True:
        last = random_split(config, rng)
        words = (last["channel_tiles"] - 1) * config.channel_groups + -(-last["last_channels"] // config.requantizers)
        if words <= config.partial_words:
            break
    base = int(rng.integers(0, config.partial_words - words + 1))
    return [
        partial(last, start, drain_from, base) for start, drain_from in ((1, 1), (0, int(rng.integers(1, 9))), (0, 0))
    ]
