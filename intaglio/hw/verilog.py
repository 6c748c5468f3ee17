"""Verilog of an accelerator: the same text for the same configuration, on every machine."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Value, ValueCastable
from amaranth.hdl._ir import PortDirection  # what rtlil.convert takes; amaranth.lib has no other way to name ports
from amaranth.lib import wiring

from intaglio.hw.accelerator import Accelerator
from intaglio.hw.rtlil_widths import rewrite
from intaglio.hw.yosys import run_yosys
from intaglio.machine.config import Config

TOP = "intaglio"
_PASSES = "proc; flatten; opt_expr; opt_clean; opt_dff; wreduce t:$mul t:$add t:$sub; opt_clean"


def ports_of(component: wiring.Component) -> dict[str, Any]:
    """The component's ports by their names in Verilog: path joined with one underscore (m_axi_awaddr)."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        value = value.as_value() if isinstance(value, ValueCastable) else value
        assert isinstance(value, Value)
        direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
        ports["_".join(str(p) for p in path)] = (value, direction)
    return ports


def emit_rtlil(config: Config, core: Any = None, name: str = TOP) -> str:
    """RTLIL of Accelerator(config, core), unoptimized; clock `clk`, synchronous reset `rst`."""
    return component_rtlil(Accelerator(config, core), name)


def emit_verilog(config: Config, core: Any = None, name: str = TOP) -> str:
    """Verilog of Accelerator(config, core): one flat module."""
    return to_verilog(emit_rtlil(config, core, name))


def component_rtlil(component: wiring.Component, name: str) -> str:
    with _no_collection():
        return str(rtlil.convert(component, name=name, ports=ports_of(component), emit_src=False, platform="verilog"))


def to_verilog(text: str) -> str:
    """RTLIL made into one flat module with one `always` block a kind of register, which Verilator compiles fast, and
    with operands that linters let pass (see rtlil_widths).

    Raises RuntimeError with Yosys's message where it fails.
    """
    flat = rewrite(run_yosys(text, f"{_PASSES}; write_rtlil out"))
    return _tidy(run_yosys(flat, "write_verilog out"))


_STATED = re.compile(
    r"^ *\(\* (?:full_case|generator|hdlname|init|top|unused_bits|\\intaglio\.\S+ ) = .* \*\)\n|\(\* full_case = \S+ \*\) ",
    re.MULTILINE,
)
"""Attributes that the tools or this package state for themselves; those for synthesis are all others (hw.ram,
hw.product)."""
_INITIALIZED = re.compile(r"^  reg (\[\d+:\d+\] )?(\S+ ) ?= (\S+);$", re.MULTILINE)
_LANE = re.compile(r"    if \((\\\S+ )\[(\d+)\]\)\n      (\\\S+ )\[(\S+ )\]\[(\d+):(\d+)\] <= (\S+ )\[(\d+):(\d+)\];\n")
_LANES = re.compile(rf"^  always @\(posedge clk\) begin\n((?:{_LANE.pattern}){{2,}})  end\n", re.MULTILINE)
_REPEATED = re.compile(r"(?<=\{ )([^\s,{}]+ ?(?:\[\d+\])?)((?:, \1(?=,))+)")


def _tidy(text: str) -> str:
    """Yosys's Verilog without attributes that are not for synthesis, the initial values of registers in `initial`
    statements, not in declarations (a linter wants a signal driven from one kind of place), and bits that repeat from a
    concatenation's start on as a replication, as in sign extensions: Verilator compiles those to shifts, the others bit
    by bit. The lanes of a memory's write port, such as its bytes, are a loop under one `if`: one test in a cycle
    without a write, and the form that synthesis tools document for byte enables."""
    text = _LANES.sub(_lanes_as_loop, _STATED.sub("", text))
    text = _INITIALIZED.sub(lambda m: f"  reg {m[1] or ''}{m[2]};\n  initial {m[2]}= {m[3]};", text)
    return _REPEATED.sub(lambda m: f"{{{m[2].count(', ') + 1}{{ {m[1].rstrip()} }}}}", text)


def _lanes_as_loop(block: re.Match[str]) -> str:
    """The block of a write port as a loop; as it is where its lanes are not all that they seem. Names are escaped
    ones."""
    lanes = _LANE.findall(block[1])
    enable, _, mem, address, high, _, value, *_ = lanes[0]
    width = int(high) + 1
    for i, lane in enumerate(lanes):
        span = (str(width * i + width - 1), str(width * i))
        if lane != (enable, str(i), mem, address, *span, value, *span):
            return block[0]
    part = f"[{width}*i +: {width}]"
    return (
        f"  always @(posedge clk)\n    if (| {enable}) begin : {mem.rstrip()}$lanes \n      integer i;\n"
        f"      for (i = 0; i < {len(lanes)}; i = i + 1)\n"
        f"        if ({enable}[i]) {mem}[{address}]{part} <= {value}{part};\n    end\n"
    )


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
