"""`intaglio configs`: the shipped configurations."""

from __future__ import annotations

from typing import Annotated

import typer

from intaglio.cli.console import report_terminal
from intaglio.cli.options import SetOption, configuration
from intaglio.errors import InputError
from intaglio.machine.config_files import shipped_names
from intaglio.report.tables import print_configs


def configs(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print this one as YAML.", show_default=False)
    ] = None,
    overrides: SetOption = None,
) -> None:
    """List the shipped configurations, or print one as YAML to start a file from."""
    if name is None:
        if overrides:
            raise InputError("--set: overrides fields of one configuration; give its NAME too")
        print_configs(report_terminal(None), [configuration(shipped, None) for shipped in shipped_names()])
    else:
        print(configuration(name, overrides).to_yaml(), end="")
