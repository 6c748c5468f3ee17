"""README.md of an export: what a person needs who starts with the files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from intaglio.analysis.layers import LayerFigures, Totals
from intaglio.export.c_network import all_described, described, layout
from intaglio.export.c_text import LONGEST_CLOCK, comment_text, float_literal
from intaglio.export.edges import Edges, Moved, Step
from intaglio.export.templates import fill
from intaglio.hw.target import built_for
from intaglio.hw.verilog import TOP
from intaglio.machine.faults import Fault
from intaglio.machine.limits import DEFAULT_WATCHDOG
from intaglio.machine.registers import FAULT_MEANINGS
from intaglio.session import Session
from intaglio.version import __version__

_TOP = re.compile(rf"^module {TOP} \((.*?)^\);$", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"^  (?:input|output) \w+ (?:\[(\d+):0\] )?(\w+),?$", re.MULTILINE)
LONGEST_NOTE = 1000
_RESETS = {
    "rst": "`rst` is synchronous, active high, for at least one edge",
    "aresetn": "`aresetn` is AXI's reset, active low; it begins at once and is released within, two edges later",
}
_TRACING = ("counting", "retire", "tags")


def readme(
    model: str, session: Session, edges: Edges, layers: Sequence[LayerFigures], summary: Totals, verilog: str
) -> str:
    config, program = session.config, session.program
    return fill(
        "README.md.in",
        network=comment_text(program.network),
        model=comment_text(model),
        configuration=comment_text(config.name),
        intaglio_version=__version__,
        hash=f"{program.config_hash:016x}",
        rows=config.rows,
        cols=config.cols,
        on_chip=config.on_chip_bytes,
        bus_bits=8 * config.bus_bytes,
        bus_bytes=config.bus_bytes,
        outstanding=config.memory.outstanding,
        latency=config.memory.latency,
        rate=config.memory.bytes_per_cycle,
        rate_at_clock=f"{config.clock_mhz * 1e6 / summary.cycles:,.1f}",
        clock=comment_text(str(config.clock), LONGEST_CLOCK),
        cycles=f"{summary.cycles:,}",
        counted="`intaglio_cycles`" if config.counters else "not counted: `counters` is false",
        image_bytes=f"{len(program.image):,}",
        memory_bytes=f"{program.memory_bytes:,}",
        watchdog=f"{DEFAULT_WATCHDOG:,}",
        built_for=built_for(config.chip),
        reset=_RESETS[config.reset],
        cache=config.axi_cache,
        order=" A burst's words come after its address." if config.write_after_address else "",
        instance=instance(verilog),
        moved="\n".join(
            [_row("input", moved) for moved in edges.inputs] + [_row("output", moved) for moved in edges.outputs]
        ),
        steps=_steps(edges),
        notes="".join(f"\n* {comment_text(note, LONGEST_NOTE)}" for note in session.graph.notes),
        faults="\n".join(f"| {int(f)} | `INTAGLIO_ERROR_{f.name}` | {FAULT_MEANINGS[f]} |" for f in Fault),
        layers="\n".join(
            f"| {comment_text(layer.name)} | {comment_text(layer.op)} | {'host' if layer.cycles is None else f'{layer.cycles:,}'} |"
            for layer in layers
        ),
    )


def instance(verilog: str) -> str:
    """An instance of the module with every port: those that a system connects to a wire of the port's name, with a
    declaration; those for tracing are left open."""
    top = _TOP.search(verilog)
    wires = {name: int(most or 0) + 1 for most, name in _PORT.findall(top[1])} if top else {}
    lines = [
        f"wire {f'[{width - 1}:0] ' if width > 1 else ''}{name};"
        for name, width in wires.items()
        if name not in _TRACING
    ]
    pins = [f"    .{name}({'' if name in _TRACING else name})" for name in wires]
    return "\n".join(lines) + f"\n\n{TOP} accelerator (\n" + ",\n".join(pins) + "\n);"


def _row(role: str, moved: Moved) -> str:
    tensor, place = moved.tensor, moved.place
    assert tensor.scale is not None
    return (
        f"| {role} | {described(tensor)} | {place.offset} | {layout(moved)} | "
        f"{tensor.scale:.9g} (`{float_literal(tensor.scale)}`) | {tensor.zero_point} |"
    )


def _steps(edges: Edges) -> str:
    rows = [_step("before", step) for step in edges.before] + [_step("after", step) for step in edges.after]
    if not rows:
        return "None: the whole network runs on the accelerator."
    return "\n".join(["| when | operator | from | to | function |", "|---|---|---|---|---|", *rows])


def _step(when: str, step: Step) -> str:
    function = f"`{step.function}`" if step.function else "left to you"
    kind = comment_text(step.op.kind)
    return f"| {when} | {kind} | {all_described(step.sources)} | {all_described(step.targets)} | {function} |"
