"""LOAD and STORE: rows of bytes between external memory and a memory on chip.

LOAD, STORE: for row in range(rows): copy row_bytes from external + row * external_stride to
    local + row * local_stride (STORE: the other way). `memory` chooses the local memory; STORE reads
    activations only. Everything is a multiple of bus_bytes.
"""

from __future__ import annotations

from intaglio.machine.commands.shape import HEADER, Format
from intaglio.machine.fields import Field
from intaglio.machine.formats import FORMAT_BITS

_FIELDS = HEADER + (
    Field("external", 1),
    Field("external_stride", 2),
    Field("local", 3, 0, 30),
    Field("memory", 3, 30, 2),
    Field("local_stride", 4),
    Field("row_bytes", 5),
    Field("rows", 6),
    Field(
        "format", 7, 0, FORMAT_BITS, reserved=True
    ),  # of elements that are unpacked on the way in, packed on the way out
)
LOAD = Format(
    words=8,
    fields=_FIELDS,
    counts=("rows", "row_bytes"),
    aligned=("external", "external_stride", "local", "local_stride"),
    unseen=(),
    timeless=(),
)
STORE = Format(
    words=8,
    fields=_FIELDS,
    counts=("rows", "row_bytes"),
    aligned=("external", "external_stride", "local", "local_stride"),
    unseen=(),
    timeless=(),
)
