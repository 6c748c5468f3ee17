"""The command `intaglio`."""

from __future__ import annotations

import sys

import typer

from intaglio import __version__
from intaglio.cli.check import check_command
from intaglio.cli.compare import compare_command
from intaglio.cli.configs import configs
from intaglio.cli.export import export
from intaglio.cli.map import map_command
from intaglio.cli.quantize import quantize_command
from intaglio.cli.run import run
from intaglio.cli.verify import verify_command
from intaglio.cli.verilog import verilog
from intaglio.errors import InputError

app = typer.Typer(
    name="intaglio",
    help="Integer MAC-array accelerators for quantized networks: generated, scheduled, and simulated exactly to the "
    "bit and the cycle.",
    no_args_is_help=True,
    add_completion=False,
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
app.command("verilog")(verilog)
app.command("export")(export)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"intaglio {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Integer MAC-array accelerators for quantized networks: generated, scheduled, and simulated exactly."""


def main() -> None:
    """The entry point. Exit status: 0 done, 1 a difference found by verify or a refusal by check, 2 bad input, 130 interrupted."""
    try:
        app()
    except InputError as error:
        print(f"intaglio: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("intaglio: interrupted", file=sys.stderr)
        sys.exit(130)
