"""`intaglio synth`: the accelerator on a chip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intaglio.cli.console import check_targets, progress, report_terminal, tell_written, write_json
from intaglio.cli.options import WHOLE, ConfigOption, SetOption, configuration
from intaglio.errors import InputError
from intaglio.fpga.chips import CHIPS, chip_of, grade_of
from intaglio.fpga.synth import synth
from intaglio.report.synth import print_synth, synth_document

_MOST_SEEDS = 100


def synth_command(
    chip: Annotated[
        str, typer.Option("--chip", metavar="CHIP", help=f"One of {', '.join(CHIPS)}.", show_default=False)
    ],
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
    grade: Annotated[
        str | None,
        typer.Option(
            "--grade",
            metavar="G",
            help="The chip's speed grade, as 6 of an ECP5's; its slowest if not given.",
            show_default=False,
        ),
    ] = None,
    route: Annotated[
        bool, typer.Option("--route", help="Place and route too, which takes minutes a seed: a measured clock.")
    ] = False,
    seeds: Annotated[
        int,
        typer.Option("--seeds", metavar="N", help="With --route: how many seeds, 1 to N; the clock is their median."),
    ] = 3,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="S.json|-", help=f"The same as JSON; - is standard output. {WHOLE}", show_default=False
        ),
    ] = None,
) -> None:
    """Synthesize the accelerator for a chip: what it takes, by block, and the clock that it reaches; exit 1 if it does
    not fit."""
    check_targets(json)
    settings, part = configuration(config, overrides), chip_of(chip)
    speed = grade_of(part, grade)
    if not 1 <= seeds <= _MOST_SEEDS:
        raise InputError(f"--seeds {seeds}: give 1 to {_MOST_SEEDS}")
    with progress() as tell:
        found = synth(settings, part, speed, range(1, seeds + 1) if route else (), tell.long)
    write_json(json, synth_document(settings, found))
    terminal = report_terminal(json)
    print_synth(terminal, settings, found)
    tell_written(terminal, json)
    if found.too_much:
        raise typer.Exit(1)
