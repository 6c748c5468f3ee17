"""The choice between a tensor that its parts' makers write in place, and copies of the parts."""

from __future__ import annotations

from intaglio.errors import RefusedError
from intaglio.machine.config import Config
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.network.graph import Graph

MOST_TRIALS = 8
"""Tensors in parts of which copies are tried one by one."""


def with_views(graph: Graph, config: Config, keep_all: bool) -> Lowered:
    """The graph as tasks. A tensor in parts stays on chip while they are written: where that leaves no room, or costs more cycles
    by the estimate than copies do, its parts are copied. RefusedError as `accepted` and the scheduler raise it."""
    copied: frozenset[str] = frozenset()
    network = accepted(graph, config)
    best: float | None = None
    while found := _in_parts(network):
        best = _cycles(network, config, keep_all)
        if best is not None:
            break
        copied |= {found[0]}
        network = accepted(graph, config, copied)
    if best is None:
        return network
    for name in found[:MOST_TRIALS]:
        trial = accepted(graph, config, copied | {name})
        cycles = _cycles(trial, config, keep_all)
        if cycles is not None and cycles < best:
            copied, network, best = copied | {name}, trial, cycles
    return network


def _in_parts(network: Lowered) -> list[str]:
    """Names of the values in parts, the largest first."""
    found = [value for value in network.values.values() if value.in_parts]
    return [value.name for value in sorted(found, key=lambda value: -value.size)]


def _cycles(network: Lowered, config: Config, keep_all: bool) -> float | None:
    """The estimate of the schedule; None where a layer does not fit."""
    try:
        return Scheduler(network, config, keep_all).run().cycles
    except RefusedError:
        return None
