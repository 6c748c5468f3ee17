"""Runs a cocotb bench on one component of the hardware in Verilator; the compiled component is cached by its content."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from amaranth.lib import wiring
from cocotb_tools import config as cocotb_config
from cocotb_tools.runner import get_runner

from intaglio import cache
from intaglio.hw.verilog import component_rtlil, ports_of, to_flat
from intaglio.sim.rtl.build import emission
from intaglio.sim.rtl.runtime import keep_runtime, lay_runtime
from intaglio.sim.rtl.toolchain import verilator

SEED_VARIABLE = "INTAGLIO_COCOTB_SEED"
"""A run's seed as shown; without it each run draws one."""
PARAMETERS_VARIABLE = "INTAGLIO_COCOTB_PARAMETERS"
_TOP = "bench_top"
_FLAGS = [
    "--cc",
    "--exe",
    "--build",
    "--vpi",
    "--prefix",
    "Vtop",
    "--top-module",
    _TOP,
    "--timescale",
    "1ns/1ps",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-assert",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "-MAKEFLAGS",
    "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1",
]

_COCOTB = "cocotb"
"""A link in the folder that is compiled in: make takes no path with a space, such as a checkout's may be."""


def _flags() -> list[str]:
    return [*_FLAGS, "-LDFLAGS", f"-L../{_COCOTB}/{cocotb_config.libs_dir.name} -lcocotbvpi_verilator", "verilator.cpp"]


def built(component: wiring.Component) -> Path:
    """A folder with the component as a program that cocotb drives; its ports are what Python sees of it."""
    rtlil = component_rtlil(component, _TOP)
    ports = ["clk", "rst", *ports_of(component)]

    def make(scratch: Path) -> Path:
        program = _compiled(to_flat(rtlil), ports, scratch)
        (scratch / "bench").mkdir()
        return program.replace(scratch / "bench" / _TOP).parent

    return cache.made(f"{cache.key(rtlil, *ports, *emission(), *_tools())}.bench", make)


def _compiled(verilog: str, ports: list[str], folder: Path) -> Path:
    """The program made in `folder` of a module _TOP."""
    visible = "".join(f'public_flat_rw -module "{_TOP}" -var "{port}"\n' for port in ports)
    (folder / _COCOTB).symlink_to(cocotb_config.libs_dir.parent)
    shutil.copy(cocotb_config.share_dir / "lib" / "verilator" / "verilator.cpp", folder)
    (folder / "top.v").write_text(verilog)
    (folder / "ports.vlt").write_text(f"`verilator_config\n{visible}")
    objects = folder / "objects"
    runtime = lay_runtime(verilator(), _tools(), objects)
    out = ["--build-jobs", str(os.cpu_count() or 1), "--Mdir", objects.name, "-o", f"../{_TOP}"]
    given = [option for taken in runtime for option in ("-MAKEFLAGS", taken)]
    done = verilator().run([*_flags(), *given, *out, "ports.vlt", "top.v"], folder)
    program = folder / _TOP
    if done.returncode or not program.exists():
        raise RuntimeError(f"Verilator or g++ failed ({done.returncode}): {done.stdout[-3000:]}")
    keep_runtime(verilator(), _tools(), objects)
    return program


def _tools() -> list[str]:
    """What decides a program besides its Verilog."""
    return [verilator().version, version("cocotb"), *_flags()]


def run_bench(component: wiring.Component, bench: str, folder: Path, **parameters: Any) -> None:
    """Runs every cocotb test of the module `bench` on the component; what it finds fails the pytest test.

    folder: for results. parameters: plain values, which the bench gets from its side's `parameters()`.
    """
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbits(31))
    print(f"{bench}: {SEED_VARIABLE}={seed}")
    get_runner("verilator").test(
        test_module=bench,
        hdl_toplevel=_TOP,
        hdl_toplevel_lang="verilog",
        build_dir=built(component),
        test_dir=folder,
        seed=seed,
        extra_env={PARAMETERS_VARIABLE: json.dumps(parameters), "LD_LIBRARY_PATH": str(cocotb_config.libs_dir)},
    )


def parameters() -> dict[str, Any]:
    """In the simulator: what run_bench was given."""
    return json.loads(os.environ[PARAMETERS_VARIABLE])
