"""Speed of the host simulator: outputs, cycles, and both beside onnxruntime's own run of the same file.

`python -m benchmarks.simulator [--model FILE] [--config NAME] [--repeats N] [--json FILE]`. Networks: ResNet-18 at 224x224
(benchmarks.large; made in a temporary folder if no file of it is given) and the shipped one. Seconds are medians of runs that
take turns: outputs (every command executed), cycles (from the commands to the counters), events (of these, the clock
alone), onnxruntime with 2 threads. Everything is compiled, and run once, before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from benchmarks import large
from intaglio import data
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.network import load
from intaglio.program.table import table_of
from intaglio.session import Session
from intaglio.sim.clock.event_model import run_events
from intaglio.sim.clock.schedule import schedule_of
from intaglio.sim.engines import clock_of
from intaglio.sim.functional import execute_program

THREADS = 2


def medians(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of each, run in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if turn:  # the first compiles
                seconds[name].append(time.perf_counter() - begin)
    return {name: median(values) for name, values in seconds.items()}


def reference(path: Path, random: np.random.Generator) -> Callable[[], object]:
    """A run of the file by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kinds = {"tensor(float)": np.float32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8}
    feed = {
        i.name: random.normal(0, 1, [s if isinstance(s, int) else 1 for s in i.shape]).astype(kinds[i.type])
        for i in session.get_inputs()
    }
    return lambda: session.run(None, feed)


def measure(path: Path, config: Config, repeats: int) -> dict[str, object]:
    random = np.random.default_rng(0)
    session = Session.map(load(path), config)
    program = session.program
    places = {name: program.places[name] for name in program.inputs}
    inputs = {name: random.integers(-128, 128, (p.rows, p.row_bytes)).astype(np.int8) for name, p in places.items()}
    schedule = schedule_of(config, table_of(program.commands))
    runs: dict[str, Callable[[], object]] = {
        "outputs": lambda: execute_program(config, program, inputs),
        "cycles": lambda: clock_of(config, program.commands),
        "events": lambda: run_events(config, schedule),
    }
    if path.suffix == ".onnx":
        runs["onnxruntime"] = reference(path, random)
    seconds = medians(runs, repeats)
    both = seconds["outputs"] + seconds["cycles"]
    layers = sum(layer.where == "accelerator" for layer in program.layers)
    rival = seconds.get("onnxruntime")
    return {
        "network": path.stem,
        "config": config.name,
        "macs": program.macs,
        "commands": len(program.commands),
        "simulated_cycles": session.clock().cycles,
        "outputs_seconds": seconds["outputs"],
        "cycles_seconds": seconds["cycles"],
        "gmacs_per_second": program.macs / both / 1e9,
        "events_seconds": seconds["events"],
        "events_ms_per_layer": 1e3 * seconds["events"] / layers,
        "onnxruntime_seconds": rival,
        "ratio": both / rival if rival else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, metavar="FILE", help="ResNet-18 as benchmarks.large writes it")
    parser.add_argument("--config", default="edge256", help="a configuration's name or file (edge256)")
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="runs that the medians are of (9)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args()
    config = load_config(options.config)
    with tempfile.TemporaryDirectory() as scratch:
        paths = [options.model or large.write("resnet18", Path(scratch)), Path(data.MODEL)]
        rows = [measure(path, config, max(1, options.repeats)) for path in paths]
    table = Table(
        "network",
        "config",
        "commands",
        "M MACs",
        "outputs ms",
        "cycles ms",
        "G MAC/s",
        "events ms",
        "per layer",
        "onnxruntime ms",
        "ratio",
    )
    for row in rows:
        rival = [f"{1e3 * row['onnxruntime_seconds']:.1f}", f"{row['ratio']:.1f}"] if row["ratio"] else ["", ""]
        table.add_row(
            row["network"],
            row["config"],
            f"{row['commands']:,}",
            f"{row['macs'] / 1e6:,.1f}",
            f"{1e3 * row['outputs_seconds']:.1f}",
            f"{1e3 * row['cycles_seconds']:.1f}",
            f"{row['gmacs_per_second']:.1f}",
            f"{1e3 * row['events_seconds']:.2f}",
            f"{row['events_ms_per_layer']:.3f}",
            *rival,
        )
    Console(width=150).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
