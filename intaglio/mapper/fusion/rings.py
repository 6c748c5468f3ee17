"""Rows of a chain's tensors that stay on chip for the next piece: a ring buffer, so that each row is computed once.

Pieces then run down the image, column by column. A ring holds as many rows as one piece reads, and what a piece computes
ends, where the ring begins again, in two regions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from intaglio.mapper.fusion.chain import Chain, Needs
from intaglio.program.layout import Region


def passages(chain: Chain, pieces: Iterable[Region], rings: Sequence[int]) -> Iterator[tuple[Needs, tuple[int, ...]]]:
    """For each piece in order: what it needs, and for each task's output the row at which its ring begins anew.

    rings: for each task the rows of its ring, 0 for none; empty where there are no rings. A ring begins anew where the rows of the
    first piece of an image's column end, since from there on pieces compute equally many.
    """
    ringed = [i for i, rows in enumerate(rings) if rows]
    above: Region | None = None
    before: Needs | None = None
    turns: tuple[int, ...] = ()
    for piece in pieces:
        image = piece.row0 // chain.cut.image_rows
        if (
            above is None
            or (above.x0, above.row1) != (piece.x0, piece.row0)
            or above.row0 // chain.cut.image_rows != image
        ):
            before = None
        needs = chain.needs(piece, ringed, before)
        if before is None:
            turns = tuple(region.row1 for region in needs.made)
        yield needs, turns
        above, before = piece, needs


def segments(region: Region, rows: int, turn: int) -> list[Region]:
    """A region's rows in runs that do not pass the end of a ring of `rows` rows, 0 for none."""
    if not rows or region.empty:
        return [region]
    first = region.row0 + (turn - region.row0) % rows
    starts = (
        [region.row0, *range(first, region.row1, rows)] if first > region.row0 else [*range(first, region.row1, rows)]
    )
    return [region._replace(row0=a, row1=b) for a, b in zip(starts, [*starts[1:], region.row1], strict=True)]
