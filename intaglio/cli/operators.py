"""`intaglio operators`: what is supported, where it runs, and how near to the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intaglio.cli.console import check_targets, report_terminal, tell_written, write_json
from intaglio.network.operators import OPERATORS
from intaglio.report.documents import operators_document
from intaglio.report.tables import print_operators


def operators(
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="O.json|-", help="The list as JSON; - is standard output.", show_default=False),
    ] = None,
) -> None:
    """List the operators of .tflite and .onnx files that are supported: where each runs, and what of it is taken."""
    check_targets(json)
    write_json(json, operators_document(OPERATORS))
    terminal = report_terminal(json)
    print_operators(terminal, OPERATORS)
    tell_written(terminal, json)
