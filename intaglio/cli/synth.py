"""`intaglio synth`: the accelerator on a chip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from intaglio.cli.console import check_targets, progress, report_terminal, tell_written, write_json
from intaglio.cli.options import WHOLE, ConfigOption, SetOption, configuration
from intaglio.errors import InputError
from intaglio.files import write_text
from intaglio.fpga.measured import measured_clock
from intaglio.fpga.synth import synth
from intaglio.machine.chips import CHIPS, chip_of, grade_of
from intaglio.machine.config import Config
from intaglio.report.synth import print_synth, synth_document

_SEEDS, _MOST_SEEDS = 3, 100


def synth_command(
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
    chip: Annotated[
        str | None,
        typer.Option(
            "--chip",
            metavar="CHIP",
            help=f"One of {', '.join(CHIPS)}; the configuration's `chip` if not given.",
            show_default=False,
        ),
    ] = None,
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
        int | None,
        typer.Option(
            "--seeds",
            metavar="N",
            help=f"With --route: how many seeds, 1 to N, {_SEEDS} if not given; the clock is their median.",
            show_default=False,
        ),
    ] = None,
    write_config: Annotated[
        Path | None,
        typer.Option(
            "--write-config",
            metavar="C.yaml",
            help=f"With --route: the configuration with the clock that was measured, and where. {WHOLE}",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="S.json|-", help=f"The same as JSON; - is standard output. {WHOLE}", show_default=False
        ),
    ] = None,
) -> None:
    """Synthesize the accelerator for a chip: what it takes, by block, and the clock that it reaches; exit 1 if it does
    not fit."""
    check_targets(json, write_config, inputs=[Path(config)])
    settings = configuration(config, overrides)
    part = chip_of(_named(chip, settings))
    speed = grade_of(part, grade)
    if seeds is not None and not route:
        raise InputError("--seeds: are the router's; give --route too")
    seeds = _SEEDS if seeds is None else seeds
    if not 1 <= seeds <= _MOST_SEEDS:
        raise InputError(f"--seeds {seeds}: give 1 to {_MOST_SEEDS}")
    if write_config is not None and not route:
        raise InputError("--write-config: writes a routed clock; give --route too")
    with progress() as tell:
        found = synth(settings, part, speed, range(1, seeds + 1) if route else (), tell.long, tell.step)
    measured = measured_clock(settings, found)
    write_json(json, synth_document(settings, found, measured))
    terminal = report_terminal(json)
    print_synth(terminal, settings, found, measured)
    kept = write_config if measured is not None else None
    if kept is not None and measured is not None:
        routed = replace(settings, chip=part.name, clock_mhz=measured.mhz, measured_clock=measured)
        write_text(kept, routed.to_yaml())
    tell_written(terminal, json, kept)
    if found.too_much:
        raise typer.Exit(1)


def _named(chip: str | None, settings: Config) -> str:
    """The chip's name, of --chip or the configuration."""
    named = settings.chip if chip is None else chip
    if named is None:
        raise InputError(f"--chip: {settings.name} names no chip; give one of {', '.join(CHIPS)}")
    return named
