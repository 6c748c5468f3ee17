"""Parts that the commands' formats have in common."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.machine.fields import Field
from intaglio.machine.formats import FORMAT_BITS

OPCODE_BITS = 8
"""The lowest of a command's first word."""
HEADER = (
    Field("opcode", 0, 0, OPCODE_BITS),
    Field("wait", 0, 8, 2),
    Field("signal", 0, 10, 2),
    Field("tag", 0, 16, 16),  # the layer's number; the trace port shows it
)
OUTPUT = (  # shared by the compute commands
    Field("out_base", 24),
    Field("out_row_stride", 25),
    Field("out_pixel_stride", 26),
    Field("out_zero_point", 27, 0, 8, True),
    Field("clamp_min", 27, 8, 8, True),
    Field("clamp_max", 27, 16, 8, True),
    Field("rounding", 27, 24, 2),
    Field("out_format", 27, 26, FORMAT_BITS, reserved=True),
    Field("out_zero_point_high", 31, 8, 8, True, reserved=True),
    Field("clamp_min_high", 31, 16, 8, True, reserved=True),
    Field("clamp_max_high", 31, 24, 8, True, reserved=True),
    Field(
        "table", 0, 12, 4
    ),  # 1 + the number of the table that results go through, 0 for none; built in where config.tables is not 0
)
FEED = (  # shared by CONV and DEPTHWISE: the array's, drain's and feed's common parts read them without looking at the opcode
    Field("origin", 1),
    Field("in_row_bytes", 2),
    Field("iy_start", 3, 0, 32, True),
    Field("x_start", 4, 0, 32, True),
    Field("in_rows", 5, 0, 16),
    Field("x_step", 6),
    Field("row_step", 7),
    Field("kernel_rows", 8, 0, 16),
    Field("dilation_rows", 8, 16, 16),
    Field("kernel_cols", 10, 0, 16),
    Field("idle_cycles", 14),
    Field("weight_base", 15),  # in words of weight_word_bytes
    Field("channel_base", 16),  # in words of channel_word_bytes
    Field("channel_tiles", 19, 0, 16),
    Field("last_channels", 19, 16, 16),
    Field("in_zero_point", 20, 0, 8, True),
    Field("weight_zero_point", 20, 16, 8, True),
    Field("in_format", 20, 24, FORMAT_BITS, reserved=True),
    Field("weight_format", 20, 28, FORMAT_BITS, reserved=True),
    Field("wrap_iy", 29, 0, 18, True),
    Field("wrap_bytes", 30),
    Field("in_zero_point_high", 31, 0, 8, True, reserved=True),
)
ELEMENTS = {  # by the field of an operand's format: its values that the format bounds, each with what a wider one adds
    "format": (),
    "in_format": ("in_zero_point",),
    "weight_format": ("weight_zero_point",),
    "a_format": ("zero_a",),
    "b_format": ("zero_b",),
    "out_format": ("out_zero_point", "clamp_min", "clamp_max"),
}
TIMELESS_OUTPUT = ("out_base", "out_zero_point", "clamp_min", "clamp_max", "rounding")
TIMELESS_FEED = ("origin", "iy_start", "x_start", "weight_base", "channel_base", "in_zero_point", "weight_zero_point")

SCALE_OUT = (
    Field("mult_out", 20),
    Field("shift_out", 21, 0, 8, True),
    Field("bias", 22, 0, 32, True),
)


def in_order(*fields: Field) -> tuple[Field, ...]:
    """Fields by their places."""
    return tuple(sorted(fields, key=lambda f: (f.word, f.lsb)))


@dataclass(frozen=True)
class Format:
    """The words of one command, and what checks and clocks need to know of its fields.

    words: its length in 32-bit words. fields: the header's included. counts: fields that count something, at least 1.
    aligned: fields of which rules look at the remainder by bus_bytes alone. unseen: fields that no rule looks at: they tell where,
    not what. timeless: addresses and values, of which no length depends. The header's are unseen and timeless in every command.
    """

    words: int
    fields: tuple[Field, ...]
    counts: tuple[str, ...]
    aligned: tuple[str, ...]
    unseen: tuple[str, ...]
    timeless: tuple[str, ...]
