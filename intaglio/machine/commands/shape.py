"""What the commands' formats have in common."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.machine.fields import Field

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
)
SCALE_OUT = (
    Field("mult_out", 20),
    Field("shift_out", 21, 0, 8, True),
    Field("bias", 22, 0, 32, True),
)


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
