"""`intaglio run`: one inference on one engine, and where its cycles go."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from intaglio import api
from intaglio.accuracy import evaluate, read_labelled
from intaglio.analysis.layers import totals
from intaglio.cli.console import (
    Progress,
    check_targets,
    progress,
    progress_bar,
    report_terminal,
    tell_written,
    write_json,
)
from intaglio.cli.options import WHOLE, ConfigOption, EngineName, ModelArgument, SetOption, configuration
from intaglio.errors import InputError
from intaglio.files import write_bytes
from intaglio.machine.config import Config
from intaglio.network import Graph, check_inputs, load, random_inputs
from intaglio.npz import Header, npz_bytes, read_npz
from intaglio.report.documents import accuracy_document, run_document
from intaglio.report.plots import check_plot, picture, save_plot
from intaglio.report.tables import print_run
from intaglio.session import NetworkRun, every_tensor
from intaglio.sim.rtl.build import library
from intaglio.trace.chrome import LIMIT, write_chrome

SEED = 0
"""The seed of the random input where none is given."""

EngineOption = Annotated[EngineName, typer.Option(help="host: the simulator. rtl: the emitted design in Verilator.")]
InputOption = Annotated[
    Path | None,
    typer.Option(
        "--input",
        metavar="IN.npz",
        help=f"Arrays by input name; without it, random ones (seed {SEED}).",
        show_default=False,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="D.npz",
        show_default=False,
        help="Samples [N, ...] by input name, or `inputs`, and `labels` [N]: the accuracy of what the hardware "
        "computes, by the host engine.",
    ),
]
JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="R.json|-", help=f"The report as JSON; - is standard output. {WHOLE}", show_default=False
    ),
]
OutputsOption = Annotated[
    Path | None,
    typer.Option(
        "--outputs", metavar="O.npz", help=f"The network's outputs by tensor name. {WHOLE}", show_default=False
    ),
]
AllTensorsOption = Annotated[bool, typer.Option("--all-tensors", help="Put every tensor of the graph into --outputs.")]
TraceOption = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="T.json",
        show_default=False,
        help=f"Engines, tiles, bursts and stalls for ui.perfetto.dev, 1 us a cycle. {WHOLE}",
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="P.svg",
        show_default=False,
        help="Roofline, cycles and energy by layer as a picture, .svg, .png or .pdf.",
    ),
]


def run(
    model: ModelArgument,
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
    engine: EngineOption = EngineName.host,
    input_file: InputOption = None,
    data: DataOption = None,
    json: JsonOption = None,
    outputs: OutputsOption = None,
    all_tensors: AllTensorsOption = False,
    trace: TraceOption = None,
    plot: PlotOption = None,
) -> None:
    """Run one inference; report cycles, bounds and traffic of every layer."""
    if all_tensors and outputs is None:
        raise InputError("--all-tensors: says what --outputs holds; give --outputs O.npz too")
    check_targets(json, outputs, trace, plot, inputs=[model, input_file, data])
    check_plot(plot)
    settings = configuration(config, overrides)
    graph = load(model)
    values = read_inputs(graph, input_file)
    samples = None if data is None else read_labelled(data, graph)
    with progress() as tell:
        done, seconds = _mapped_and_run(graph, settings, values, engine, tell)
        tensors, host_only = {name: done.tensors[name] for name in graph.outputs}, None
        if all_tensors:
            tell.step("running again with every tensor kept outside")
            tensors, host_only = every_tensor(graph, settings, done, engine.value, tell.long)
    accuracy = None
    if samples is not None:
        begin = time.perf_counter()
        with progress_bar() as bar:
            accuracy = evaluate(done.session, samples, bar)
        seconds["accuracy"] = time.perf_counter() - begin
    layers = api.layers(done)
    summary = totals(settings, done.session.program, layers, done.result.cycles)
    document = run_document(
        model,
        settings,
        engine.value,
        str(input_file or f"random, seed {SEED}"),
        layers,
        summary,
        done.result.counters,
        seconds,
        graph.notes,
        host_only,
    )
    if accuracy is not None:
        document["accuracy"] = accuracy_document(accuracy, str(data), seconds["accuracy"])
    archive = npz_bytes(tensors) if outputs is not None else b""
    if outputs is not None:
        write_bytes(outputs, archive)
    left_out = {} if trace is None else write_chrome(trace, done.trace)
    if plot is not None:
        title = f"{graph.name} on {settings.name} ({settings.rows}x{settings.cols})"
        save_plot(plot, picture(title, settings, layers, api.compare(done)))
    write_json(json, document)
    terminal = report_terminal(json)
    print_run(terminal, document)
    for kind, count in left_out.items():
        terminal.line(f"note: {trace} is without {count:,} {kind}, so that it has at most {LIMIT:,} events")
    tell_written(terminal, json, outputs, trace, plot)


def _mapped_and_run(
    graph: Graph, settings: Config, values: Mapping[str, np.ndarray], engine: EngineName, tell: Progress
) -> tuple[NetworkRun, dict[str, float]]:
    """An inference, and the seconds of its steps: `map`, for the RTL `build`, and `run`."""
    seconds = {}
    tell.step(f"mapping {graph.name} onto {settings.name}")
    begin = time.perf_counter()
    session = api.map(graph, settings)
    seconds["map"] = time.perf_counter() - begin
    if engine == EngineName.rtl:
        begin = time.perf_counter()
        library(settings, None, tell.long)
        seconds["build"] = time.perf_counter() - begin
    tell.step(f"running {graph.name} on the {engine.value} engine")
    begin = time.perf_counter()
    done = session.run(values, engine.value, tell.long)
    seconds["run"] = time.perf_counter() - begin
    return done, seconds


def read_inputs(graph: Graph, path: Path | None) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, checked against the graph; without one, random ones."""
    if path is None:
        return random_inputs(graph, SEED)

    def fits(values: Mapping[str, np.ndarray | Header]) -> None:
        try:
            check_inputs(graph, values)
        except InputError as error:
            raise error.at(path) from None

    values = read_npz(path, fits)
    fits(values)
    return values
