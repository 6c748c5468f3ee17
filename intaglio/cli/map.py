"""`intaglio map`: the schedule of a network, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intaglio.cli.console import check_targets, progress, report_console, write_json
from intaglio.cli.options import WHOLE, ConfigOption, ModelArgument, SetOption, configuration
from intaglio.network import load
from intaglio.report.documents import map_document
from intaglio.report.files import write_text
from intaglio.report.layers import layer_figures, totals
from intaglio.report.tables import print_map
from intaglio.session import Session


def map_command(
    model: ModelArgument,
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="M.json", help=f"The schedule as JSON; - is standard output. {WHOLE}",
                     show_default=False),
    ] = None,
    listing: Annotated[
        Path | None,
        typer.Option("--listing", metavar="P.txt", help=f"The program as text, a command a line. {WHOLE}",
                     show_default=False),
    ] = None,
    program: Annotated[
        Path | None,
        typer.Option("--program", metavar="P.npz", help=f"The program for `Program.load`. {WHOLE}",
                     show_default=False),
    ] = None,
) -> None:
    """Schedule a network; report commands, traffic and cycles of every layer."""
    check_targets(json, listing, program)
    settings = configuration(config, overrides)
    graph = load(model)
    with progress() as tell:
        tell.step(f"mapping {graph.name} onto {settings.name}")
        session = Session.map(graph, settings)
    clock = session.clock()
    layers = layer_figures(settings, session.program, clock.retire_cycles, clock.cycles)
    summary = totals(settings, session.program, layers, clock.cycles)
    document = map_document(model, settings, session.program, layers, summary)
    if listing is not None:
        write_text(listing, session.program.listing())
    if program is not None:
        session.program.save(program)
    write_json(json, document)
    print_map(report_console(json), document, graph.notes)
