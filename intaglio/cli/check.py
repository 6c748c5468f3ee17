"""`intaglio check`: what would run where, before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intaglio.check import check
from intaglio.cli.console import check_targets, report_terminal, tell_written, write_json
from intaglio.cli.options import WHOLE, ConfigOption, ModelArgument, SetOption, configuration
from intaglio.report.documents import check_document
from intaglio.report.tables import print_check


def check_command(
    model: ModelArgument,
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="C.json|-", help=f"The answer as JSON; - is standard output. {WHOLE}", show_default=False
        ),
    ] = None,
) -> None:
    """Tell which operators would run where, and all that is refused, with reasons and remedies; exit 1 if any is."""
    check_targets(json, inputs=[model])
    settings = configuration(config, overrides)
    found = check(model, settings)
    document = check_document(model, settings, found)
    write_json(json, document)
    terminal = report_terminal(json)
    print_check(terminal, document)
    tell_written(terminal, json)
    if not found.would_run:
        raise typer.Exit(1)
