"""The command `intaglio`: its commands, and the call of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from intaglio.cli.check import check_command
from intaglio.cli.compare import compare_command
from intaglio.cli.configs import configs
from intaglio.cli.export import export
from intaglio.cli.map import map_command
from intaglio.cli.operators import operators
from intaglio.cli.quantize import quantize_command
from intaglio.cli.run import run
from intaglio.cli.synth import synth_command
from intaglio.cli.verify import verify_command
from intaglio.cli.verilog import verilog
from intaglio.errors import InputError
from intaglio.version import __version__

app = typer.Typer(
    name="intaglio",
    help="Integer MAC-array accelerators for quantized networks: generated, scheduled, and simulated exactly to the "
    "bit and the cycle.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run)
app.command("verify")(verify_command)
app.command("map")(map_command)
app.command("check")(check_command)
app.command("compare")(compare_command)
app.command("quantize")(quantize_command)
app.command("configs")(configs)
app.command("operators")(operators)
app.command("verilog")(verilog)
app.command("synth")(synth_command)
app.command("export")(export)


def _version(asked: bool) -> None:
    if asked:
        print(f"intaglio {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Integer MAC-array accelerators for quantized networks: generated, scheduled, and simulated exactly."""


def call(arguments: Sequence[str]) -> int:
    """Runs the command; its exit status. Usage errors are InputErrors of one line."""
    if not arguments:
        call(["--help"])
        raise InputError("no command; give one of those above")
    try:
        ended = app(list(arguments), prog_name="intaglio", standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what usage errors have in all of typer's versions
            raise
        raise InputError(_usage(error)) from None
    if ended == 130:  # typer's word for a KeyboardInterrupt
        raise KeyboardInterrupt
    return ended if isinstance(ended, int) else 0


def _usage(error: Any) -> str:
    context = getattr(error, "ctx", None)
    command = "intaglio" if context is None else context.command_path
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see `{command} --help`"
