"""Verilog of an accelerator: the same text for the same configuration, on every machine."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Value, ValueCastable
from amaranth.hdl._ir import PortDirection  # what rtlil.convert takes; amaranth.lib has no other way to name ports
from amaranth.lib import wiring

from intaglio.hw.accelerator import Accelerator
from intaglio.hw.mult18x18d import MODEL
from intaglio.hw.names import plain_names
from intaglio.hw.ram import Collision
from intaglio.hw.rtlil_widths import rewrite
from intaglio.hw.signal_names import named_by_source
from intaglio.hw.target import ECP5, PORTABLE, built_for, target_of
from intaglio.hw.verilog_text import ansi, tidy
from intaglio.hw.yosys import run_yosys
from intaglio.machine.config import INSTRUCTION_SET, Config

TOP = "intaglio"
_UNDEFINED = (f'attribute \\intaglio.collision "{Collision.UNDEFINED.value}"', 'attribute \\syn_ramstyle "no_rw_check"')
"""A memory's attribute (hw.ram), and what tells synthesis so: Synplify's, which Yosys, Gowin and Lattice read too."""
_CLEAN = "opt_expr; opt_clean; opt_dff; wreduce t:$mul t:$add t:$sub; opt_clean"


def ports_of(component: wiring.Component) -> dict[str, Any]:
    """The component's ports by their names in Verilog: path joined with one underscore (m_axi_awaddr)."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        value = value.as_value() if isinstance(value, ValueCastable) else value
        assert isinstance(value, Value)
        direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
        ports["_".join(str(p) for p in path)] = (value, direction)
    return ports


def emit_rtlil(config: Config, core: Any = None, name: str = TOP, target: str = PORTABLE) -> str:
    """RTLIL of Accelerator(config, core), unoptimized; clock `clk`, synchronous reset `rst`."""
    return component_rtlil(Accelerator(config, core), name, target)


def emit_verilog(config: Config, core: Any = None, name: str = TOP) -> str:
    """Verilog of Accelerator(config, core) for people and synthesis: one module a block, for the configuration's chip."""
    target = target_of(config.chip)
    return to_modules(emit_rtlil(config, core, name, target), name) + (MODEL if target == ECP5 else "")


def header(config: Config) -> str:
    """Comments for the Verilog of `config`: the configuration's hash, as the hardware shows it, and its fields."""
    lines = [
        f"Intaglio accelerator, configuration {config.hardware_hash():016x}; registers and commands of version {INSTRUCTION_SET}.",
        f"Top module: {TOP}. A module is named by its block's path: {TOP}_core_pool is the block `pool` in the block `core`.",
        built_for(config.chip),
        "",
        # A line each, whatever a text in it is: no line begins with words that a tool would take for its own.
        *(f"{name}: {json.dumps(value)}" for name, value in config.to_dict().items()),
    ]
    return "".join(f"// {line}".rstrip() + "\n" for line in lines) + "\n"


def emit_flat(config: Config, core: Any = None, name: str = TOP) -> str:
    """Verilog of Accelerator(config, core) for Verilator: one flat module."""
    return to_flat(emit_rtlil(config, core, name))


def component_rtlil(component: wiring.Component, name: str, target: str = PORTABLE) -> str:
    ports = ports_of(component)

    def domain(name: str) -> ClockDomain:
        # One that has a port for its reset takes it as any other signal.
        return ClockDomain(name, reset_less="rst" in ports)

    with _no_collection(), named_by_source():
        text = rtlil.convert(component, name, target, ports=ports, emit_src=False, missing_domain=domain)
    return str(text)


def to_flat(text: str) -> str:
    """RTLIL made into one flat module with one `always` block a kind of register, which Verilator compiles fast, and
    with operands that linters let pass (see rtlil_widths).

    Raises RuntimeError with Yosys's message where it fails.
    """
    flat = rewrite(run_yosys(text, f"proc; flatten; {_CLEAN}; write_rtlil out"))
    return tidy(run_yosys(flat, "write_verilog out"))


def to_modules(text: str, top: str) -> str:
    """RTLIL made into a module for each block, named by its path from `top` (intaglio_core_array_path_array), with plain
    identifiers, ports in the header, operands that linters let pass (see rtlil_widths), and memories without old data at a
    collision where nothing relies on it.

    Raises RuntimeError with Yosys's message where it fails.
    """
    cleaned = run_yosys(text.replace(*_UNDEFINED), f"proc; {_CLEAN}; write_rtlil out")
    return ansi(tidy(run_yosys(plain_names(rewrite(cleaned), top), "write_verilog out")))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the collector of cyclic garbage: Amaranth makes millions of small objects that live to the end, and
    walking them again and again takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
