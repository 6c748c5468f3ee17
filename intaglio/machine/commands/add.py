"""ADD: the sum of two tensors, element by element.

ADD: for each row: out[i] = clamp((scale((a[i] - zero_a) << 20, mult_a, shift_a) + likewise b + bias) scaled by
    mult_out, shift_out, rounding, + out_zero_point); the operands' rounding is DOUBLE.
"""

from __future__ import annotations

from intaglio.machine.commands.shape import HEADER, OUTPUT, SCALE_OUT, TIMELESS_OUTPUT, Format
from intaglio.machine.fields import Field
from intaglio.machine.formats import FORMAT_BITS

_FIELDS = (
    HEADER
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
        Field("a_format", 10, 0, FORMAT_BITS, reserved=True),
        Field("b_format", 10, FORMAT_BITS, FORMAT_BITS, reserved=True),
        Field("zero_a_high", 10, 8, 8, True, reserved=True),
        Field("zero_b_high", 10, 16, 8, True, reserved=True),
    )
    + SCALE_OUT
    + OUTPUT
)
ADD = Format(
    words=32,
    fields=_FIELDS,
    counts=("rows", "row_bytes"),
    aligned=(),
    unseen=("a_base", "b_base", "out_base"),
    timeless=(
        "a_base",
        "b_base",
        "mult_a",
        "mult_b",
        "shift_a",
        "shift_b",
        "zero_a",
        "zero_b",
        "mult_out",
        "shift_out",
        "bias",
        *TIMELESS_OUTPUT,
    ),
)
