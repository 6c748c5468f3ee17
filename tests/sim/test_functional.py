"""The functional simulator against isa.py read literally: plain loops, one element at a time."""

import numba
import numpy as np
import pytest

from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Command, Opcode, RoundingCode
from intaglio.network import arithmetic
from intaglio.network.graph import Requantize, Rounding
from intaglio.program.program import Place, Program
from intaglio.sim.functional import execute_program
from intaglio.sim.requantize import requantize
from tests.binary32_cases import all_ties, random_cases
from tests.hw.core_commands import random_chain
from tests.hw.split_commands import random_split, random_split_chain

CONFIG = Config(
    rows=3,
    cols=5,
    requantizers=2,
    activation_bytes=2048,
    activation_banks=2,
    weight_bytes=4096,
    channel_bytes=2048,
    partial_bytes=8 * 701,
    bus_bytes=8,
)
H = CONFIG.half_word_bytes
IMAGE = 8192  # activations, weights, channels lie at 0, 2048, 6144 of the image


def halves(addresses):
    return len({a // H for a in addresses})


def scale(total, multiplier, shift, code):
    how = Requantize(np.array(multiplier), np.array(shift), Rounding(RoundingCode(code).name.lower()))
    scaled = arithmetic.requantize(arithmetic.wrap32(np.array(total)), how)
    return int(np.clip(scaled, -(2**31), 2**31 - 1) if code == RoundingCode.FLOAT else arithmetic.wrap32(scaled))


def finish(c, total, multiplier, shift):
    scaled = scale(total, multiplier, shift, c["rounding"]) + c["out_zero_point"]
    return min(max(scaled, c["clamp_min"]), c["clamp_max"])


class Plain:
    """The compute commands as isa.py writes them. Writes land after all reads of a command."""

    def __init__(self, activation, weight, channel):
        self.activation, self.weight, self.channel = activation, weight, channel
        self.partial = np.zeros((CONFIG.partial_words, CONFIG.requantizers), np.int64)

    def run(self, c):
        self.count = dict.fromkeys(Counter, 0)
        self.written = {}
        {Opcode.CONV: self.conv, Opcode.ADD: self.add, Opcode.POOL: self.pool}[c.opcode](c)
        for address, value in self.written.items():
            self.activation[address] = value

    def read(self, addresses):
        self.count[Counter.ACTIVATION_READS] += halves(addresses)
        return [int(self.activation[a]) for a in addresses]

    def write(self, address, values):
        self.count[Counter.ACTIVATION_WRITES] += halves(range(address, address + len(values)))
        self.count[Counter.REQUANTIZATIONS] += len(values)
        self.written.update({address + i: v for i, v in enumerate(values)})

    def conv(self, c):
        groups = -(-CONFIG.cols // CONFIG.requantizers)
        word, n_pass = c["weight_base"], c["partial_base"]
        for tile_c in range(c["channel_tiles"]):
            channels = c["last_channels"] if tile_c == c["channel_tiles"] - 1 else CONFIG.cols
            tile_word = word
            for tile_p in range(c["pixel_tiles"]):
                word = tile_word
                pixels = c["last_pixels"] if tile_p == c["pixel_tiles"] - 1 else c["rows_per_tile"]
                self.sums = np.zeros((CONFIG.rows, CONFIG.cols), np.int64)
                for kh in range(c["kernel_rows"]):
                    for kw in range(c["kernel_cols"]):
                        for chunk in range(c["chunks"]):
                            count = c["last_chunk_bytes" if chunk == c["chunks"] - 1 else "chunk_bytes"]
                            for row in range(pixels):
                                self.slot(c, tile_p * c["rows_per_tile"] + row, row, kh, kw, chunk, count, word)
                            word += 2 * count if c["split"] else count
                            self.count[Counter.WEIGHT_READS] += 2 * count if c["split"] else count
                            self.count[Counter.MACS] += count * pixels * channels
                if c["split"]:
                    self.sums[0] += self.sums[1]
                for row in range(1 if c["split"] else pixels):
                    pixel = tile_p * c["rows_per_tile"] + row
                    y, x = divmod(pixel, c["region_width"])
                    out = c["out_base"] + y * c["out_row_stride"] + x * c["out_pixel_stride"]
                    for g in range(0, channels, CONFIG.requantizers):
                        sums = self.sums[row, g : min(g + CONFIG.requantizers, channels)]
                        if not c["start"]:
                            sums = sums + self.partial[n_pass, : len(sums)]
                            self.count[Counter.PARTIAL_READS] += 1
                        if pixel < c["drain_from"]:
                            self.partial[n_pass, : len(sums)] = arithmetic.wrap32(sums)
                            self.count[Counter.PARTIAL_WRITES] += 1
                        else:
                            base = c["early_base" if pixel < c["early_pixels"] else "channel_base"]
                            record_word = base + tile_c * groups + g // CONFIG.requantizers
                            self.write(out + tile_c * CONFIG.cols + g, self.results(c, record_word, sums))
                            self.count[Counter.CHANNEL_READS] += 1
                        n_pass += 1

    def results(self, c, record_word, sums):
        values = []
        for lane, total in enumerate(sums):
            at = record_word * CONFIG.channel_word_bytes + 16 * lane
            bias, multiplier = self.channel[at : at + 8].view(np.int32)
            shift = int(self.channel[at + 8 : at + 9].view(np.int8)[0])
            values.append(finish(c, int(total) + int(bias), multiplier, shift))
        return values

    def slot(self, c, pixel, row, kh, kw, chunk, count, word):
        y, x = divmod(pixel, c["region_width"])
        iy = c["iy_start"] + y * c["stride_rows"] + kh * c["dilation_rows"]
        at = c["x_start"] + x * c["x_step"] + kw * c["kernel_x_step"] + chunk * c["chunk_bytes"]
        stride = c["kernel_row_step"] // c["dilation_rows"]
        base = (c["origin"] - c["iy_start"] * stride - c["x_start"]) % 2**32  # in_base
        good = [i for i in range(count) if 0 <= iy < c["in_rows"] and 0 <= at + i < c["in_row_bytes"]]
        start = base + iy * stride + at - (c["wrap_bytes"] if iy >= c["wrap_iy"] else 0)
        values = dict(zip(good, self.read([(start + i) % 2**32 for i in good]), strict=True))
        for i in range(count):
            step = 2 * i + row if c["split"] else i
            weights = self.weight[(word + step) * CONFIG.weight_word_bytes :][: CONFIG.cols].view(np.int8)
            self.sums[row] += values.get(i, c["in_zero_point"]) * (weights.astype(np.int64) - c["weight_zero_point"])

    def add(self, c):
        q = CONFIG.requantizers
        for row in range(c["rows"]):
            for begin in range(0, c["row_bytes"], 2 * q):
                count = min(2 * q, c["row_bytes"] - begin)
                total = [c["bias"]] * count
                for n in "ab":
                    base = c[f"{n}_base"] + row * c[f"{n}_row_stride"] + begin
                    for i, value in enumerate(self.read(range(base, base + count))):
                        centred = (value - c[f"zero_{n}"]) << 20
                        total[i] += scale(centred, c[f"mult_{n}"], c[f"shift_{n}"], RoundingCode.DOUBLE)
                values = [finish(c, t, c["mult_out"], c["shift_out"]) for t in total]
                for g in range(0, count, q):
                    self.write(c["out_base"] + row * c["out_row_stride"] + begin + g, values[g : g + q])

    def pool(self, c):
        q = CONFIG.requantizers
        slab = CONFIG.feed_bytes - CONFIG.feed_bytes % q
        for y in range(c["region_rows"]):
            for x in range(c["region_cols"]):
                for g in range(0, c["channels"], slab):
                    count = min(slab, c["channels"] - g)
                    total = np.full(count, c["bias"])
                    for kh in range(c["kernel_rows"]):
                        for kw in range(c["kernel_cols"]):
                            line = y * c["row_step"] + kh * c["in_row_stride"]
                            at = c["in_base"] + line + x * c["x_step"] + kw * c["kernel_x_step"] + g
                            at = (at - (c["wrap_bytes"] if line >= c["wrap_from"] else 0)) % 2**32
                            total += self.read(range(at, at + count))
                    out = c["out_base"] + y * c["out_row_stride"] + x * c["out_pixel_stride"] + g
                    values = [finish(c, int(t), c["mult_out"], c["shift_out"]) for t in total]
                    for i in range(0, count, q):
                        self.write(out + i, values[i : i + q])


# Programs of the commands under test between a LOAD of everything and a STORE of all activations.


def transfer(opcode, external, memory, local, size):
    return Command(opcode, {"external": external, "memory": memory, "local": local, "row_bytes": size, "rows": 1})


def execute(commands, image):
    around = [
        transfer(Opcode.LOAD, 0, 0, 0, 2048),
        transfer(Opcode.LOAD, 2048, 1, 0, 4096),
        transfer(Opcode.LOAD, 6144, 2, 0, 2048),
    ]
    program = Program(
        network="test",
        config=CONFIG.to_dict(),
        config_hash=CONFIG.hardware_hash(),
        commands=(*around, *commands, transfer(Opcode.STORE, IMAGE, 0, 0, 2048)),
        image=image.tobytes(),
        memory_bytes=IMAGE + 2048,
        places={"all": Place(IMAGE, 1, 2048, 2048)},
        inputs=(),
        outputs=("all",),
        layers=(),
    )
    return execute_program(CONFIG, program, {})


def check(commands, image):
    """Results and ledger of every command equal Plain's."""
    result = execute(commands, image)
    plain = Plain(image[:2048].view(np.int8).copy(), image[2048:6144], image[6144:])
    for i, command in enumerate(commands):
        plain.run(command)
        for counter, expected in plain.count.items():
            if Counter.MACS <= counter <= Counter.REQUANTIZATIONS or counter in (
                Counter.PARTIAL_READS,
                Counter.PARTIAL_WRITES,
            ):
                assert result.counters[3 + i, counter] == expected, (i, counter.name)
    assert np.array_equal(result.outputs["all"][0], plain.activation)
    return result


def random_image(rng):
    image = rng.integers(0, 256, IMAGE, np.uint8)
    records = image[6144:].view(np.int32).reshape(-1, 4)
    records[:, 1] = rng.integers(2**30, 2**31, len(records))
    records[:, 2] = rng.integers(-12, 3, len(records))
    return image


OUT = {"out_base": 1024, "clamp_min": -128, "clamp_max": 127}


def random_conv(rng):
    """Input of 3 to 9 rows at 0..1023, output from 1024."""
    channels, in_cols, in_rows = (int(rng.integers(*r)) for r in ((1, 8), (3, 9), (3, 10)))
    row_bytes = channels * in_cols
    stride_bytes = -(-row_bytes // 8) * 8
    kernel_rows, kernel_cols, dilation, stride, pad = (
        int(rng.integers(*r)) for r in ((1, 4), (1, 4), (1, 3), (1, 3), (0, 3))
    )
    out_cols = max(1, (in_cols + 2 * pad - kernel_cols) // stride + 1)
    out_rows = max(1, (in_rows + 2 * pad - (kernel_rows - 1) * dilation - 1) // stride + 1)
    # One run a kernel row (kernel columns are neighbours), or a run a kernel element.
    fused = bool(rng.integers(0, 2))
    run = channels * kernel_cols if fused else channels
    chunk = int(rng.integers(1, min(run, CONFIG.feed_bytes) + 1))
    chunks = -(-run // chunk)
    outputs = int(rng.integers(1, 14))
    tiles_c = -(-outputs // CONFIG.cols)
    per_tile = int(rng.integers(1, CONFIG.rows + 1))
    pixels = out_cols * out_rows
    tiles_p = -(-pixels // per_tile)
    pitch = outputs + int(rng.integers(0, 3))
    out_stride = pitch * out_cols + 3
    base = int(rng.integers(0, 9))
    if 1024 + out_stride * out_rows > 2048 or base + stride_bytes * in_rows > 1024:
        return random_conv(rng)
    wrap = int(rng.integers(-1, in_rows + 1))
    return Command(
        Opcode.CONV,
        {
            **OUT,
            "wrap_iy": wrap,
            "wrap_bytes": int(rng.integers(0, base + max(wrap, 0) * stride_bytes + 1)),
            "origin": (base - pad * stride_bytes - pad * channels) % 2**32,
            "in_row_bytes": row_bytes,
            "iy_start": -pad,
            "x_start": -pad * channels,
            "in_rows": in_rows,
            "stride_rows": stride,
            "x_step": stride * channels,
            "row_step": stride * stride_bytes,
            "kernel_rows": kernel_rows,
            "dilation_rows": dilation,
            "kernel_row_step": dilation * stride_bytes,
            "kernel_cols": 1 if fused else kernel_cols,
            "chunks": chunks,
            "kernel_x_step": channels,
            "chunk_bytes": chunk,
            "last_chunk_bytes": run - (chunks - 1) * chunk,
            "weight_base": int(rng.integers(0, 9)),
            "channel_base": int(rng.integers(0, 9)),
            "early_pixels": int(rng.integers(0, pixels + 2)),
            "early_base": int(rng.integers(0, 9)),
            "region_width": out_cols,
            "pixel_tiles": tiles_p,
            "rows_per_tile": per_tile,
            "last_pixels": pixels - (tiles_p - 1) * per_tile,
            "channel_tiles": tiles_c,
            "last_channels": outputs - (tiles_c - 1) * CONFIG.cols,
            "in_zero_point": int(rng.integers(-128, 128)),
            "weight_zero_point": int(rng.integers(-128, 128)) * int(rng.integers(0, 2)),
            "start": 1,
            "out_row_stride": out_stride,
            "out_pixel_stride": pitch,
            "out_zero_point": int(rng.integers(-20, 20)),
            "rounding": int(rng.integers(0, 4)),
        },
    )


@pytest.mark.parametrize("seed", range(25))
def test_conv(seed):
    rng = np.random.default_rng(seed)
    check([random_conv(rng)], random_image(rng))


@pytest.mark.parametrize("seed", range(25))
def test_split_conv(seed):
    rng = np.random.default_rng(seed)
    check([*(random_split(CONFIG, rng) for _ in range(4)), *random_split_chain(CONFIG, rng)], random_image(rng))


@pytest.mark.parametrize("seed", range(12))
def test_conv_continues_sums(seed):
    """Chains of parts, and sums that wrap as 32 bits."""
    rng = np.random.default_rng(seed)
    check([c for _ in range(3) for c in random_chain(CONFIG, rng, small=True)], random_image(rng))


def test_kept_sums_wrap():
    """Steps of -128 x 255 until the sums have left 32 bits."""
    rng = np.random.default_rng(0)
    chunk, chunks = CONFIG.feed_bytes, 60
    part = {
        **random_conv(rng).fields,
        "in_rows": 1,
        "iy_start": 1,
        "kernel_rows": 1,
        "kernel_cols": 1,
        "chunks": chunks,
        "chunk_bytes": chunk,
        "last_chunk_bytes": chunk,
        "pixel_tiles": 1,
        "rows_per_tile": 2,
        "last_pixels": 2,
        "channel_tiles": 1,
        "last_channels": 5,
        "weight_base": 0,
        "in_zero_point": -128,
        "weight_zero_point": -128,
        "partial_base": 11,
        "drain_from": 2,
        "start": 0,
    }
    image = random_image(rng)
    image[2048:6144] = 127
    count = 2**31 // (128 * 255 * chunk * chunks) + 2
    fields = [{**part, "start": 1}, *[part] * count, {**part, "drain_from": 0}]
    check([Command(Opcode.CONV, f) for f in fields], image)


@pytest.mark.parametrize("seed", range(10))
def test_add(seed):
    rng = np.random.default_rng(seed)
    row_bytes, rows = int(rng.integers(1, 30)), int(rng.integers(1, 9))
    check(
        [
            Command(
                Opcode.ADD,
                {
                    **OUT,
                    "a_base": int(rng.integers(0, 20)),
                    "a_row_stride": 40,
                    "b_base": int(rng.integers(512, 530)),
                    "b_row_stride": 37,
                    "row_bytes": row_bytes,
                    "rows": rows,
                    "mult_a": int(rng.integers(2**30, 2**31)),
                    "mult_b": int(rng.integers(2**30, 2**31)),
                    "shift_a": int(rng.integers(-4, 1)),
                    "shift_b": int(rng.integers(-4, 1)),
                    "zero_a": int(rng.integers(-128, 128)),
                    "zero_b": int(rng.integers(-128, 128)),
                    "mult_out": int(rng.integers(2**30, 2**31)),
                    "shift_out": int(rng.integers(-22, -17)),
                    "bias": int(rng.integers(-(2**20), 2**20)) << int(rng.integers(0, 12)),
                    "out_row_stride": 33,
                    "out_zero_point": -5,
                    "rounding": int(rng.integers(0, 4)),
                },
            )
        ],
        random_image(rng),
    )


@pytest.mark.parametrize("seed", range(10))
def test_pool(seed):
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(1, 8))
    wrap_from = int(rng.integers(0, 500))
    check(
        [
            Command(
                Opcode.POOL,
                {
                    **OUT,
                    "wrap_from": wrap_from,
                    "wrap_bytes": int(rng.integers(0, wrap_from + 1)),
                    "in_base": int(rng.integers(0, 20)),
                    "in_row_stride": 64,
                    "row_step": 128,
                    "x_step": channels * 2,
                    "kernel_rows": 3,
                    "kernel_cols": 2,
                    "kernel_x_step": channels,
                    "region_rows": 3,
                    "region_cols": 4,
                    "channels": channels,
                    "mult_out": int(rng.integers(2**30, 2**31)),
                    "shift_out": int(rng.integers(-6, 3)),
                    "bias": int(rng.integers(-500, 500)),
                    "out_row_stride": 50,
                    "out_pixel_stride": channels + 1,
                    "out_zero_point": 3,
                    "rounding": int(rng.integers(0, 4)),
                },
            )
        ],
        random_image(rng),
    )


def test_commands_in_order_share_the_memories():
    rng = np.random.default_rng(5)
    conv = random_conv(rng)
    pool = Command(
        Opcode.POOL,
        {
            **OUT,
            "in_base": 1024,
            "kernel_rows": 1,
            "kernel_cols": 1,
            "region_rows": 1,
            "region_cols": 1,
            "channels": 33,
            "mult_out": 2**30,
            "out_base": 100,
        },
    )
    check([conv, pool, conv], random_image(rng))


@numba.njit
def requantized(totals, multipliers, shifts, rounding):
    out = np.empty(totals.size, np.int64)
    for i in range(totals.size):
        out[i] = requantize(totals[i], multipliers[i], shifts[i], rounding)
    return out


def test_float_is_binary32_arithmetic():
    """Every tie, and 3 million random sums."""
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    for totals, multipliers, shifts in (all_ties(), random_cases(np.random.default_rng(seed), 3_000_000)):
        how = Requantize(multipliers, shifts, Rounding.FLOAT)
        expected = np.clip(arithmetic.requantize(totals, how), 1 - 2**31, 2**31 - 1)
        found = requantized(totals, multipliers, shifts, int(RoundingCode.FLOAT))
        assert np.array_equal(found, expected), np.flatnonzero(found != expected)[:5]


@pytest.mark.parametrize("rounding", [RoundingCode.DOUBLE, RoundingCode.SINGLE, RoundingCode.AWAY])
def test_requantizing_is_that_of_the_network(rounding):
    rng = np.random.default_rng(int(rounding))
    edges = np.array([0, 1, -1, 2, -2, 2**31 - 1, -(2**31), 2**30, -(2**30), 12345, -12345])
    multipliers = [0, 2**30, 2**30 + 1, 2**31 - 1, 1518500250]
    for shift in range(-31, 31):
        totals = np.concatenate([edges, rng.integers(-(2**31), 2**31, 20)])
        for multiplier in multipliers:
            how = Requantize(np.array(multiplier), np.array(shift), Rounding(rounding.name.lower()))
            expected = arithmetic.wrap32(arithmetic.requantize(totals, how))
            found = [requantize(int(t), multiplier, shift, int(rounding)) for t in totals]
            assert np.array_equal(found, expected), (shift, multiplier)


def test_transfers_move_rows_and_count_words():
    image = random_image(np.random.default_rng(1))
    fields = {
        "external": 64,
        "external_stride": 40,
        "memory": 0,
        "local": 8,
        "local_stride": 24,
        "row_bytes": 16,
        "rows": 3,
    }
    result = execute([Command(Opcode.LOAD, fields), Command(Opcode.STORE, {**fields, "external": 0})], image)
    expected = image[:2048].copy()
    for r in range(3):
        expected[8 + 24 * r :][:16] = image[64 + 40 * r :][:16]
    assert np.array_equal(result.outputs["all"][0].view(np.uint8), expected)
    assert np.array_equal(result.memory[40:56], expected[32:48])
    assert result.counters[3, Counter.LOAD_ACTIVATION_WORDS] == result.counters[4, Counter.STORE_WORDS] == 6
    assert result.counters[1, Counter.LOAD_WEIGHT_WORDS] == 512
    assert result.counters[:, Counter.COMMANDS].tolist() == [1] * 6


@pytest.mark.parametrize(
    "opcode, change, message",
    [
        (Opcode.CONV, {"weight_base": 2**31}, "weight memory"),
        (Opcode.CONV, {"channel_base": 2**31}, "channel memory"),
        (Opcode.CONV, {"out_base": 2**31}, "activation memory"),
        (Opcode.CONV, {"origin": 2**31}, "activation memory"),
        (Opcode.CONV, {"rows_per_tile": 4}, "larger than the array"),
        (Opcode.CONV, {"kernel_rows": 0}, "without work"),
        (Opcode.ADD, {"b_base": 2048}, "activation memory"),
        (Opcode.ADD, {"shift_a": 40}, "shift"),
        (Opcode.ADD, {"rounding": 3, "mult_out": 2**29}, "multiplier below 2..30, for FLOAT"),
        (Opcode.POOL, {"in_base": 2047, "channels": 2}, "activation memory"),
        (Opcode.POOL, {"shift_out": -40}, "shift"),
        (Opcode.LOAD, {"external": 2**31}, "memory"),
        (Opcode.LOAD, {"memory": 3}, "memory"),
        (Opcode.POOL, {"table": 1}, "no such table"),
        (Opcode.STORE, {"local": 2048}, "memory"),
    ],
)
def test_reaching_outside_is_refused_by_command(opcode, change, message):
    rng = np.random.default_rng(3)
    fields = {
        Opcode.CONV: random_conv(rng).fields,
        Opcode.ADD: {**OUT, "row_bytes": 1, "rows": 1},
        Opcode.POOL: {
            **OUT,
            "channels": 1,
            "region_rows": 1,
            "region_cols": 1,
            "kernel_rows": 1,
            "kernel_cols": 1,
        },
    }.get(opcode, {"row_bytes": 8, "rows": 1})
    with pytest.raises(InputError, match=rf"command 3 \({opcode.name}\).*{message}"):
        execute([Command(opcode, {**fields, **change})], random_image(rng))


def test_tensors_are_placed_and_read_by_rows():
    program = Program(
        network="test",
        config={},
        config_hash=0,
        commands=(
            Command(
                Opcode.LOAD,
                {"external": 4096, "row_bytes": 8, "rows": 2, "external_stride": 8, "local_stride": 8},
            ),
            Command(
                Opcode.STORE,
                {"external": 8192, "row_bytes": 8, "rows": 2, "external_stride": 16, "local_stride": 8},
            ),
        ),
        image=b"",
        memory_bytes=12288,
        places={"x": Place(4096, 2, 6, 8), "y": Place(8192, 2, 6, 16)},
        inputs=("x",),
        outputs=("y",),
        layers=(),
    )
    x = np.arange(12, dtype=np.int8).reshape(1, 2, 2, 3)
    result = execute_program(CONFIG, program, {"x": x})
    assert np.array_equal(result.outputs["y"], x.reshape(2, 6))
    with pytest.raises(InputError, match="'x' is missing"):
        execute_program(CONFIG, program, {})
    with pytest.raises(InputError, match="int16 with 12 elements; expected int8 with 12"):
        execute_program(CONFIG, program, {"x": x.astype(np.int16)})
