"""More hardware, never more cycles: what doubling one field of a configuration does to networks' cycles.

`python -m benchmarks.monotone [--large FOLDER] [--json FILE]`. Networks: the shipped one, ten residual ones (residual.py), MobileNetV2
(large.py) and, where ../shared is there, those of MLPerf Tiny's kind. Machines: edge64 and edge256, and each of them with one field
changed: a buffer's bytes doubled, the external memory's latency halved, its rate doubled with the bus or below it; rows or columns
doubled, the requantizers with them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import cycles, large
from benchmarks.residual import SHAPES, residual
from benchmarks.throughput import TINY
from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.network import Graph, load
from intaglio.session import Session

MACHINES = ("edge64", "edge256")
FIELD, ARRAY = 1.002, 1.01
"""The most cycles, of those without the change, that more bytes or a faster memory may take, and a larger array."""
BUFFERS = ("activation_bytes", "weight_bytes", "channel_bytes", "partial_bytes", "feed_bytes", "bus_bytes")
RATES = (1, 2, 4)
"""Bytes a cycle of external memory, below the bus's 8, whose doubling is tried too."""


def changes(name: str) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], float]]:
    """What changes; the overrides without and with the change; the most that it may cost."""
    config = load_config(name)
    for field in BUFFERS:
        yield f"2 x {field}", (), (f"{field}={2 * getattr(config, field)}",), FIELD
    yield "latency / 2", (), (f"memory.latency={config.memory.latency // 2}",), FIELD
    for rate in RATES:
        yield (
            f"rate {rate} to {2 * rate}",
            (f"memory.bytes_per_cycle={rate}",),
            (f"memory.bytes_per_cycle={2 * rate}",),
            FIELD,
        )
    for field in ("rows", "cols"):
        most = config.cols * (2 if field == "cols" else 1)  # one a column
        requantizers = f"requantizers={min(2 * config.requantizers, most)}"
        yield f"2 x {field}", (), (f"{field}={2 * getattr(config, field)}", requantizers), ARRAY


def networks(folder: Path) -> dict[str, Graph]:
    found = {name: graph for name, graph in cycles.networks().items() if name in TINY or name.startswith("fashion")}
    found |= {f"residual{i}": residual(i) for i in range(len(SHAPES))}
    return found | {"mobilenet_v2": load(large.write("mobilenet_v2", folder))}


def measure(graphs: dict[str, Graph]) -> Iterator[dict[str, object]]:
    console = Console(stderr=True)
    for network, graph in graphs.items():
        known: dict[Config, int] = {}

        def timed(config: Config) -> int:
            if config not in known:  # noqa: B023
                known[config] = Session.map(graph, config).clock().cycles  # noqa: B023
            return known[config]  # noqa: B023

        begin = time.perf_counter()
        for machine in MACHINES:
            for what, before, after, most in changes(machine):
                try:
                    a, b = (timed(load_config(machine, overrides)) for overrides in (before, after))
                except InputError as error:
                    console.print(f"{network} on {machine}, {what}: {error}")
                    continue
                yield {"network": network, "machine": machine, "change": what, "before": a, "after": b, "most": most}
        console.print(f"{network}: {time.perf_counter() - begin:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", type=Path, metavar="FOLDER", help="MobileNetV2 is there, or is put there")
    parser.add_argument("--only", action="append", metavar="NETWORK", help="as often as needed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        graphs = networks(arguments.large or Path(scratch))
        rows = list(measure({name: graph for name, graph in graphs.items() if name in (arguments.only or graphs)}))
    table = Table("network", "machine", "change", "before", "after", "costs")
    worse = [row for row in rows if row["after"] > row["most"] * row["before"]]
    for row in worse:
        table.add_row(
            row["network"],
            row["machine"],
            row["change"],
            f"{row['before']:,}",
            f"{row['after']:,}",
            f"{row['after'] / row['before'] - 1:+.2%}",
        )
    console = Console(width=120)
    console.print(table)
    console.print(f"{len(worse)} of {len(rows)} changes cost more than they may")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
