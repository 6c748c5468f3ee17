"""A mapped design placed and routed by nextpnr, a seed at a time, each kept."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from intaglio import cache
from intaglio.errors import InputError
from intaglio.fpga.estimate import Path
from intaglio.fpga.families import FAMILIES, Family, Router
from intaglio.fpga.tools import Tell, Tool, nextpnr
from intaglio.machine.chips import Chip

TARGET_MHZ = 100
"""The clock that the router is asked for. It goes on beyond what it reaches."""
FEW = 0.001
TURNS = 3000
"""router1 is given up that turns about its last wires, a share FEW of all, for TURNS more: it can for hours, a minute for a hundred of
them. router2 ends in minutes, with a slower clock (76.9 MHz of edge64's seed 2, of which seeds 1 and 3 reach 98.7 and 97.1)."""
_ROUTER = "router"
"""Added to a report: the router that made it, where the tool's own did not."""
_ARCS = re.compile(r"Routing (\d+) arcs")
_TURN = re.compile(r"^Info: +(\d+) \|[^|]*\|[^|]*\| +(\d+)\|")
_STATES = (
    (re.compile(r"at (?:initial placer iter|iteration #)"), "placing"),
    (_ARCS, "routing, {0:,} wires to go"),
    (_TURN, "routing, {1:,} wires to go"),
    (re.compile(r"iter=\d+ wires=\d+ overused=(\d+)"), "routing, {0:,} wires shared"),
)
"""Lines of nextpnr's placer and of its two routers, and what they tell. _TURN: router1's turns so far, and the wires to go."""


@dataclass(frozen=True)
class Hop:
    """A part of a path: through a cell (`logic`, clock to output and setup too) or along a net (`routing`)."""

    kind: str
    cell: str
    net: str | None
    delay_ns: float


@dataclass(frozen=True)
class Routed:
    """A seed's result. used: a resource's units in use, the shim's included. path: the slowest one between
    registers. otherwise: the router that had to go on where the tool's own got no further; None of its own. slowest: the path as
    signals of the RTL, where the netlist was there to tell."""

    seed: int
    fmax_mhz: float
    used: dict[str, float]
    path: list[Hop]
    otherwise: str | None = None
    slowest: Path | None = None


def router_of(family: Family, needed: bool) -> Tool | None:
    """The tool that routes for the family. Where there is none, or it is not installed, InputError if it is needed,
    else None."""
    if family.router is None:
        if needed:
            raise InputError(f"{family.name}: no open tool routes for this family; leave --route out for its counts")
        return None
    try:
        return nextpnr(family.router.program)
    except InputError:
        if needed:
            raise
        return None


def packed(netlist: File, chip: Chip, family: Family, tool: Tool) -> dict[str, float]:
    """Units that the design takes of the chip as it is packed, before it is placed, the shim included. Nothing of a family whose
    netlists tell as much.

    Raises ToolError where the tool fails, as it may where the design does not fit.
    """
    assert family.router is not None
    router = family.router
    if not router.used:
        return {}

    def make(scratch: File) -> File:
        return _run(tool, router, netlist, chip, chip.grades[0], ["--pack-only"], scratch)

    return _used(router, _cached("packed", netlist, tool, chip, chip.grades[0], make))


def route(
    netlist: File, chip: Chip, family: Family, tool: Tool, grade: str, seed: int, tell: Tell, watch: Tell | None = None
) -> Routed:
    """The design placed and routed with that seed, from the cache if it has been: by nextpnr's own choice of a router,
    whose clocks are faster, unless that turns about its last wires. watch: told of what the router is at.

    Raises ToolError where the tool fails, as it does where the design does not fit.
    """
    assert family.router is not None
    router = family.router
    options = ["--freq", str(TARGET_MHZ), "--timing-allow-fail", "--seed", str(seed)]

    what = f"seed {seed} on {chip.name}"

    def make(scratch: File) -> File:
        tell(f"placing and routing on {chip.name}, seed {seed}, with {tool.version} (minutes)")
        try:
            return _run(
                tool, router, netlist, chip, grade, options, scratch, _Watch(what, watch, bool(router.otherwise))
            )
        except _Stalled:
            other = router.otherwise[-1]
            tell(f"{what}: the router turns about its last wires; {other} routes in its place")
            more = [*options, *router.otherwise]
            result = _run(tool, router, netlist, chip, grade, more, scratch, _Watch(what, watch, False))
            result.write_text(json.dumps({**json.loads(result.read_text()), _ROUTER: other}))
            return result

    report = _cached(f"routed {seed} at {TARGET_MHZ}", netlist, tool, chip, grade, make)
    clocks = report["fmax"]
    fmax = min(clock["achieved"] for clock in clocks.values())
    return Routed(seed, fmax, _used(router, report), _path(report), report.get(_ROUTER))


class _Stalled(Exception):
    """The router has got no further for as long as it may."""


class _Watch:
    """A reader of what nextpnr says, line by line: tells of it, and raises _Stalled if it may. It counts the router's turns, not time:
    what a seed comes to is the same on any machine."""

    def __init__(self, what: str, tell: Tell | None, may_stall: bool):
        self._what, self._tell, self._may_stall = what, tell, may_stall
        self._arcs, self._few_since = 0, math.inf

    def __call__(self, line: str) -> None:
        if self._tell is not None and (state := router_state(line)):
            self._tell(f"{self._what}: {state}")
        if arcs := _ARCS.search(line):
            self._arcs = int(arcs[1])
        if turn := _TURN.search(line):
            turns, left = map(int, turn.groups())
            self._arcs = self._arcs or left + turns
            if left <= FEW * self._arcs:
                self._few_since = min(self._few_since, turns)
            if self._may_stall and turns >= self._few_since + TURNS:
                raise _Stalled


def router_state(line: str) -> str | None:
    """The state that nextpnr is in, by a line of what it says; None of a line that does not tell."""
    for pattern, state in _STATES:
        if found := pattern.search(line):
            return state.format(*map(int, found.groups()))
    return None


def _run(
    tool: Tool,
    router: Router,
    netlist: File,
    chip: Chip,
    grade: str,
    options: list[str],
    scratch: File,
    watch: _Watch | None = None,
) -> File:
    (scratch / "netlist.json").write_bytes(netlist.read_bytes())
    for name, text in router.files.items():
        (scratch / name).write_text(text, encoding="utf-8")
    result = scratch / "report.json"
    speed = ["--speed", grade] if len(chip.grades) > 1 else []
    given = ["--json", "netlist.json", "--report", result.name, *chip.device, *speed, *router.options]
    tool.run([*given, *options], result, watch)
    return result


def _cached(what: str, netlist: File, tool: Tool, chip: Chip, grade: str, make: Any) -> dict[str, Any]:
    router = FAMILIES[chip.family].router
    assert router is not None
    way = [tool.version, chip.name, *chip.device, grade, *router.options, *router.files.values()]
    report: dict[str, Any] = json.loads(
        cache.made(f"{cache.key(what, cache.content_hash(netlist), *way)}.json", make).read_text(encoding="utf-8")
    )
    return report


def _used(router: Router, report: dict[str, Any]) -> dict[str, float]:
    there = report.get("utilization", {})
    return {
        resource: float(sum(units * there[name]["used"] for name, units in names.items() if name in there))
        for resource, names in router.used.items()
    }


def _path(report: dict[str, Any]) -> list[Hop]:
    """The slowest path from a register to a register of the same clock."""
    inside: list[list[dict[str, Any]]] = [p["path"] for p in report["critical_paths"] if p["from"] == p["to"]]
    longest = max(inside, key=lambda hops: sum(hop["delay"] for hop in hops), default=[])
    return [Hop(hop["type"], hop["to"]["cell"], hop.get("net"), hop["delay"]) for hop in longest]
