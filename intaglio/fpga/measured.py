"""The clock that a routed design reached, as its configuration keeps it; and whether the RTL is still what was routed."""

from __future__ import annotations

import dataclasses
import hashlib
import re

from intaglio.errors import InputError
from intaglio.fpga.synth import Synthesis
from intaglio.fpga.tools import Tell
from intaglio.hw.target import target_of
from intaglio.hw.verilog import emit_rtlil
from intaglio.machine.clock import FIELD, MeasuredClock
from intaglio.machine.config import Config
from intaglio.machine.config_files import config_from_text
from intaglio.unique_keys import yaml_of

_OLD = re.compile(rf"^(?:clock_mhz|{FIELD})[ \t]*:.*\n?(?:[ \t]+\S.*\n?|[ \t]*\n(?=[ \t]+\S))*", re.MULTILINE)
"""Fields that the section takes the place of, with their indented lines."""


def rtl_hash(config: Config) -> str:
    """16 hexadecimal digits of the accelerator's RTLIL for its chip, from which Verilog and netlists are made: seconds. It
    differs where another version builds other hardware of the same configuration, or the chip has multipliers of its own."""
    rtlil = emit_rtlil(config, target=target_of(config.chip))
    return hashlib.sha256(rtlil.encode()).hexdigest()[:16]


def measured_clock(config: Config, found: Synthesis) -> MeasuredClock | None:
    """The section for the configuration; None where nothing was routed, or the design does not fit."""
    if found.fmax_mhz is None or found.too_much:
        return None
    return MeasuredClock(
        mhz=round(found.fmax_mhz, 2),
        chip=found.chip.name,
        grade=found.grade,
        seeds=tuple(routed.seed for routed in found.routed),
        tools=(*found.tools, *(f"{seed.otherwise} for seed {seed.seed}" for seed in found.routed if seed.otherwise)),
        hardware=f"{config.hardware_hash():016x}",
        rtl=rtl_hash(dataclasses.replace(config, chip=found.chip.name)),
    )


def section(measured: MeasuredClock) -> str:
    """The section as YAML, ready to stand in a configuration file without a clock_mhz."""
    return yaml_of({FIELD: measured.to_dict()}, default_flow_style=None, width=120)


def with_clock(text: str, where: str, measured: MeasuredClock | None) -> str:
    """A configuration file's text with the section in place of what it said of a clock, all else as it was; for None without
    a section, where it has one the clock a plain number.

    where: the file's name. Raises InputError where the text is written in a way that hides the lines.
    """
    before = config_from_text(text, where)
    kept = _OLD.sub("", text)
    said = f"clock_mhz: {before.clock_mhz:g}\n" if measured is None else section(measured)
    written = kept + ("" if kept.endswith("\n") else "\n") + said
    mhz = before.clock_mhz if measured is None else measured.mhz
    meant = dataclasses.replace(before, clock_mhz=mhz, measured_clock=measured)
    try:
        right = config_from_text(written, where) == meant
    except InputError:
        right = False
    if not right:
        raise InputError(f"{where}: the clock's lines are not found in it; write {FIELD} by hand, as it is printed")
    return written


def still_measured(config: Config, tell: Tell) -> Config:
    """The configuration; without its measured clock where that does not hold for it, or is of other RTL than this version's for
    its chip, which is told."""
    if config.measured_clock is None:
        return config
    found = config.clock.measured
    if found is None:
        tell(f"{config.name}: the clock is assumed: {config.clock.why}")
    elif found.rtl == rtl_hash(config):
        return config
    else:
        if target_of(found.chip) == target_of(config.chip):
            why, remedy = "this version's RTL is not what", "`intaglio synth --route` measures it"
        else:
            why = f"the RTL for {config.chip or 'any chip'} is not that for {found.chip}, which"
            remedy = f"`chip: {found.chip}` makes that one"
        tell(f"{config.name}: {why} {FIELD} was measured of, so the clock is assumed; {remedy}")
    return dataclasses.replace(config, measured_clock=None)
