"""The command format: what the mapper writes, the hardware decodes, the simulators execute.

A program is a sequence of commands of 32-bit little-endian words: LOAD and STORE have 8, CONV, ADD, POOL
and DEPTHWISE have 32. Each command runs on one engine, in program order there; engines meet only through tokens
(`wait`, `signal`). All addresses inside the accelerator are byte addresses unless said otherwise; external
addresses are offsets from the base register. Fields that are not named here must be zero.

The meaning of each command, as a program:

LOAD, STORE: for row in range(rows): copy row_bytes from external + row * external_stride to
    local + row * local_stride (STORE: the other way). `memory` chooses the local memory; STORE reads
    activations only. Everything is a multiple of bus_bytes.

CONV: convolution of one region of pixels with one range of output channels, the whole reduction or a part of it:
    for tile_c in range(channel_tiles):              # cols channels; the last has last_channels
      for tile_p in range(pixel_tiles):              # rows_per_tile pixels; the last has last_pixels
        for kh, kw, chunk:                           # kernel_rows x kernel_cols x chunks "slots"
          one slot: each pixel of the tile takes chunk_bytes (last_chunk_bytes in the last chunk) bytes of
          input, starting at
              iy = iy_start + (pixel // region_width) * stride_rows + kh * dilation_rows
              x  = x_start + (pixel % region_width) * x_step + kw * kernel_x_step + chunk * chunk_bytes
          byte i is activation[in_base + iy * in_row_stride + x + i] where 0 <= iy < in_rows and
          0 <= x + i < in_row_bytes, its address less wrap_bytes where iy >= wrap_iy (rows of a ring that begin again), and
          in_zero_point elsewhere; each is multiplied with the next word of
          cols weights (word weight_base + step, step counted through the tile; the words of channel tile
          tile_c follow those of tile_c - 1), each weight - weight_zero_point, which a configuration without
          weight_zero_points takes for 0.
      With `split` a tile is one output pixel, whose reduction the array's rows 0 and 1 take by halves: there are the two
      "pixels" of a region_width of 2, x_step bytes apart; each takes weights of its own, at step s of a channel tile row 0
      word 2 * s and row 1 word 2 * s + 1 (weight_base is even, words are 2 * steps a channel tile). The sum of both rows is
      that of pixel 0, and there is no pixel 1.
      A pixel's passes, one for each group of `requantizers` of the tile's channels, are numbered n through the command in the
      order channel tile, pixel (through all pixel tiles), group.
      without `start`, the sums of word partial_base + n of the partial-sum memory are added to those of pass n. Then, for
          pixels from number drain_from on, out[y][x][c] = requantize(sum + bias[c]) is written to
          out_base + y * out_row_stride + x * out_pixel_stride + tile_c * cols + c, pixel = y * region_width + x, with the
          channels' records from word channel_base on, or for pixels below number early_pixels from word early_base on;
          for those before, the sums, wrapped to 32 bits, are kept in word partial_base + n.
    iy * in_row_stride etc. are wrapping 32-bit sums that the hardware forms from the given steps
    (row_step = stride_rows * in_row_stride, kernel_row_step = dilation_rows * in_row_stride,
    origin = in_base + iy_start * in_row_stride + x_start).
    With `start` and drain_from = 0 no partial sums are touched, with drain_from beyond the last pixel no channel records.
    Timing: a slot lasts slot_cycles (last_slot_cycles in the last chunk of a run), a tile its slots and
    idle_cycles.

ADD: for each row: out[i] = clamp((scale((a[i] - zero_a) << 20, mult_a, shift_a) + likewise b + bias) scaled by
    mult_out, shift_out, rounding, + out_zero_point); the operands' rounding is DOUBLE.

POOL: for each pixel of region_rows x region_cols and each of `channels` bytes c:
    sum over kernel_rows x kernel_cols of in[in_base + y * row_step + x * x_step + kh * in_row_stride +
    kw * kernel_x_step + c], or with `maximum` the greatest of them, plus bias, scaled (mult_out, shift_out, rounding),
    + out_zero_point, clamped, to out_base + y * out_row_stride + x * out_pixel_stride + c. A row of a window, y * row_step +
    kh * in_row_stride bytes (a wrapping 32-bit sum) from the first, is read wrap_bytes lower where those are wrap_from or more.
    Average and max pooling, Mean, Rescale and copies are POOL commands; windows lie inside the input.
    Channels are taken in slabs of config.slab_channels, the last of what is left, each for the whole window: one read of a
    slab's bytes a cycle. Its results leave in passes of `requantizers` channels while the next slab or pixel is read
    (timing.pool_pixel_cycles).
    A window that does not fit on chip is taken in parts: with `hold` nothing is written and the sums (or maxima) stay,
    with `resume` they continue those of the previous POOL (one pixel and at most slab_channels channels then; of the
    same `maximum`).

DEPTHWISE: convolution of each channel by itself, for patches of neighbouring outputs; the array's rows are the outputs
    of a patch (row i * patch_cols + j), its columns tile_channels channels:
    for tile_c in range(channel_tiles):              # tile_channels channels; the last has last_channels
      for down in range(patches_down):               # patch_rows x patch_cols outputs; the last has last_patch_rows
        for across in range(patches_across):         # of the last, last_patch_cols columns are written
          for y in range(raster_rows), x in range(raster_cols):    # last_raster_rows in the last `down`; one cycle each
              iy = iy_start + down * patch_iy_step + y * dilation_rows
              at = x_start + across * patch_x_step + x * x_step
              pixel = activation[origin + tile_c * tile_channels + down * patch_row_step + y * row_step + at - x_start + c]
              for each of the tile's channels c, its address less wrap_bytes where iy >= wrap_iy, where 0 <= iy < in_rows and 0
              <= at < in_row_bytes, and in_zero_point elsewhere; where y < kernel_rows and x < kernel_cols the next word of
              weights (weight_base + tile_c * kernel_rows * kernel_cols + y * kernel_cols + x) enters row 0, less
              weight_zero_point as CONV's, and reaches the next row of the array tap_delay cycles later, or patch_delay between
              the rows i * patch_cols - 1 and i * patch_cols. A row adds up the products of the weight and the pixel that it
              holds in one cycle.
          out[i][j][c] = requantize(sum of row i * patch_cols + j + bias[c]) is written to
              out_base + tile_c * tile_channels + down * out_patch_row_step + across * out_patch_step +
              i * out_row_stride + j * out_pixel_stride + c
    Channel records: config.channel_groups words a channel tile from channel_base on. tile_pixels (last_tile_pixels) are
    patch_rows (last_patch_rows) * patch_cols. With strides s and t between a patch's outputs, in raster rows and columns:
        raster_cols = (patch_cols - 1) * t + kernel_cols, raster_rows = (patch_rows - 1) * s + kernel_rows,
        tap_delay = t, patch_delay = s * raster_cols - (patch_cols - 1) * t
    so that row (i, j) meets tap (y - i * s, x - j * t) with pixel (y, x).
    Timing: a tile lasts its raster's cycles and idle_cycles (timing.depthwise_timing, least_idle_cycles).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from operator import index


class Engine(enum.IntEnum):
    """The engines that execute commands. Also the order of the token counters."""

    LOAD = 0
    COMPUTE = 1
    STORE = 2


class Opcode(enum.IntEnum):
    LOAD = 1
    STORE = 2
    CONV = 3
    ADD = 4
    POOL = 5
    DEPTHWISE = 6  # built in where config.depthwise_delay is not 0


class LocalMemory(enum.IntEnum):
    """Targets of LOAD."""

    ACTIVATION = 0
    WEIGHT = 1
    CHANNEL = 2


class RoundingCode(enum.IntEnum):
    """Requantizer modes as encoded; network.graph.Rounding has their meaning."""

    DOUBLE = 0
    SINGLE = 1
    AWAY = 2
    FLOAT = 3  # multipliers: 0 or at least 2**30


ADD_LEFT_SHIFT = 20
"""Headroom of ADD's operands, as in TFLite's int8 Add (reference kernels, kLeftShift)."""

ENGINE_OF = {
    Opcode.LOAD: Engine.LOAD,
    Opcode.STORE: Engine.STORE,
    Opcode.CONV: Engine.COMPUTE,
    Opcode.ADD: Engine.COMPUTE,
    Opcode.POOL: Engine.COMPUTE,
    Opcode.DEPTHWISE: Engine.COMPUTE,
}

WORDS_OF = {
    Opcode.LOAD: 8,
    Opcode.STORE: 8,
    Opcode.CONV: 32,
    Opcode.ADD: 32,
    Opcode.POOL: 32,
    Opcode.DEPTHWISE: 32,
}
"""Length of each command in 32-bit words."""

COMMAND_BITS = 32 * max(WORDS_OF.values())
"""Of the longest command."""


def token_bit(me: Engine, other: Engine) -> int:
    """The bit of `wait` and `signal` that means `other` in a command of engine `me`: the other two engines
    in Engine order."""
    return [e for e in Engine if e != me].index(other)


@dataclass(frozen=True)
class Field:
    """Bits [lsb, lsb + width) of one word."""

    name: str
    word: int
    lsb: int = 0
    width: int = 32
    signed: bool = False

    @cached_property
    def mask(self) -> int:
        """Ones in as many bits as it has."""
        return (1 << self.width) - 1

    @cached_property
    def low(self) -> int:
        """The least value that fits."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @cached_property
    def high(self) -> int:
        """The greatest value that fits."""
        return self.mask + self.low


OPCODE_BITS = 8
"""The lowest of a command's first word."""
HEADER = (
    Field("opcode", 0, 0, OPCODE_BITS),
    Field("wait", 0, 8, 2),
    Field("signal", 0, 10, 2),
    Field("tag", 0, 16, 16),  # the layer's number; the trace port shows it
)

_TRANSFER = (
    Field("external", 1),
    Field("external_stride", 2),
    Field("local", 3, 0, 30),
    Field("memory", 3, 30, 2),
    Field("local_stride", 4),
    Field("row_bytes", 5),
    Field("rows", 6),
)

_OUTPUT = (  # shared by the compute commands
    Field("out_base", 24),
    Field("out_row_stride", 25),
    Field("out_pixel_stride", 26),
    Field("out_zero_point", 27, 0, 8, True),
    Field("clamp_min", 27, 8, 8, True),
    Field("clamp_max", 27, 16, 8, True),
    Field("rounding", 27, 24, 2),
)

_SCALE_OUT = (
    Field("mult_out", 20),
    Field("shift_out", 21, 0, 8, True),
    Field("bias", 22, 0, 32, True),
)

FIELDS: dict[Opcode, tuple[Field, ...]] = {
    Opcode.LOAD: HEADER + _TRANSFER,
    Opcode.STORE: HEADER + _TRANSFER,
    Opcode.CONV: HEADER
    + (
        Field("origin", 1),
        Field("in_row_bytes", 2),
        Field("iy_start", 3, 0, 32, True),
        Field("x_start", 4, 0, 32, True),
        Field("in_rows", 5, 0, 16),
        Field("stride_rows", 5, 16, 16),
        Field("x_step", 6),
        Field("row_step", 7),
        Field("kernel_rows", 8, 0, 16),
        Field("dilation_rows", 8, 16, 16),
        Field("kernel_row_step", 9),
        Field("kernel_cols", 10, 0, 16),
        Field("chunks", 10, 16, 16),
        Field("kernel_x_step", 11),
        Field("chunk_bytes", 12, 0, 16),
        Field("last_chunk_bytes", 12, 16, 16),
        Field("slot_cycles", 13, 0, 16),
        Field("last_slot_cycles", 13, 16, 16),
        Field("idle_cycles", 14),
        Field("weight_base", 15),  # in words of weight_word_bytes
        Field("channel_base", 16),  # in words of channel_word_bytes
        Field("region_width", 17, 0, 16),
        Field("pixel_tiles", 17, 16, 16),
        Field("rows_per_tile", 18, 0, 16),
        Field("last_pixels", 18, 16, 16),
        Field("channel_tiles", 19, 0, 16),
        Field("last_channels", 19, 16, 16),
        Field("in_zero_point", 20, 0, 8, True),
        Field("start", 20, 8, 1),
        Field("split", 20, 10, 1),  # built in where config.lanes is 2
        Field("weight_zero_point", 20, 16, 8, True),
        Field("partial_base", 21),  # in words of partial_word_bytes
        Field("drain_from", 22),
        Field("early_pixels", 23),
        Field("early_base", 28),  # in words of channel_word_bytes
        Field("wrap_iy", 29, 0, 18, True),
        Field("wrap_bytes", 30),
    )
    + _OUTPUT,
    Opcode.ADD: HEADER
    + (
        Field("a_base", 1),
        Field("a_row_stride", 2),
        Field("b_base", 3),
        Field("b_row_stride", 4),
        Field("row_bytes", 5),
        Field("rows", 6),
        Field("mult_a", 7),
        Field("mult_b", 8),
        Field("shift_a", 9, 0, 8, True),
        Field("shift_b", 9, 8, 8, True),
        Field("zero_a", 9, 16, 8, True),
        Field("zero_b", 9, 24, 8, True),
    )
    + _SCALE_OUT
    + _OUTPUT,
    Opcode.POOL: HEADER
    + (
        Field("in_base", 1),
        Field("in_row_stride", 2),
        Field("row_step", 3),
        Field("x_step", 4),
        Field("kernel_rows", 5, 0, 16),
        Field("kernel_cols", 5, 16, 16),
        Field("kernel_x_step", 6),
        Field("region_rows", 7, 0, 16),
        Field("region_cols", 7, 16, 16),
        Field("channels", 8),
        Field("resume", 9, 0, 1),
        Field("hold", 9, 1, 1),
        Field("maximum", 9, 2, 1),
        Field("wrap_from", 29),
        Field("wrap_bytes", 30),
    )
    + _SCALE_OUT
    + _OUTPUT,
    Opcode.DEPTHWISE: HEADER
    + (
        Field("origin", 1),
        Field("in_row_bytes", 2),
        Field("iy_start", 3, 0, 32, True),
        Field("x_start", 4, 0, 32, True),
        Field("in_rows", 5, 0, 16),
        Field("patch_iy_step", 5, 16, 16),
        Field("x_step", 6),
        Field("row_step", 7),
        Field("kernel_rows", 8, 0, 16),
        Field("dilation_rows", 8, 16, 16),
        Field("patch_row_step", 9),
        Field("kernel_cols", 10, 0, 16),
        Field("raster_cols", 10, 16, 16),
        Field("patch_x_step", 11),
        Field("raster_rows", 12, 0, 16),
        Field("last_raster_rows", 12, 16, 16),
        Field("tap_delay", 13, 0, 16),
        Field("patch_delay", 13, 16, 16),
        Field("idle_cycles", 14),
        Field("weight_base", 15),  # in words of weight_word_bytes
        Field("channel_base", 16),  # in words of channel_word_bytes
        Field("patches_down", 17, 0, 16),
        Field("patches_across", 17, 16, 16),
        Field("patch_rows", 18, 0, 8),
        Field("last_patch_rows", 18, 8, 8),
        Field("patch_cols", 18, 16, 8),
        Field("last_patch_cols", 18, 24, 8),
        Field("channel_tiles", 19, 0, 16),
        Field("last_channels", 19, 16, 16),
        Field("in_zero_point", 20, 0, 8, True),
        Field("weight_zero_point", 20, 16, 8, True),
        Field("tile_pixels", 21, 0, 8),
        Field("last_tile_pixels", 21, 8, 8),
        Field("tile_channels", 21, 16, 8),
        Field("out_patch_row_step", 22),
        Field("out_patch_step", 23),
        Field("wrap_iy", 29, 0, 18, True),
        Field("wrap_bytes", 30),
    )
    + _OUTPUT,
}
"""Fields that CONV and DEPTHWISE share by name stand in the same place: the array's, drain's and feed's common parts read
them without looking at the opcode."""

CHANNEL_FIELDS = (  # one output channel's record of CHANNEL_RECORD_BYTES, in the channel memory
    Field("bias", 0, 0, 32, True),
    Field("multiplier", 1),
    Field("shift", 2, 0, 8, True),
)


FIELDS_BY_NAME = {opcode: {f.name: f for f in fields} for opcode, fields in FIELDS.items()}
CHANNEL_FIELDS_BY_NAME = {f.name: f for f in CHANNEL_FIELDS}


def field_of(opcode: Opcode, name: str) -> Field:
    return FIELDS_BY_NAME[opcode][name]


def pack(fields: Mapping[str, Field], values: Mapping[str, int], words: int) -> list[int]:
    """Words from values by field name; a field that is not given is 0.

    Raises ValueError that names a field whose value does not fit or that does not exist.
    """
    out = [0] * words
    for name, value in values.items():
        f = fields.get(name)
        if f is None:
            raise ValueError(f"no field {name}")
        if not f.low <= value <= f.high:
            raise ValueError(f"field {name} = {value} does not fit: {f.low} to {f.high}")
        out[f.word] |= (index(value) & f.mask) << f.lsb
    return out


def unpack(fields: Mapping[str, Field], words: list[int]) -> dict[str, int]:
    """The inverse of pack: every field's value by name."""
    out = {}
    for name, f in fields.items():
        value = (words[f.word] >> f.lsb) & f.mask
        out[name] = value - f.mask - 1 if value > f.high else value
    return out


@cache
def unnamed_bits(opcode: Opcode) -> tuple[int, ...]:
    """For each word of a command, the mask of bits that no field names; they must be zero."""
    masks = [0xFFFFFFFF] * WORDS_OF[opcode]
    for f in FIELDS[opcode]:
        masks[f.word] &= ~(f.mask << f.lsb)
    return tuple(masks)


@dataclass(frozen=True)
class Command:
    """One command: an opcode and its fields by name (header fields included, opcode excluded)."""

    opcode: Opcode
    fields: dict[str, int]

    @property
    def engine(self) -> Engine:
        return ENGINE_OF[self.opcode]

    def words(self) -> list[int]:
        """Encoded; ValueError for a field that does not fit or does not exist."""
        return pack(FIELDS_BY_NAME[self.opcode], {**self.fields, "opcode": int(self.opcode)}, WORDS_OF[self.opcode])

    def __getitem__(self, name: str) -> int:
        return self.fields.get(name, 0)


def conv_pixels(command: Command) -> int:
    """Output pixels of a CONV, of each channel tile."""
    return 1 if command["split"] else conv_rows(command)


def conv_rows(command: Command) -> int:
    """What a CONV's tiles have for the array's rows, in all: output pixels, or with `split` the halves of one."""
    return (command["pixel_tiles"] - 1) * command["rows_per_tile"] + command["last_pixels"]


def decode(words: list[int]) -> list[Command]:
    """Commands of a program. Raises ValueError that names the word where a command is malformed: an unknown
    opcode, a command cut short, or a bit set that no field names."""
    out = []
    at = 0
    while at < len(words):
        code = words[at] & ((1 << OPCODE_BITS) - 1)
        if code not in Opcode._value2member_map_:
            raise ValueError(f"word {at}: unknown opcode {code}")
        opcode = Opcode(code)
        part = words[at : at + WORDS_OF[opcode]]
        if len(part) < WORDS_OF[opcode]:
            raise ValueError(f"word {at}: {opcode.name} is cut short")
        for i, (word, mask) in enumerate(zip(part, unnamed_bits(opcode), strict=True)):
            if word & mask:
                raise ValueError(f"word {at + i}: {opcode.name} sets bits that no field names")
        values = unpack(FIELDS_BY_NAME[opcode], part)
        values.pop("opcode")
        out.append(Command(opcode, values))
        at += WORDS_OF[opcode]
    return out
