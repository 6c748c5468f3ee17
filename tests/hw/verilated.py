"""A component of the hardware in Verilator that takes one set of inputs a cycle from arrays, at a million a second or more."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache as memoized
from pathlib import Path

import numpy as np
from amaranth.hdl import Value
from amaranth.lib import wiring

from intaglio import cache
from intaglio.hw.mult18x18d import MODEL
from intaglio.hw.target import PORTABLE
from intaglio.hw.verilog import component_rtlil, ports_of, to_flat
from intaglio.sim.rtl.build import emission
from intaglio.sim.rtl.pieces import build_model
from intaglio.sim.rtl.toolchain import verilator

_TOP = "pipeline_top"
_FLAGS = [
    "--cc",
    "--exe",
    "--top-module",
    _TOP,
    "-O3",
    "--no-timing",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "-CFLAGS",
    "-fPIC",
    "-LDFLAGS",
    "-shared",
]


class Pipeline:
    """component: plain ports of up to 64 bits, no handshake, one element a cycle. target: hw/target.py's."""

    def __init__(self, component: wiring.Component, target: str = PORTABLE):
        ports: dict[str, Value] = {name: value for name, (value, _) in ports_of(component).items()}
        self.inputs = [name for name, member in component.signature.members.items() if member.flow == wiring.In]
        (self.output,) = [name for name in ports if name not in self.inputs]
        self._masks = {name: (1 << len(value)) - 1 for name, value in ports.items()}
        self._c = ctypes.CDLL(str(_library(component_rtlil(component, _TOP, target), tuple(self.inputs), self.output)))

    def run(self, values: Mapping[str, np.ndarray], latency: int) -> np.ndarray:
        """What `output`, unsigned, shows `latency` cycles after each element. values: for each input, int64 [count]."""
        columns = [np.ascontiguousarray(values[name] & self._masks[name], np.int64) for name in self.inputs]
        count = columns[0].size
        assert all(column.shape == (count,) for column in columns)
        out = np.empty(count, np.int64)
        pointers = (ctypes.c_void_p * len(columns))(*(column.ctypes.data for column in columns))
        self._c.run(ctypes.c_int64(count), ctypes.c_int64(latency), pointers, ctypes.c_void_p(out.ctypes.data))
        return out


@memoized
def _library(rtlil: str, inputs: tuple[str, ...], output: str) -> Path:
    sets = "\n".join(f"        if (i < count) top.{name} = in[{k}][i];" for k, name in enumerate(inputs))
    driver = f"""
#include <cstdint>
#include "Vtop.h"
extern "C" void run(int64_t count, int64_t latency, const int64_t* const* in, int64_t* out) {{
    VerilatedContext context;
    Vtop top{{&context}};
    for (int64_t i = 0; i < count + latency; i++) {{
        top.clk = 0;
{sets}
        top.eval();
        if (i >= latency) out[i - latency] = top.{output};
        top.clk = 1;
        top.eval();
    }}
}}
"""

    def make(scratch: Path) -> Path:
        (scratch / "top.v").write_text(to_flat(rtlil) + MODEL)
        (scratch / "driver.cpp").write_text(driver)
        done = build_model(verilator(), _FLAGS, "Vtop", ("top.v", "driver.cpp"), "libtop.so", 1, scratch)
        result = scratch / "build" / "libtop.so"
        if done.returncode or not result.exists():
            raise RuntimeError(f"Verilator or g++ failed ({done.returncode}): {done.stdout[-3000:]}")
        return result

    return cache.made(f"{cache.key(rtlil, driver, *emission(), *_FLAGS, verilator().version)}.pipeline.so", make)
