"""The answer of `synth`: its JSON document, and the same for a person."""

from __future__ import annotations

import dataclasses
from typing import Any

from intaglio import extras
from intaglio.fpga.blocks import Taken
from intaglio.fpga.estimate import Path
from intaglio.fpga.measured import section
from intaglio.fpga.route import TARGET_MHZ, Routed
from intaglio.fpga.synth import Synthesis
from intaglio.machine.chips import RESOURCES
from intaglio.machine.clock import MeasuredClock
from intaglio.machine.config import Config
from intaglio.report.table import Column, Kind, Table
from intaglio.report.terminal import Terminal
from intaglio.schema import SCHEMA_VERSION
from intaglio.version import __version__

_SHOWN_DEPTH = 2
"""Blocks inside of so many others are shown; the document has all."""


def synth_document(config: Config, found: Synthesis, measured: MeasuredClock | None) -> dict[str, Any]:
    """intaglio/schemas/synth.json. measured: fpga.measured.measured_clock's."""
    return {
        "schema_version": SCHEMA_VERSION,
        "intaglio_version": __version__,
        "config": config.to_dict(),
        "hash": f"{config.hardware_hash():016x}",
        "chip": {"name": found.chip.name, "title": found.chip.title, "grade": found.grade},
        "tool": list(found.tools),
        "seeds": [_seed(routed) for routed in found.routed],
        "target_mhz": TARGET_MHZ if found.routed else None,
        "fmax_mhz": found.fmax_mhz,
        "measured_clock": None if measured is None else measured.to_dict(),
        "estimate_mhz": found.estimate_mhz,
        "fits": not found.too_much,
        "placed": found.placed,
        "resources": {
            resource: {"used": found.used[resource], "available": found.chip.available[resource]}
            for resource in RESOURCES
        },
        "blocks": [{"name": name, **taken} for name, taken in found.blocks.items()],
        "paths": [_path(path) for path in found.paths],
    }


def _path(path: Path) -> dict[str, Any]:
    return {"from": path.source, "to": path.target, "delay_ns": path.delay_ns, "levels": path.levels}


def _seed(routed: Routed) -> dict[str, Any]:
    return {
        "seed": routed.seed,
        "fmax_mhz": routed.fmax_mhz,
        "router": routed.otherwise,
        "slowest": None if routed.slowest is None else _path(routed.slowest),
        "path": [dataclasses.asdict(hop) for hop in routed.path],
    }


def print_synth(out: Terminal, config: Config, found: Synthesis, measured: MeasuredClock | None) -> None:
    """The document, for a person."""
    out.line(f"{config.name} ({config.rows}x{config.cols}) on {found.chip.title}, grade {found.grade}", bold=True)
    out.line(f"by {', '.join(found.tools)}")
    _print_resources(out, found)
    _print_blocks(out, found)
    _print_clock(out, found)
    if measured is not None:
        out.line("for the configuration's file, in place of its clock_mhz (--write-config writes one):")
        if config.chip != found.chip.name:
            out.line(f"chip: {found.chip.name}")
        for line in section(measured).splitlines():
            out.line(line)
    if found.too_much:
        lacking = ", ".join(f"{found.used[r]:,.6g} {r} of {found.chip.available[r]:,.6g}" for r in found.too_much)
        out.line(f"DOES NOT FIT: {lacking}.")


def _print_resources(out: Terminal, found: Synthesis) -> None:
    table = Table([Column("", Kind.WORD), Column("used"), Column("chip has"), Column("share")])
    for resource in RESOURCES:
        used, available = found.used[resource], found.chip.available[resource]
        share = f"{100 * used / available:.1f} %" if available else ""
        table.add(resource, f"{used:,.6g}", f"{available:,.6g}", share)
    out.table(table)
    if not found.placed:
        remedy = "" if found.too_much else f"; {extras.install('fpga')} installs it"
        out.line(f"COUNTS OF CELLS, not of what nextpnr places (of an ECP5's lut some 10 % more){remedy}")


def _print_blocks(out: Terminal, found: Synthesis) -> None:
    columns = [Column(resource, leave=leave) for resource, leave in zip(RESOURCES, (0, 4, 3, 2, 1), strict=True)]
    table = Table([Column("block", Kind.NAME), *columns])
    for name, taken in found.blocks.items():
        if name and name.count(".") < _SHOWN_DEPTH and _anything(taken):
            table.add(name, *(f"{taken[resource]:,.6g}" for resource in RESOURCES))
    out.table(table)


def _anything(taken: Taken) -> bool:
    return any(taken.values())


def _print_clock(out: Terminal, found: Synthesis) -> None:
    if found.estimate_mhz is not None:
        grade = found.chip.grades[0]
        at = "" if found.grade == grade else f" at grade {grade}"
        out.line(f"estimated before routing{at}: {found.estimate_mhz:.1f} MHz; slowest paths:")
        table = Table([Column("ns"), Column("cells"), Column("from", Kind.NAME), Column("to", Kind.NAME)])
        for path in found.paths:
            table.add(f"{path.delay_ns:.2f}", str(path.levels), path.source, path.target)
        out.table(table)
    if found.fmax_mhz is not None:
        seeds = ", ".join(
            f"{routed.fmax_mhz:.1f} (seed {routed.seed}{f', {routed.otherwise}' if routed.otherwise else ''})"
            for routed in found.routed
        )
        table = Table(
            [Column("seed"), Column("MHz"), Column("cells"), Column("from", Kind.NAME), Column("to", Kind.NAME)]
        )
        for routed in found.routed:
            if (slowest := routed.slowest) is not None:
                table.add(
                    str(routed.seed), f"{routed.fmax_mhz:.1f}", str(slowest.levels), slowest.source, slowest.target
                )
        out.line("slowest paths once routed:")
        out.table(table)
        out.line(f"routed: {found.fmax_mhz:.1f} MHz, the median of {seeds}, asked for {TARGET_MHZ} MHz")
    else:
        out.line(
            "not routed: no clock was measured" + ("" if found.estimate_mhz is None else ", the above is an estimate")
        )
