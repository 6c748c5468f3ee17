"""The Python API, for `import intaglio`: from a model file to a Session, a run and an energy comparison.

    import intaglio

    graph = intaglio.load("network.tflite")
    session = intaglio.map(graph, "edge64")
    run = session.run(intaglio.random_inputs(graph, seed=0))
    run.outputs, run.cycles, run.counters, run.trace
    intaglio.compare(run).total.gain

The command `intaglio` uses the same functions and classes. docs/api.md tells more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from intaglio.analysis.energy_counts import layer_counts
from intaglio.analysis.layers import LayerFigures, layer_figures
from intaglio.errors import InputError, OutputError, Refusal, RefusedError
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.network import Graph, load, random_inputs
from intaglio.power_model import DEFAULT_TABLE, Comparison, Table, load_table
from intaglio.power_model import compare as compare_counts
from intaglio.session import NetworkRun, Session
from intaglio.trace import Trace

__all__ = [
    "Comparison",
    "Config",
    "Graph",
    "InputError",
    "LayerFigures",
    "NetworkRun",
    "OutputError",
    "Refusal",
    "RefusedError",
    "Session",
    "Table",
    "Trace",
    "compare",
    "layers",
    "load",
    "load_config",
    "load_table",
    "map",
    "random_inputs",
]


def map(
    graph: Graph,
    config: Config | str | Path = "edge64",
    overrides: Sequence[str] = (),
    keep_all: bool = False,
    objective: str = "cycles",
    table: Table | str | Path | None = None,
) -> Session:
    """Schedules a network onto a configuration.

    config: a Config, the name of a shipped one, or a YAML file. overrides: as --set, "memory.latency=100"; with a name
    or a file only. keep_all: every tensor of the accelerator is left in external memory, and so in NetworkRun.tensors.
    objective: "cycles", "energy" or "edp", their product. table: a Table, the name of a shipped one, or a YAML file; with it
    energy decides between schedules of equal cycles, and energy and edp have prices (else the default table's).
    The Session holds graph, config and program (mapper.Program: commands, memory image, places; its save writes it).
    Raises RefusedError with every operator that cannot run, InputError for a configuration that is not valid.
    """
    if isinstance(config, Config):
        if overrides:
            raise InputError("overrides: are for a configuration by name or file; use dataclasses.replace on a Config")
        settings = config
    else:
        settings = load_config(str(config), tuple(overrides))
    prices = table if isinstance(table, Table) or table is None else load_table(table)
    return Session.map(graph, settings, keep_all, goal=objective, table=prices)


def layers(run: NetworkRun) -> list[LayerFigures]:
    """Cycles, bound, utilization, causes and traffic of each operator, in the graph's order."""
    s, result = run.session, run.result
    return layer_figures(s.config, s.program, result.retire_cycles, result.cycles, run.host_seconds)


def compare(run: NetworkRun, table: Table | str | Path = DEFAULT_TABLE) -> Comparison:
    """Energy and performance per watt beside the same array and schedule in FP32.

    table: a Table, the name of a shipped one, or a YAML file (docs/energy.md). Raises InputError for a table that is
    not valid.
    """
    prices = table if isinstance(table, Table) else load_table(table)
    return compare_counts(run.session.config, layer_counts(run.session, run.host_seconds), prices)
