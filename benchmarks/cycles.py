"""Cycles of real networks: against the schedule-free bound, and against Ethos-U55 as Arm's Vela estimates it.

`python -m benchmarks.cycles [--json FILE]`. Networks: the shipped one and, where ../shared is there, those of its models that
this version imports. Cycles are the host engine's, which equal the RTL's. Vela's figures (../shared/anchors/vela.csv, rows
`sram_only`) are estimates with 8 bytes a cycle and their Softmax inside; ours runs Softmax on the host.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from intaglio import data
from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.network import Graph, load
from intaglio.session import Session

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
FAST = ("bus_bytes=16", "memory.bytes_per_cycle=16")
MACHINES = [
    ("tiny16", ()),
    ("edge64", ()),
    ("edge64", FAST),
    ("edge256", ()),
    ("edge256", FAST),
    ("wide", ()),
    ("edge1024", ()),
]


def networks() -> dict[str, Graph]:
    paths = [data.MODEL, *sorted((SHARED / "models").glob("*.tflite"))]
    out = {}
    for path in paths:
        try:
            out[path.stem] = load(path)
        except InputError:
            continue  # an operator that this version does not have
    return out


def vela() -> dict[tuple[str, int], int]:
    """Cycles by model and MACs a cycle."""
    path = SHARED / "anchors" / "vela.csv"
    if not path.exists():
        return {}
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["memory"] == "sram_only"]
    return {(row["model"], int(row["macs_per_cycle"])): int(row["cycles"]) for row in rows}


def measure(name: str, graph: Graph, config: Config, rival: int | None) -> dict[str, object]:
    session = Session.map(graph, config)
    cycles = session.clock().cycles
    layers = session.program.layers
    macs = sum(layer.macs for layer in layers)
    compute = sum(-(-layer.macs // config.macs_per_cycle) if layer.macs else layer.compute_cycles for layer in layers)
    return {
        "network": name,
        "config": config.name,
        "bytes_per_cycle": config.memory.bytes_per_cycle,
        "macs": macs,
        "cycles": cycles,
        "ideal": compute,
        "utilization": macs / (config.macs_per_cycle * cycles),
        "vela": rival,
        "ratio": cycles / rival if rival else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    target = parser.parse_args().json
    rivals = vela()
    rows = []
    for name, graph in networks().items():
        for machine, overrides in MACHINES:
            config = load_config(machine, overrides)
            rival = rivals.get((name.removesuffix("_patched"), config.macs_per_cycle))  # of biases' axes alone
            try:
                rows.append(measure(name, graph, config, rival))
            except InputError as error:
                Console(stderr=True).print(f"{name} on {machine}: {error}")
    table = Table(
        "network", "config", "bytes/cycle", "cycles", "MACs/array", "utilization", "Ethos-U55 (Vela)", "ratio"
    )
    for row in rows:
        rival = f"{row['vela']:,}" if row["vela"] else ""
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else ""
        table.add_row(
            row["network"],
            row["config"],
            str(row["bytes_per_cycle"]),
            f"{row['cycles']:,}",
            f"{row['ideal']:,}",
            f"{row['utilization']:.1%}",
            rival,
            ratio,
        )
    Console(width=120).print(table)
    if target:
        target.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
