"""`intaglio verify`: host engine, RTL and the format's reference must agree."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from intaglio.cli.console import check_targets, progress, report_terminal, tell_written, write_json
from intaglio.cli.options import WHOLE, ConfigOption, ModelArgument, SetOption, configuration
from intaglio.errors import InputError
from intaglio.files import placing
from intaglio.network import load
from intaglio.report.documents import verify_document
from intaglio.report.tables import print_verification
from intaglio.sim.rtl.build import WAVES
from intaglio.verify import verify


def verify_command(
    model: ModelArgument,
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
    inputs: Annotated[int, typer.Option(metavar="N", min=1, help="Random inputs to compare.")] = 2,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Seed of the first input; the next count on.")] = 0,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="V.json|-", help=f"The result as JSON; - is standard output. {WHOLE}", show_default=False
        ),
    ] = None,
    waves: Annotated[
        Path | None,
        typer.Option(
            "--waves",
            metavar="W.fst",
            help="Waves of the RTL's run of the first input, .fst or .vcd.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare every tensor with LiteRT or onnxruntime, and outputs, cycles and counters of host and RTL; exit 1 on a difference."""
    check_targets(json, waves, inputs=[model])
    if waves is not None and waves.suffix not in WAVES:
        raise InputError(f"waves {waves}: the name must end in {' or '.join(WAVES)}")
    settings = configuration(config, overrides)
    graph = load(model)
    with progress() as tell, nullcontext() if waves is None else placing(waves) as scratch:
        found = verify(model, graph, settings, inputs, seed, tell.step, tell.long, scratch)
    document = verify_document(model, settings, found)
    write_json(json, document)
    terminal = report_terminal(json)
    print_verification(terminal, document, graph.notes)
    tell_written(terminal, json, waves)
    if found.difference is not None:
        raise typer.Exit(1)
