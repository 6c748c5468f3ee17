"""Elements of tensors as bytes, and back, for every element format (machine/formats.py)."""

from __future__ import annotations

import numpy as np

from intaglio.program.layout import Layout


def dtype_of(layout: Layout) -> np.dtype:
    """The narrowest type of numpy that holds the layout's elements."""
    form = layout.format
    return np.dtype(f"{'i' if form.signed else 'u'}{1 if form.bits <= 8 else 2}")


def packed(values: np.ndarray, layout: Layout) -> np.ndarray:
    """Rows as they lie in memory, uint8 [rows, row_bytes]; bytes between pixels are 0. values: integers [rows, row_elements] within the
    format's range."""
    form, groups = layout.format, layout.row_elements // layout.pixel
    bits = (values.reshape(-1, 1).astype(np.int64) >> np.arange(form.bits)) & 1
    size = form.bytes_of(layout.pixel)
    each = np.packbits(bits.astype(np.uint8).reshape(-1, layout.pixel * form.bits), axis=1, bitorder="little")
    out = np.zeros((layout.rows, (groups - 1) * layout.pitch + max(size, layout.pitch)), np.uint8)
    for column in range(groups):
        out[:, column * layout.pitch :][:, :size] = each.reshape(layout.rows, groups, size)[:, column]
    return out[:, : layout.row_bytes]


def unpacked(rows: np.ndarray, layout: Layout) -> np.ndarray:
    """The inverse of `packed`: elements [rows, row_elements] of `dtype_of` from uint8 [rows, row_bytes]."""
    form, groups = layout.format, layout.row_elements // layout.pixel
    size = form.bytes_of(layout.pixel)
    first = np.arange(groups)[:, None] * layout.pitch + np.arange(size)
    bits = np.unpackbits(np.ascontiguousarray(rows[:, first]), axis=2, bitorder="little")
    bits = bits[:, :, : layout.pixel * form.bits].reshape(layout.rows, layout.row_elements, form.bits)
    weights = 1 << np.arange(form.bits, dtype=np.int64)
    if form.signed:
        weights[-1] = -weights[-1]
    out: np.ndarray = (bits * weights).sum(axis=2).astype(dtype_of(layout))
    return out
