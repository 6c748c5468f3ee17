"""The JSON document of `compare`; docs/energy.md and intaglio/schemas/compare.json describe it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from intaglio.accuracy import Accuracy
from intaglio.analysis.layers import HOST
from intaglio.power_model import Comparison, Fingerprint, Measured, Table, place
from intaglio.power_model.comparison import LayerComparison
from intaglio.power_model.curve import QUALCOMM_SOURCE, REGISTERS
from intaglio.power_model.work import Component
from intaglio.schema import SCHEMA_VERSION
from intaglio.session import Session
from intaglio.version import __version__

SIDES = ("int8", "fp32")


def compare_document(
    model: Path | str,
    compared: Comparison,
    accuracy: Mapping[str, Accuracy | None],
    system: Measured | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    """accuracy: by SIDES, None where it was not evaluated. system: a measurement of this network, if there is one."""
    layers = [{"name": x.name, "op": x.op, "where": x.where, **_figures(x)} for x in compared.layers]
    return {
        "schema_version": SCHEMA_VERSION,
        "intaglio_version": __version__,
        "model": str(model),
        "config": compared.config.to_dict(),
        "clock": compared.config.clock.to_dict(),
        "table": table_document(compared.table),
        "layers": layers,
        "totals": _figures(compared.total),
        "rates": {name: dataclasses.asdict(rates) for name, rates in compared.rates.items()},
        "bandwidth": compared.bandwidth,
        "operand_bandwidth": compared.operand_bandwidth,
        "components": {
            c.name.lower(): {"share": compared.share[c], "gain": compared.component_gain[c]} for c in Component
        },
        "curve": {**_plain(place(compared)), "qualcomm": QUALCOMM_SOURCE, "registers": REGISTERS},
        "accuracy": {side: _plain(accuracy.get(side)) for side in SIDES},
        "measured": _plain(system),
        "not_priced": compared.table.not_priced,
        "extrapolated": list(compared.extrapolated),
        "notes": list(notes),
    }


def table_document(table: Table) -> dict[str, Any]:
    """Every constant of a table with its source. price: in pJ, pJ a bit, W, W/KiB or W/MHz; points: of sram, by bytes."""
    return {
        "name": table.name,
        "node_nm": table.node_nm,
        "voltage": table.voltage,
        "entries": [
            {**_plain(entry), "points": [{"bytes": size, "price": _plain(price)} for size, price in entry.points]}
            for entry in table.entries.values()
        ],
    }


def fingerprint(session: Session) -> Fingerprint:
    """Shapes and counts by which a network is known again. Of one with several inputs or outputs, the first of each."""
    graph = session.graph
    weights = [getattr(op, "weights", None) for op in graph.operators]
    return Fingerprint(
        graph.tensors[graph.inputs[0]].shape,
        graph.tensors[graph.outputs[0]].shape,
        session.program.macs,
        sum(w.size for w in weights if w is not None),
    )


def _figures(layer: LayerComparison) -> dict[str, Any]:
    priced = layer.where != HOST
    return {
        "macs": layer.macs,
        "reuse": layer.reuse,
        "int8": _plain(layer.int8) if priced else None,
        "fp32": {name: _plain(side) for name, side in layer.fp32.items()} if priced else None,
        "gain": {name: _plain(gain) for name, gain in layer.gain.items()} if priced else None,
        "host_seconds": layer.host_seconds,
    }


def _plain(value: Any) -> Any:
    """A dataclass as plain values; None stays."""
    return None if value is None else dataclasses.asdict(value)
