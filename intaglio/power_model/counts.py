"""The work of a layer: the ledger's counters and the few numbers beside them that energy needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intaglio.machine.counters import Counter

ACTIONS = (
    Counter.MACS,
    Counter.ACTIVATION_READS,
    Counter.ACTIVATION_WRITES,
    Counter.WEIGHT_READS,
    Counter.CHANNEL_READS,
    Counter.REQUANTIZATIONS,
    Counter.LOAD_ACTIVATION_WORDS,
    Counter.LOAD_WEIGHT_WORDS,
    Counter.LOAD_CHANNEL_WORDS,
    Counter.STORE_WORDS,
    Counter.FETCH_WORDS,
    Counter.PARTIAL_READS,
    Counter.PARTIAL_WRITES,
)
"""The counters that are priced. The others count time (LayerCounts.cycles has it) or commands (FETCH_WORDS has
their bytes)."""


@dataclass(frozen=True)
class LayerCounts:
    """One operator's share of a run. Over the layers, `actions` add up to the ledger and `cycles` to the run.

    where: 'accelerator' or 'host'; on the host every count is 0. macs: the network's, each output element times the
    whole kernel; actions[MACS] are those issued, more where a schedule computes something twice. actions: by
    Counter of ACTIONS. cycles: of its interval. fp32_cycles: of the same schedule with four bytes an element and
    as many bytes a cycle outside.

    Elements: array_outputs leave the array through the requantizers; add_elements are results of ADD; pool_elements
    are read by windows of POOL, pool_outputs its results, pool_averages those of windows of more than one
    element but maxima; table_reads are results that a table gives. array_outputs + add_elements + pool_outputs = actions[REQUANTIZATIONS].
    """

    name: str
    op: str
    where: str
    macs: int
    cycles: int
    fp32_cycles: int
    actions: Mapping[Counter, int]
    array_outputs: int
    add_elements: int
    pool_elements: int
    pool_outputs: int
    pool_averages: int
    table_reads: int
    host_seconds: float | None = None
