"""Origin of a configuration's clock: measured by placing and routing that very hardware, or assumed."""

from __future__ import annotations

import dataclasses
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intaglio.errors import InputError

FIELD = "measured_clock"
"""The configuration's field."""
_HASH = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class MeasuredClock:
    """A clock that hardware reached after routing.

    mhz: the median of the seeds. chip, grade: as `intaglio synth` names them. seeds: the router's. tools: the programs, with
    versions. hardware: Config.hardware_hash of what was routed, rtl: the hash of its RTLIL (fpga.measured.rtl_hash),
    both as 16 hexadecimal digits.
    """

    mhz: float
    chip: str
    grade: str
    seeds: tuple[int, ...]
    tools: tuple[str, ...]
    hardware: str
    rtl: str

    def __post_init__(self) -> None:
        if isinstance(self.mhz, bool) or not isinstance(self.mhz, int | float) or not 0 < self.mhz <= 10000:
            _refuse("mhz", self.mhz, "a number above 0, at most 10000")
        for name in ("chip", "grade"):
            _text(name, getattr(self, name))
        if not _filled(self.seeds) or any(not isinstance(s, int) or isinstance(s, bool) or s < 0 for s in self.seeds):
            _refuse("seeds", self.seeds, "a list of the router's seeds, whole numbers, at least one")
        if not _filled(self.tools):
            _refuse("tools", self.tools, "a list of programs with versions, at least one")
        for tool in self.tools:
            _text("tools", tool)
        for name in ("hardware", "rtl"):
            value = getattr(self, name)
            if not isinstance(value, str) or not _HASH.fullmatch(value):
                _refuse(name, value, "16 hexadecimal digits in quotes")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in YAML."""
        return {**dataclasses.asdict(self), "seeds": list(self.seeds), "tools": list(self.tools)}


def measured_clock_of(data: object) -> MeasuredClock | None:
    """The field's value from plain ones. InputError names the part, its value and what is allowed."""
    if data is None or isinstance(data, MeasuredClock):
        return data
    names = [field.name for field in dataclasses.fields(MeasuredClock)]
    if not isinstance(data, Mapping) or set(data) != set(names):
        raise InputError(
            f"configuration field {FIELD} = {reprlib.repr(data)}: must be a mapping of {', '.join(names)}, "
            f"as `intaglio synth --route` prints it (the clock of routed hardware), or be left out"
        )
    values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in data.items()}
    return MeasuredClock(**values)


def _filled(value: object) -> bool:
    return isinstance(value, tuple) and bool(value)


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        _refuse(name, value, "text, in quotes where it is a number")


def _refuse(name: str, value: object, allowed: str) -> None:
    raise InputError(
        f"configuration field {FIELD}.{name} = {reprlib.repr(value)}: must be {allowed} "
        f"(`intaglio synth --route` prints the section)"
    )


@dataclass(frozen=True)
class Clock:
    """A clock with its origin. measured: None for one that is assumed. why: of an assumed one, the reason that what was
    measured does not hold; "" where nothing was."""

    mhz: float
    measured: MeasuredClock | None
    why: str = ""

    def __str__(self) -> str:
        return clock_text(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The documents' `clock`."""
        found = self.measured
        return {
            "mhz": self.mhz,
            "source": "assumed" if found is None else "measured",
            "chip": found and found.chip,
            "grade": found and found.grade,
            "seeds": found and list(found.seeds),
            "tools": found and list(found.tools),
            "why": self.why,
        }


def clock_text(clock: Mapping[str, Any]) -> str:
    """A clock for a person, from Clock.to_dict: "200 MHz (assumed)"."""
    if clock["source"] == "assumed":
        why = f": {clock['why']}" if clock["why"] else ""
        return f"{clock['mhz']:g} MHz (assumed{why})"
    seeds = clock["seeds"]
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"median of seeds {', '.join(map(str, seeds))}"
    return f"{clock['mhz']:g} MHz (measured: {clock['chip']}, grade {clock['grade']}, {which}, {', '.join(clock['tools'])})"


def clock_of(mhz: float, measured: MeasuredClock | None, hardware: str, chip: str | None) -> Clock:
    """The origin of a clock of `mhz` of the hardware of that hash (16 hexadecimal digits), on that chip, None for any."""
    if measured is None:
        return Clock(mhz, None)
    if measured.hardware != hardware:
        return Clock(mhz, None, f"{measured.mhz:g} MHz was measured of other hardware, {measured.hardware}")
    if chip is not None and chip.lower() != measured.chip.lower():
        return Clock(mhz, None, f"{measured.mhz:g} MHz was measured on another chip, {measured.chip}")
    if measured.mhz != mhz:
        return Clock(mhz, None, f"{measured.mhz:g} MHz was measured")
    return Clock(mhz, measured)
