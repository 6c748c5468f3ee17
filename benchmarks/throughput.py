"""The table of throughput: cycles, schedules and simulator, each beside its rival or bound, measured in one run.

`python -m benchmarks.throughput [--large FOLDER] [--rtl] [--json FILE]`, or `make bench`. Networks: MLPerf Tiny's (../shared/models; their
rows are left out, saying so, where that is missing), and ResNet-18 and MobileNetV2 with seeded weights (benchmarks.large; in FOLDER
once made). Cycles are the host's, which equal the RTL's; weights, inputs and outputs start and end in external memory of latency 32.
Ethos-U55's are Arm's estimate by Vela 5.2.0 with 8 bytes a cycle of SRAM, Softmax inside (../shared/anchors/vela.csv).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import cycles, large, simulator
from benchmarks.zigzag.layers import LAYERS, graph_of
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.mapper import Certificate
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.search.polish import polished
from intaglio.mapper.search.stopwatch import Stopwatch
from intaglio.network import Graph, load
from intaglio.network.execute import random_inputs
from intaglio.network.graph import Conv2D, FullyConnected
from intaglio.session import Session
from intaglio.sim.engines import cycles_of

TINY = (
    "mlptiny_kws_int8",
    "mlptiny_vww_int8",
    "mlptiny_ic_resnet8_int8",
    "mlptiny_ad_int8",
    "tflm_person_detect_int8_patched",
)
FAST = ("bus_bytes=16", "memory.bytes_per_cycle=16")
AGAINST_VELA = [
    ("edge256", (), 0.60, 0.95, 0.45),
    ("edge256", FAST, 0.50, 0.75, 0.38),
    ("edge64", (), 0.62, 0.95, 0.48),
    ("edge64", FAST, 0.55, 0.80, 0.45),
]
"""Configuration, overrides; the geometric mean and the greatest ratio to reach, and the mean to aim for."""

Row = dict[str, object]


def row(what: str, measured: str, reach: str, aim: str, met: bool | None, **values: object) -> Row:
    return {"what": what, "measured": measured, "reach": reach, "aim": aim, "met": met, **values}


def against_vela() -> Iterator[Row]:
    """Cycles over Ethos-U55's of as many MACs a cycle."""
    rivals = cycles.vela()
    graphs = {name: graph for name, graph in cycles.networks().items() if name in TINY}
    for name, overrides, mean, most, aim in AGAINST_VELA:
        config = load_config(name, overrides)
        rate = config.memory.bytes_per_cycle
        what = f"cycles / Ethos-U55-{config.macs_per_cycle}, {name}, {rate} bytes a cycle"
        reach = f"mean {mean:.2f}, each {most:.2f}"
        if len(graphs) < len(TINY) or not rivals:
            yield row(what, "../shared is missing", reach, f"{aim:.2f}", None)
            continue
        found = {}
        for model in TINY:
            count = Session.map(graphs[model], config).clock().cycles
            found[model] = count / rivals[model.removesuffix("_patched"), config.macs_per_cycle]
        geometric = math.prod(found.values()) ** (1 / len(found))
        each = ", ".join(
            f"{model.removeprefix('mlptiny_').removeprefix('tflm_').removesuffix('_int8')} {r:.2f}"
            for model, r in ((m.removesuffix("_patched"), r) for m, r in found.items())
        )
        met = geometric <= mean and max(found.values()) <= most
        yield row(what, f"{geometric:.3f} ({each})", reach, f"{aim:.2f}", met, mean=geometric, ratios=found)


def resnet18_bound(session: Session) -> float:
    """Sum over layers of the greater of MACs / (rows * cols) and compulsory bytes at the memory's rate."""
    config = session.config
    return sum(
        max(layer.macs / config.macs_per_cycle, layer.external_bytes / config.memory.bytes_per_cycle)
        for layer in session.program.layers
    )


def mobilenet_bound(session: Session) -> float:
    """The greater of computing, with 64 depthwise MACs a cycle, and of compulsory bytes at the memory's rate."""
    depthwise = other = 0
    for op, layer in zip(session.graph.operators, session.program.layers, strict=True):
        if isinstance(op, Conv2D) and op.groups > 1:
            depthwise += layer.macs
        elif isinstance(op, Conv2D | FullyConnected):
            other += layer.macs
    moved = sum(layer.external_bytes for layer in session.program.layers)
    compute = other / session.config.macs_per_cycle + depthwise / 64
    return max(compute, moved / session.config.memory.bytes_per_cycle)


def mapped(graph: Graph, config: Config) -> tuple[Session, float]:
    """The session, and seconds of one core that mapping takes, warm."""
    Session.map(graph, config)
    begin = time.process_time()
    session = Session.map(graph, config)
    return session, time.process_time() - begin


def large_networks(folder: Path, on_rtl: bool) -> Iterator[Row]:
    config = load_config("edge256")
    graph = load(large.write("resnet18", folder))
    session, seconds = mapped(graph, config)
    count = session.clock().cycles
    ratio = count / resnet18_bound(session)
    yield row(
        "ResNet-18, edge256: cycles / sum of its layers' bounds",
        f"{ratio:.3f} ({count:,} cycles)",
        "1.12",
        "1.06",
        ratio <= 1.12,
        ratio=ratio,
        cycles=count,
    )

    mobile = Session.map(load(large.write("mobilenet_v2", folder)), config)
    cycles_mobile = mobile.clock().cycles
    ratio = cycles_mobile / mobilenet_bound(mobile)
    yield row(
        "MobileNetV2, edge256: cycles / bound",
        f"{ratio:.3f} ({cycles_mobile:,} cycles)",
        "1.45",
        "1.20",
        ratio <= 1.45,
        ratio=ratio,
        cycles=cycles_mobile,
    )

    proven = Session.map(graph, config, prove=True)
    first = Session.map(graph_of(LAYERS[0]), config, prove=True).clock().cycles
    yield row(
        "conv1 7x7/2, 3 to 64 channels at 224x224, edge256: cycles",
        f"{first:,}",
        "500,000",
        "465,000",
        first < 500_000,
        cycles=first,
    )
    yield row("mapping ResNet-18, one core, warm", f"{seconds:.2f} s", "1 s", "0.25 s", seconds <= 1, seconds=seconds)
    plans = sum(c.candidates for c in proven.certificates)
    gap = sampled_gap(graph, config, proven.certificates)
    yield row(
        "gap to the best of the stated space, ResNet-18, every layer (--prove), against plans drawn at random and timed",
        f"{gap:.4f} ({len(proven.certificates)} layers and chains, {plans:,} plans; {proven.clock().cycles:,} cycles in all)",
        "0",
        "0",
        gap <= 0,
        gap=gap,
        plans=plans,
    )

    found = simulator.measure(large.write("resnet18", folder), config, 5)
    speed = float(str(found["gmacs_per_second"]))
    yield row(
        "host simulation of ResNet-18, outputs and cycles, 2 cores, warm",
        f"{speed:.1f} G MAC/s, {found['ratio']:.1f} times onnxruntime's {1e3 * float(str(found['onnxruntime_seconds'])):.0f} ms",
        "5 G MAC/s",
        "2 times onnxruntime's",
        speed >= 5,
        **{k: found[k] for k in ("gmacs_per_second", "ratio")},
    )
    each = float(str(found["cycles_seconds"])) * 1e3 / len(session.program.layers)
    yield row("timing only, ResNet-18", f"{each:.2f} ms a layer", "1 ms", "", each <= 1, milliseconds=each)
    if on_rtl:
        yield rtl(session)


def sampled_gap(graph: Graph, config: Config, certificates: Sequence[Certificate], each: int = 8) -> float:
    """How far the proven cycles of a layer are above those of some plan of its space: the greatest of all layers, 0 for none. `each`
    plans of a layer are drawn at random, whatever the proof's bounds say of them."""
    network = accepted(graph, config)
    schedule = polished(network, config, False, cycles_of)  # whose layers the certificates are of
    watch = Stopwatch(network, config, cycles_of)
    draw = random.Random(0)
    worst = 0.0
    for layer, certificate in zip(schedule.layers, certificates, strict=True):
        plans = layer.planner.candidates(layer.setting)
        for plan in draw.sample(plans, min(each, len(plans))):
            count = watch.alone(schedule, replace(layer, plan=plan))
            worst = max(worst, certificate.best / count - 1)
    return worst


def rtl(session: Session) -> Row:
    """The second of two runs: the first builds the model."""
    inputs = random_inputs(session.graph, 0)
    given = {name: inputs[name] for name in session.graph.inputs}
    host = session.run(given)
    session.run(given, "rtl")
    begin = time.perf_counter()
    run = session.run(given, "rtl")
    seconds = time.perf_counter() - begin
    same = run.cycles == host.cycles and run.counters == host.counters
    same &= all(np.array_equal(run.outputs[name], host.outputs[name]) for name in host.outputs)
    return row(
        "RTL simulation of ResNet-18, edge256, after the build",
        f"{seconds:.0f} s, outputs, cycles and counters {'equal' if same else 'DIFFERENT'}",
        "90 s",
        "",
        same and seconds < 90,
        seconds=seconds,
        equal=same,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--large", type=Path, metavar="FOLDER", help="where ResNet-18 and MobileNetV2 are, or are to be made"
    )
    parser.add_argument("--rtl", action="store_true", help="also run ResNet-18 on the RTL: minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args()
    rows: list[Row] = []
    table = Table("what", "measured", "to reach", "to aim for", "reached")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.large or Path(scratch)
        for part in (against_vela(), large_networks(folder, options.rtl)):
            for found in part:
                rows.append(found)
                reached = {True: "yes", False: "no", None: ""}[found["met"]]  # type: ignore[index]
                table.add_row(
                    str(found["what"]), str(found["measured"]), str(found["reach"]), str(found["aim"]), reached
                )
                Console(stderr=True).print(f"{found['what']}: {found['measured']}")
    Console(width=160).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
