"""Kinds of products in the rows of the array, from the configuration's field `multipliers`."""

from __future__ import annotations

import enum


class RowProduct(enum.Enum):
    """A row's products: DSP, multipliers of its own; LUT, look-up tables; PACKED, multipliers that it shares with the
    row beside it, two products each."""

    DSP = enum.auto()
    LUT = enum.auto()
    PACKED = enum.auto()


def row_products(multipliers: str | int, rows: int, lanes: int) -> tuple[RowProduct, ...]:
    """The kind of each row; PACKED ones in pairs, upper and lower row.

    multipliers: dsp, lut, packed, or how many rows, the first, are DSP. Packed, rows that can have weights of their own in a
    step (two lanes: the first two) share nothing, nor does a last row without another.
    """
    if multipliers == "packed":
        alone = 2 if lanes == 2 else 0
        pairs = max(0, rows - alone) // 2
        kinds = [RowProduct.DSP] * min(alone, rows) + [RowProduct.PACKED] * 2 * pairs
        return (*kinds, *[RowProduct.DSP] * (rows - len(kinds)))
    dsp = multipliers if isinstance(multipliers, int) else {"dsp": rows, "lut": 0}[multipliers]
    return (*[RowProduct.DSP] * dsp, *[RowProduct.LUT] * (rows - dsp))
