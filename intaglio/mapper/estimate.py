"""Cycles of a layer, or of a chain of layers, by what of it overlaps: what plans are chosen by.

An estimate: a plan's real cycles are the clock's, on its commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """In cycles. compute: of COMPUTE, of which the first layer of a chain takes `first_layer` (0 for a single one: stores
    then hide behind nothing). loads: of each input; stores: of the output; weights: with their records, of which the first
    block takes first_weights."""

    pieces: int
    compute: float
    first_layer: float
    loads: Sequence[float]
    stores: float
    weights: float
    first_weights: float


def pipelined(work: Work, waiting: Sequence[int], store_waits: bool, weights_wait: bool) -> float:
    """waiting, store_waits: as in Buffers. weights_wait: there is no room for the next block beside the one in use."""
    shown = work.compute + sum(work.loads[i] for i in waiting)
    if store_waits:
        shown += max(0.0, work.stores - work.first_layer)
    if weights_wait:
        shown += work.weights
    loaded = sum(work.loads)
    moved = loaded + work.stores + work.weights
    return max(shown, moved) + (loaded + work.stores) / work.pieces + work.first_weights
