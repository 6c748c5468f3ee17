"""Options that several commands share, and how they are read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.power_model import shipped_tables


class EngineName(StrEnum):
    """The engine that runs a Program."""

    host = "host"
    rtl = "rtl"


class ObjectiveName(StrEnum):
    """The measure by which a schedule is chosen."""

    cycles = "cycles"
    energy = "energy"
    edp = "edp"


ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A network quantized to int8 or uint8, a .tflite or .onnx file.", show_default=False
    ),
]
ConfigOption = Annotated[
    str,
    typer.Option("--config", metavar="CONFIG", help="A YAML file, or a shipped configuration (`intaglio configs`)."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Override a field of the configuration, as often as needed; dotted, as memory.latency=9 is. Where rows, cols or "
        "requantizers of a shipped one change, feed_bytes and partial_bytes follow unless they are set too.",
        show_default=False,
    ),
]
TABLE_HELP = f"Energies: a YAML file, or a shipped table ({', '.join(shipped_tables())})."
WHOLE = "The file is written whole or not at all."


def given(context: typer.Context) -> set[str]:
    """Names of the parameters that stand on the command line, whatever their values."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def configuration(config: str, overrides: list[str] | None) -> Config:
    """The configuration of --config and --set."""
    return load_config(config, overrides or ())
