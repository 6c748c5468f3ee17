"""Energy: counts of actions times published or measured energies, beside the same work in FP32."""

from __future__ import annotations

from intaglio.power_model.comparison import Comparison, compare
from intaglio.power_model.counts import LayerCounts
from intaglio.power_model.curve import Place, place
from intaglio.power_model.measured import Fingerprint, Measured, measured
from intaglio.power_model.prices import prices
from intaglio.power_model.table import Band, Table
from intaglio.power_model.table_file import DEFAULT_TABLE, load_table, shipped_tables

__all__ = [
    "DEFAULT_TABLE",
    "Band",
    "Comparison",
    "Fingerprint",
    "LayerCounts",
    "Measured",
    "Place",
    "Table",
    "compare",
    "load_table",
    "measured",
    "place",
    "prices",
    "shipped_tables",
]
