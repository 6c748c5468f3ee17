"""Rows of a chain's tensors that stay on chip for the next piece: a ring buffer, so that each row is computed once.

Pieces then run down the image, column by column. A ring holds as many rows as one piece reads, and what a piece computes
ends, where the ring begins again, in two regions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from intaglio.mapper.chain import Chain, Needs
from intaglio.mapper.layout import Region, align_up


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
        if above is None or (above.x0, above.row1) != (piece.x0, piece.row0) or above.row0 // chain.cut.image_rows != image:
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
    starts = [region.row0, *range(first, region.row1, rows)] if first > region.row0 else [*range(first, region.row1, rows)]
    return [region._replace(row0=a, row1=b) for a, b in zip(starts, [*starts[1:], region.row1], strict=True)]


def ring_rows(chain: Chain, bands: Sequence[Region], aligned: bool) -> tuple[int, ...]:
    """Rows of each task's ring for pieces of these rows (of every column alike): as few as they read at once, or
    aligned to what pieces compute, so that all but the first of an image have one region. 0 where no row is read by two
    pieces; empty where that is so for all."""
    rings = [int(i in chain.ringable) for i in range(len(chain.tasks))]
    most, step, shared = [0] * len(rings), [1] * len(rings), [False] * len(rings)
    for needs, turns in passages(chain, bands, rings):
        for i in chain.ringable:
            most[i] = max(most[i], needs.read[i].rows)
            shared[i] |= needs.made[i].rows < needs.read[i].rows
            if needs.made[i].row1 != turns[i]:
                step[i] = max(step[i], needs.made[i].rows)
    if not any(shared):
        return ()
    return tuple(align_up(m, s if aligned else 1) if yes else 0 for m, s, yes in zip(most, step, shared, strict=True))
