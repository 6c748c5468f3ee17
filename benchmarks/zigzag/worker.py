"""Runs in ZigZag's own environment, as a script: jobs come in as JSON on the standard input, results go out to a file.

`python -I worker.py RESULTS`. A job: {"machine", "workload", "mapping"}, as ZigZag's YAML files have them. A result: "cycles",
"energy_pj" and "cpu_seconds" of the mapping with the fewest cycles, and "loops": for each operand the loops of each level, from
the array outwards, innermost first, as [dimension, size].
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from zigzag.api import get_hardware_performance_zigzag


def solve(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    paths = {}
    for name in ("machine", "mapping"):
        paths[name] = folder / f"{name}.yaml"
        paths[name].write_text(yaml.safe_dump(job[name], sort_keys=False))  # memories stand in their order
    begin = time.process_time()
    energy, cycles, found = get_hardware_performance_zigzag(
        job["workload"],
        str(paths["machine"]),
        str(paths["mapping"]),
        opt="latency",
        dump_folder=str(folder / "out"),
        pickle_filename=str(folder / "found.pickle"),
        loma_show_progress_bar=False,
    )
    seconds = time.process_time() - begin
    ((_, ((best, _),)),) = found  # one layer, and its best mapping
    loops = {
        str(operand): [[[str(dimension), int(size)] for dimension, size in level] for level in levels]
        for operand, levels in best.temporal_mapping.mapping_dic_stationary.items()
    }
    return {"cycles": int(cycles), "energy_pj": float(energy), "cpu_seconds": seconds, "loops": loops}


def main() -> None:
    logging.disable(logging.CRITICAL)
    results = []
    for job in json.load(sys.stdin):
        with tempfile.TemporaryDirectory() as folder:
            results.append(solve(job, Path(folder)))
    Path(sys.argv[1]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
