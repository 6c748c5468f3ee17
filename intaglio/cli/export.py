"""`intaglio export`: everything for a hardware project in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from intaglio.cli.console import check_targets, progress, report_terminal, tell_written, write_json
from intaglio.cli.options import WHOLE, ConfigOption, ModelArgument, SetOption, configuration
from intaglio.cli.run import read_inputs
from intaglio.export import check_folder, make_bundle, write_folder
from intaglio.export.known_answer import SEED
from intaglio.files import read_bytes
from intaglio.fpga.families import check_products
from intaglio.fpga.measured import still_measured
from intaglio.hw.target import built_for
from intaglio.machine.chips import chip_of
from intaglio.machine.clock import clock_text
from intaglio.network import load
from intaglio.session import Session
from intaglio.sim.rtl.build import verilog_of


def export(
    model: ModelArgument,
    folder: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            show_default=False,
            help="The folder; made if it is missing. One that holds an unchanged export is written anew.",
        ),
    ],
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="IN.npz",
            help=f"Arrays by input name that example and testbench run with; without it, random ones (seed {SEED}).",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="M.json|-",
            help=f"The manifest once more; - is standard output. {WHOLE}",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write Verilog, memory image, C driver, testbench and instructions for a network into one folder."""
    check_targets(json, inputs=[model, input_file])
    settings = configuration(config, overrides)
    if settings.chip is not None:
        check_products(settings, chip_of(settings.chip))
    graph = load(model)
    inputs = None if input_file is None else read_inputs(graph, input_file)
    check_folder(folder)
    content = read_bytes(model, "give a model file")
    with progress() as tell:
        settings = still_measured(settings, tell.long)
        tell.step(f"mapping {graph.name} onto {settings.name}")
        session = Session.map(graph, settings)
        tell.step(f"writing the Verilog of {settings.name}")
        verilog = verilog_of(settings, tell.long)
        tell.step("computing the outputs that example and testbench compare with")
        bundle = make_bundle(model.name, content, session, verilog, inputs)
    write_folder(folder, bundle.files)
    write_json(json, bundle.manifest)
    terminal = report_terminal(json)
    for line in _summary(folder, bundle.manifest):
        terminal.line(line)
    terminal.line(built_for(settings.chip))
    tell_written(terminal, json)


def _summary(folder: Path, manifest: dict[str, Any]) -> list[str]:
    memory = manifest["memory"]
    lines = [
        f"{folder}: {len(manifest['files']) + 1} files, configuration {manifest['config_hash']}; begin with README.md",
        f"{memory['bytes']:,} bytes of memory, {memory['image_bytes']:,} of them the image; "
        f"{manifest['cycles']:,} cycles an inference; {clock_text(manifest['clock'])}",
    ]
    for title, provided in (("on the processor, in intaglio_host.c", True), ("on the processor, left to you", False)):
        steps = [s for s in manifest["host_steps"] if (s["function"] is not None) == provided]
        if steps:
            lines.append(f"{title}: " + ", ".join(f"{s['targets'][0]!a} ({s['op']})" for s in steps))
    lines.append("`make sim` in that folder runs the testbench: known inputs, the host engine's outputs")
    return lines + [f"note: {note}" for note in manifest["notes"]]
