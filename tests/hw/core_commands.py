"""Random commands for the compute core, legal for a configuration."""

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.isa import Command, Opcode, RoundingCode, conv_pixels
from intaglio.machine.timing import least_tile_cycles


def _clamp(rng: np.random.Generator) -> dict[str, int]:
    low, high = sorted(int(v) for v in rng.integers(-128, 128, 2))
    return {"clamp_min": low, "clamp_max": high} if rng.random() < 0.3 else {"clamp_min": -128, "clamp_max": 127}


def _scale(rng: np.random.Generator, mean_shift: int) -> tuple[int, int]:
    return int(rng.integers(1 << 30, 1 << 31)), int(np.clip(mean_shift + rng.integers(-3, 4), -31, 30))


def random_rounding(config: Config, rng: np.random.Generator) -> int:
    """One of the modes built in."""
    return int(RoundingCode[str(rng.choice(config.rounding)).upper()])


def output_fields(
    rng: np.random.Generator, base: int, row_stride: int, pixel_stride: int, rounding: int
) -> dict[str, int]:
    return {
        "out_base": base,
        "out_row_stride": row_stride,
        "out_pixel_stride": pixel_stride,
        "out_zero_point": int(rng.integers(-128, 128)),
        "rounding": rounding,
        **_clamp(rng),
    }


def with_tables(config: Config, rng: np.random.Generator, commands: list[Command]) -> list[Command]:
    """The commands, half of their results through some table where there are any."""
    if not config.tables:
        return commands
    tables = rng.integers(1, config.tables + 1, len(commands)) * rng.integers(0, 2, len(commands))
    return [Command(c.opcode, {**c.fields, "table": int(t)}) for c, t in zip(commands, tables, strict=True)]


def random_rows(rng: np.random.Generator, rows: int, stride: int, room: int) -> tuple[int, int, int]:
    """(base, wrap, wrap_bytes): where rows lie within `room` bytes, row r at base + r * stride, and half the time from row `wrap`
    on elsewhere, wrap_bytes (of a wrapping 32-bit sum) lower."""
    wrap = int(rng.integers(-2, rows + 2)) if rng.random() < 0.5 else rows
    before = min(max(wrap, 0), rows)
    base, again = (int(rng.integers(0, room - stride * count + 1)) for count in (before, rows - before))
    return base, wrap, (base + before * stride - again) % (1 << 32) if before < rows else 0


def random_conv(config: Config, rng: np.random.Generator, small: bool = False) -> Command:
    """A CONV whose input lies in the lower half of the activation memory and whose output in the upper."""
    most = 4 if small else 9
    while True:
        channels = int(rng.integers(1, 3 * most))
        height, width = (int(v) for v in rng.integers(1, most + 1, 2))
        kh, kw = (int(v) for v in rng.integers(1, 4, 2))
        stride, dilation = rng.integers(1, 3, 2), rng.integers(1, 3, 2)
        pad = rng.integers(0, 3, 4)
        out_h = (height + int(pad[0] + pad[1]) - (kh - 1) * int(dilation[0]) - 1) // int(stride[0]) + 1
        out_w = (width + int(pad[2] + pad[3]) - (kw - 1) * int(dilation[1]) - 1) // int(stride[1]) + 1
        outputs = int(rng.integers(1, 3 * config.cols))
        row_stride = width * channels + int(rng.integers(0, 9))
        out_stride = out_w * outputs + int(rng.integers(0, 9))
        half = config.activation_bytes // 2
        tiles = -(-outputs // config.cols)
        steps = kh * kw * channels
        if (
            out_h < 1
            or out_w < 1
            or row_stride * height > half
            or out_stride * out_h > half - 64
            or tiles * steps > config.weight_bytes // config.weight_word_bytes
            or tiles * config.channel_groups > config.channel_bytes // config.channel_word_bytes
        ):
            continue
        break
    base, wrap, wrap_bytes = random_rows(rng, height, row_stride, half)
    merged = bool(dilation[1] == 1 and rng.random() < 0.8)
    run = kw * channels if merged else channels
    pixels = out_h * out_w
    per_tile = min(config.rows if rng.random() < 0.8 else int(rng.integers(1, config.rows + 1)), pixels)
    chunks = (
        int(rng.integers(-(-run // config.feed_bytes), run + 1)) if rng.random() < 0.3 else -(-run // config.feed_bytes)
    )
    chunk = -(-run // chunks)
    chunks = -(-run // chunk)
    last = run - (chunks - 1) * chunk
    slot, last_slot = max(per_tile, chunk) + int(rng.integers(0, 2)), max(per_tile, last) + int(rng.integers(0, 2))
    slots = kh * (1 if merged else kw) * ((chunks - 1) * slot + last_slot)
    more = int(rng.integers(0, 3))
    iy, x = -int(pad[0]), -int(pad[2]) * channels
    origin = (base + iy * row_stride + x) % (1 << 32)
    fields = {
        "origin": origin,
        "in_row_bytes": width * channels,
        "iy_start": iy,
        "x_start": x,
        "in_rows": height,
        "stride_rows": int(stride[0]),
        "x_step": int(stride[1]) * channels,
        "row_step": int(stride[0]) * row_stride,
        "kernel_rows": kh,
        "dilation_rows": int(dilation[0]),
        "kernel_row_step": int(dilation[0]) * row_stride,
        "kernel_cols": 1 if merged else kw,
        "chunks": chunks,
        "kernel_x_step": int(dilation[1]) * channels,
        "chunk_bytes": chunk if chunks > 1 else last,
        "last_chunk_bytes": last,
        "slot_cycles": slot,
        "last_slot_cycles": last_slot,
        "weight_base": int(rng.integers(0, config.weight_bytes // config.weight_word_bytes - tiles * steps + 1)),
        "channel_base": int(
            rng.integers(0, config.channel_bytes // config.channel_word_bytes - tiles * config.channel_groups + 1)
        ),
        "early_pixels": int(rng.integers(0, pixels + 2)) * bool(rng.integers(0, 2)),
        "early_base": int(
            rng.integers(0, config.channel_bytes // config.channel_word_bytes - tiles * config.channel_groups + 1)
        ),
        "region_width": out_w,
        "pixel_tiles": -(-pixels // per_tile),
        "rows_per_tile": per_tile,
        "last_pixels": pixels - (-(-pixels // per_tile) - 1) * per_tile,
        "channel_tiles": tiles,
        "last_channels": outputs - (tiles - 1) * config.cols,
        "in_zero_point": int(rng.integers(-128, 128)),
        "weight_zero_point": int(rng.integers(-128, 128)) * bool(rng.integers(0, 2)) * config.weight_zero_points,
        "start": 1,
        "wrap_iy": wrap,
        "wrap_bytes": wrap_bytes,
        **output_fields(
            rng,
            int(rng.integers(half, config.activation_bytes - out_stride * out_h + 1)),
            out_stride,
            outputs,
            random_rounding(config, rng),
        ),
    }
    fields["idle_cycles"] = max(0, least_tile_cycles(config, Command(Opcode.CONV, fields)) - slots) + more
    return Command(Opcode.CONV, fields)


def part_of(
    config: Config,
    rng: np.random.Generator,
    whole: Command,
    kernel_rows: range,
    rows: int = 0,
    pixels: int = 0,
    tile: int | None = None,
) -> Command:
    """The part of a CONV from random_conv that some of its kernel rows contribute: to `pixels` pixels (0: all that are left)
    from output row `rows` on, of all channel tiles or of one. Weights lie where they lie in the whole if that has one channel
    tile, else anywhere."""
    f = dict(whole.fields)
    pixels = pixels or conv_pixels(whole) - rows * f["region_width"]
    run = (f["chunks"] - 1) * f["chunk_bytes"] + f["last_chunk_bytes"]
    skipped = kernel_rows.start * f["kernel_cols"] * run
    f["kernel_rows"] = len(kernel_rows)
    f["iy_start"] += kernel_rows.start * f["dilation_rows"] + rows * f["stride_rows"]
    f["origin"] = (f["origin"] + kernel_rows.start * f["kernel_row_step"] + rows * f["row_step"]) % (1 << 32)
    f["out_base"] += rows * f["out_row_stride"]
    f["early_pixels"] = max(0, f["early_pixels"] - rows * f["region_width"])
    if tile is not None:
        f["out_base"] += tile * config.cols
        f["channel_base"] += tile * config.channel_groups
        f["early_base"] += tile * config.channel_groups
        f["last_channels"] = f["last_channels"] if tile == f["channel_tiles"] - 1 else config.cols
        f["channel_tiles"] = 1
    if whole["channel_tiles"] == 1:
        f["weight_base"] += skipped
    else:
        words = config.weight_bytes // config.weight_word_bytes
        steps = len(kernel_rows) * f["kernel_cols"] * run
        f["weight_base"] = int(rng.integers(0, words - f["channel_tiles"] * steps + 1))
    per_tile = int(rng.integers(1, min(f["rows_per_tile"], pixels) + 1))
    f["pixel_tiles"] = -(-pixels // per_tile)
    f["rows_per_tile"] = per_tile
    f["last_pixels"] = pixels - (f["pixel_tiles"] - 1) * per_tile
    slots = f["kernel_rows"] * f["kernel_cols"] * ((f["chunks"] - 1) * f["slot_cycles"] + f["last_slot_cycles"])
    f["idle_cycles"] = max(0, least_tile_cycles(config, Command(Opcode.CONV, f)) - slots) + int(rng.integers(0, 3))
    return Command(Opcode.CONV, f)


def partial(command: Command, start: int, drain_from: int, partial_base: int) -> Command:
    return Command(
        Opcode.CONV, {**command.fields, "start": start, "drain_from": drain_from, "partial_base": partial_base}
    )


def random_chain(config: Config, rng: np.random.Generator, small: bool = False) -> list[Command]:
    """CONV commands that keep partial sums and continue them, until all are drained: over several pixel tiles and channel
    tiles, with some pixels drained earlier than others."""
    while True:
        whole = random_conv(config, rng, small)
        pixels, tiles = conv_pixels(whole), whole["channel_tiles"]
        groups = -(-whole["last_channels"] // config.requantizers)
        passes = pixels * ((tiles - 1) * config.channel_groups + groups)
        if passes <= config.partial_words:
            break

    def some_kernel_rows() -> range:
        first, last = sorted(int(v) for v in rng.integers(0, whole["kernel_rows"], 2))
        return range(first, last + 1)

    base = int(rng.integers(0, config.partial_words - passes + 1))
    kept = pixels if rng.random() < 0.5 else int(rng.integers(1, pixels + 1))
    beyond = int(rng.integers(0, 2)) * int(rng.integers(0, 1 << 32 if rng.random() < 0.3 else 9))
    out = [
        partial(
            part_of(config, rng, whole, some_kernel_rows()),
            1,
            kept if kept < pixels else min(pixels + beyond, (1 << 32) - 1),
            base,
        )
    ]
    while tiles > 1 and kept == pixels:  # all channel tiles lie as they did
        kept = int(rng.choice([0, pixels, int(rng.integers(0, pixels + 1))], p=[0.4, 0.2, 0.4]))
        out.append(partial(part_of(config, rng, whole, some_kernel_rows()), 0, kept, base))
    width = whole["region_width"]
    for tile in range(tiles):
        words = groups if tile == tiles - 1 else config.channel_groups
        first, left = base + tile * pixels * config.channel_groups, kept
        while left:  # pixels [0, left) are kept; those from some row on are continued, and some of them kept again
            row = int(rng.integers(0, (left - 1) // width + 1)) if rng.random() < 0.5 else 0
            count = left - row * width
            again = int(rng.integers(0, count + 1)) if rng.random() < 0.6 else 0
            part = part_of(config, rng, whole, some_kernel_rows(), row, count, tile)
            out.append(partial(part, 0, again, first + row * width * words))
            left = row * width + again
    return out


def random_add(config: Config, rng: np.random.Generator) -> Command:
    row_bytes, rows = int(rng.integers(1, 6 * config.requantizers)), int(rng.integers(1, 5))
    third = config.activation_bytes // 3
    strides = [row_bytes + int(v) for v in rng.integers(0, 9, 3)]
    bases = [i * third + int(rng.integers(0, third - rows * s)) for i, s in enumerate(strides)]
    (ma, sa), (mb, sb), (mo, so) = _scale(rng, -2), _scale(rng, -2), _scale(rng, -17)
    return Command(
        Opcode.ADD,
        {
            "a_base": bases[0],
            "a_row_stride": strides[0],
            "b_base": bases[1],
            "b_row_stride": strides[1],
            "row_bytes": row_bytes,
            "rows": rows,
            "mult_a": ma,
            "mult_b": mb,
            "shift_a": min(0, sa),
            "shift_b": min(0, sb),
            "zero_a": int(rng.integers(-128, 128)),
            "zero_b": int(rng.integers(-128, 128)),
            "mult_out": mo,
            "shift_out": so,
            "bias": int(rng.integers(-(1 << 31), 1 << 31) >> rng.integers(0, 32)),
            **output_fields(rng, bases[2], strides[2], 0, random_rounding(config, rng)),
        },
    )


def random_channels(config: Config, rng: np.random.Generator) -> int:
    """Of a POOL: below, at and above the channels of one slab."""
    slab = config.slab_channels
    return int(
        rng.choice([rng.integers(1, slab + 1), slab, rng.integers(slab + 1, 2 * slab + 1), rng.integers(1, 4 * slab)])
    )


def random_pool(config: Config, rng: np.random.Generator, maximum: bool = False) -> Command:
    """A POOL whose input lies in the lower half of the activation memory, half of them with rows that lie elsewhere from some
    row on, and whose output in the upper."""
    half = config.activation_bytes // 2
    while True:
        channels = random_channels(config, rng)
        kh, kw, rows, cols = (int(v) for v in rng.integers(1, 4, 4))
        sh, sw = (int(v) for v in rng.integers(1, 3, 2))
        height, width = (rows - 1) * sh + kh, (cols - 1) * sw + kw
        stride, out_stride = width * channels + int(rng.integers(0, 5)), cols * channels + int(rng.integers(0, 5))
        if max(stride * height, out_stride * rows) < half:
            break
    mult, shift = _scale(rng, 1 if maximum else -4)
    base, wrap, wrap_bytes = random_rows(rng, height, stride, half)
    return Command(
        Opcode.POOL,
        {
            "wrap_from": max(0, wrap * stride - int(rng.integers(stride))),
            "wrap_bytes": wrap_bytes,
            "in_base": base,
            "in_row_stride": stride,
            "row_step": sh * stride,
            "x_step": sw * channels,
            "kernel_rows": kh,
            "kernel_cols": kw,
            "kernel_x_step": channels,
            "region_rows": rows,
            "region_cols": cols,
            "channels": channels,
            "mult_out": mult,
            "shift_out": shift,
            "bias": int(rng.integers(-2000, 2000)) // (40 if maximum else 1),
            "maximum": int(maximum),
            **output_fields(
                rng,
                int(rng.integers(half, config.activation_bytes - out_stride * rows)),
                out_stride,
                channels,
                random_rounding(config, rng),
            ),
        },
    )


def random_maximum(config: Config, rng: np.random.Generator) -> Command:
    return random_pool(config, rng, True)


def split_window(command: Command, config: Config) -> list[Command]:
    """A POOL command's first pixel and slab as commands of one window row each, which continue each other's sums."""
    f = {
        **command.fields,
        "region_rows": 1,
        "region_cols": 1,
        "channels": min(command["channels"], config.slab_channels),
    }
    parts = [
        {
            **f,
            "kernel_rows": 1,
            "in_base": f["in_base"] + y * f["in_row_stride"],
            "hold": 1,
            "resume": 1,
            "wrap_from": max(0, f["wrap_from"] - y * f["in_row_stride"]),
        }
        for y in range(f["kernel_rows"])
    ]
    parts[0]["resume"] = parts[-1]["hold"] = 0
    return [Command(Opcode.POOL, part) for part in parts]
