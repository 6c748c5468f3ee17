"""ZigZag 3.9.1 beside our mapper, on the layers of layers.py and edge256.

`python -m benchmarks.zigzag [--json FILE]`. The first call installs ZigZag in an environment of its own (environment.py), from
PyPI. Each layer stands alone: its input comes from external memory, its output goes there. Columns:

* ideal: MACs at one an element a cycle, or weights at the external memory's rate, whichever takes longer.
* ZigZag: the fewest cycles of its own model (LOMA, optimized for latency), and the CPU seconds it takes.
* priced: the exact cycles of that schedule, or of the nearest that our machine executes (plans.py; notes say where it differs).
* ours: the fewest exact cycles of our mapper's space, and the CPU seconds to find and prove them (code compiled before).
* to best: from the fewer of both to ours. to bound: from the cycles that no schedule avoids to ours.

Exit status: 0, 1 where a schedule of ZigZag's is better than ours, 2 where ZigZag cannot be had.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.zigzag import environment, inputs
from benchmarks.zigzag.layers import LAYERS, Shape, graph_of
from benchmarks.zigzag.plans import price
from benchmarks.zigzag.temporal import TemporalMapping
from intaglio.errors import InputError
from intaglio.files import check_writable, write_bytes
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.mapper import map_proven
from intaglio.sim.engines import cycles_of


def measure(shape: Shape, config: Config, found: dict[str, Any]) -> dict[str, Any]:
    """One row. found: worker.py's result."""
    graph = graph_of(shape)
    begin = time.process_time()
    _, (certificate,) = map_proven(graph, config, cycles_of)
    seconds = time.process_time() - begin
    spatial = {dimension: n for of in inputs.spatial(shape).values() for dimension, n in of.items()}
    priced = price(graph, config, TemporalMapping(found["loops"], spatial, shape.loops()), cycles_of)
    best = min(certificate.cycles, priced.cycles or certificate.cycles)
    return {
        "layer": shape.name,
        "macs": shape.macs,
        "ideal": math.ceil(max(shape.macs / config.macs_per_cycle, shape.weights / config.memory.bytes_per_cycle)),
        "zigzag_cycles": found["cycles"],
        "zigzag_seconds": found["cpu_seconds"],
        "priced": priced.cycles,
        "notes": priced.notes,
        "ours": certificate.cycles,
        "seconds": seconds,
        "bound": certificate.bound,
        "to_best": certificate.cycles / best - 1,
        "to_bound": certificate.gap_to_bound,
        "loops": found["loops"],
    }


def show(rows: list[dict[str, Any]], console: Console) -> None:
    table = Table("layer")
    for name in ("MACs", "ideal", "ZigZag", "CPU s", "priced", "ours", "CPU s", "to best", "to bound"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row["layer"],
            f"{row['macs']:,}",
            f"{row['ideal']:,}",
            f"{row['zigzag_cycles']:,}",
            f"{row['zigzag_seconds']:.1f}",
            f"{row['priced']:,}" if row["priced"] else "none",
            f"{row['ours']:,}",
            f"{row['seconds']:.1f}",
            f"{row['to_best']:.2%}",
            f"{row['to_bound']:.2%}",
        )
    console.print(table)
    for row in rows:
        for note in row["notes"]:
            console.print(f"{row['layer']}: {note}", highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zigzag", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    target = parser.parse_args().json
    try:
        check_writable(target)
        jobs = [
            {"machine": inputs.machine(), "workload": inputs.workload(shape), "mapping": inputs.mapping(shape)}
            for shape in LAYERS
        ]
        found = environment.solve(jobs)
        config = load_config("edge256")
        map_proven(graph_of(Shape("warm", 4, 4, 16, 16)), config, cycles_of)  # compiles the clock
        rows = [measure(shape, config, result) for shape, result in zip(LAYERS, found, strict=True)]
        show(rows, Console(width=140))
        if target:
            write_bytes(target, (json.dumps(rows, indent=2) + "\n").encode())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return int(any(row["to_best"] > 0 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
