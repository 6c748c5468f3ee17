"""`intaglio verilog`: the accelerator as Verilog."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intaglio.cli.console import progress, report_terminal
from intaglio.cli.options import ConfigOption, SetOption, configuration
from intaglio.errors import InputError
from intaglio.files import check_writable, write_text
from intaglio.fpga.families import check_products
from intaglio.fpga.measured import still_measured
from intaglio.hw.target import built_for
from intaglio.hw.verilog import TOP
from intaglio.machine.chips import chip_of
from intaglio.sim.rtl.build import verilog_of


def verilog(
    folder: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="The folder; made if it is missing.", show_default=False),
    ],
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
) -> None:
    """Write the accelerator as Verilog, one module a block, and its configuration beside it."""
    settings = configuration(config, overrides)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder")
    design, fields = folder / f"{TOP}.v", folder / f"{TOP}.yaml"
    if folder.exists():
        check_writable(design)
        check_writable(fields)
    if settings.chip is not None:
        check_products(settings, chip_of(settings.chip))
    with progress() as tell:
        settings = still_measured(settings, tell.long)
        text = verilog_of(settings, tell.long)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from None
    write_text(design, text)
    write_text(fields, settings.to_yaml())
    terminal = report_terminal(None)
    terminal.line(
        f"{design}: module {TOP}, {settings.rows}x{settings.cols}, {settings.on_chip_bytes} bytes on chip, "
        f"configuration {settings.hardware_hash():016x}. {built_for(settings.chip)}"
    )
    terminal.line(f"{fields}: its configuration")
