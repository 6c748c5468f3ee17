"""Cycles of a layer, or of a chain of layers, before it has commands: by what of it overlaps, and at least.

Plans are chosen by an estimate; their real cycles are the clock's, on their commands, and never fewer than the bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from intaglio.machine.config import Config

BURST_CYCLES = 6
"""Cycles of a burst, beside the memory's latency and its words: through the engine's queues."""


class Spare(NamedTuple):
    """Room and time that a layer leaves for the first weights of the one behind: cycles in which the external memory has nothing to do, and
    bytes of the weight memory beside what it uses last."""

    cycles: float
    room: float


NO_SPARE, ANY_SPARE = Spare(0.0, 0.0), Spare(math.inf, math.inf)


class Cycles(NamedTuple):
    """Cycles of a plan. estimate: what it probably takes. bound: what it takes at least, its commands on COMPUTE one after the other
    or its bytes at the external memory's rate. first: of the estimate, until the first weights are there, which could come
    while the layer before computes; first_bytes: of these weights. spare: for the layer behind. external: what its bytes take at
    the memory's rate, of which some may not be counted."""

    estimate: float
    bound: float
    first: float = 0.0
    first_bytes: int = 0
    spare: Spare = NO_SPARE
    external: float = 0.0

    def after(self, spare: Spare) -> float:
        """The estimate behind a layer that leaves so much."""
        return self.estimate - (min(self.first, spare.cycles) if self.first_bytes <= spare.room else 0.0)


class Work(NamedTuple):
    """In cycles. pieces: that inputs come in; outputs: parts that the output leaves in. compute: of COMPUTE, of which the first layer of
    a chain takes `first_layer` (0 for a single one: stores then hide behind nothing). loads: of each input; stores: of the output;
    weights: with their records, of which the first block takes first_weights. All three with the memory's latency once for each
    transfer; least: of their bytes alone. first_bytes: of the first weights; room: of the weight memory, beside the last. steps: of all steps, where each step's transfers have only the step before to hide
    behind."""

    pieces: int
    outputs: int
    compute: float
    first_layer: float
    loads: Sequence[float]
    stores: float
    weights: float
    first_weights: float
    least: float
    first_bytes: int
    room: int
    steps: float = 0.0


def transfer_cycles(config: Config, bytes_moved: int, row_bytes: int) -> float:
    """Cycles of bytes that move in rows: a burst each, of which `outstanding` are in flight from request to answer."""
    cost = config.memory.cost
    beats = row_bytes / cost.bytes_per_cycle
    return bytes_moved / row_bytes * max(beats, (cost.latency + beats + BURST_CYCLES) / config.memory.outstanding)


def pipelined(work: Work, waiting: Sequence[int], store_waits: bool, weights_wait: bool) -> Cycles:
    """waiting, store_waits: as in Buffers. weights_wait: there is no room for the next block beside the one in use."""
    shown = work.compute + sum(work.loads[i] for i in waiting)
    if store_waits:
        shown += max(0.0, work.stores - work.first_layer)
    if weights_wait:
        shown += work.weights
    loaded = sum(work.loads)
    moved = loaded + work.stores + work.weights
    total = max(shown, moved, 0.0 if waiting else work.steps)
    estimate = total + loaded / work.pieces + work.stores / work.outputs + work.first_weights
    spare = Spare(total - moved, work.room)
    return Cycles(estimate, max(work.compute, work.least), work.first_weights, work.first_bytes, spare, work.least)
