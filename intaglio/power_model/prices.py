"""Prices of each action on a configuration, by a table: plain numbers for whoever chooses by energy."""

from __future__ import annotations

from dataclasses import replace

from intaglio.machine.config import Config
from intaglio.machine.counters import ELEMENTS
from intaglio.power_model.counts import ACTIONS, LayerCounts
from intaglio.power_model.table import Band, Table
from intaglio.power_model.work import Component, Side, Term, terms

PJ_PER_J = 1e12
_NOTHING = LayerCounts("", "", "accelerator", 0, 0, 0, dict.fromkeys(ACTIONS, 0), 0, 0, 0, 0, 0, 0)


def energy_of(table: Table, term: Term) -> Band | None:
    """pJ of a term; None where the table has no price of it."""
    if term.entry in table.not_priced:
        return None
    price = table.sram(term.capacity) if term.entry == "sram" else table.price(term.entry)
    return price.times(term.amount * (PJ_PER_J if term.component == Component.IDLE else 1))


def prices(config: Config, table: Table) -> dict[str, float]:
    """pJ of one of each action of the INT8 side at the table's values: by the names of ACTIONS, in lower case, of
    ELEMENTS, and "cycles" for leakage and clock. Every term is proportional to its counts, so that the sum of count x
    price is the energy that `compare` reports."""
    one = {c.name.lower(): replace(_NOTHING, actions={**_NOTHING.actions, c: 1}) for c in ACTIONS}
    one |= {name: replace(_NOTHING, **{name: 1}) for name in ELEMENTS}  # type: ignore[arg-type]
    return {name: _energy(config, table, counts, 0) for name, counts in one.items()} | {
        "cycles": _energy(config, table, _NOTHING, 1)
    }


def _energy(config: Config, table: Table, counts: LayerCounts, cycles: int) -> float:
    bands = [energy_of(table, term) for term in terms(config, counts, Side.INT8, cycles)]
    return sum(band.value for band in bands if band is not None)
