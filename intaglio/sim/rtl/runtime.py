"""Object files of Verilator's own sources, a third of what a model takes to compile and the same for every one."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from intaglio import cache
from intaglio.sim.rtl.toolchain import Verilator

_OBJECTS = "verilated*.o"


def lay_runtime(tool: Verilator, flags: Sequence[str], build: Path) -> list[str]:
    """Puts the objects, if an earlier model with the same flags has left them, into Verilator's folder `build`, made if
    it is missing. Returns options with which make takes them as they are."""
    build.mkdir(exist_ok=True)
    kept = cache.found(_name(tool, flags))
    if kept is None:
        return []
    shutil.copytree(kept, build, dirs_exist_ok=True)
    names = sorted(file.name for file in kept.iterdir())
    return [f"--old-file={name}" for name in names]


def keep_runtime(tool: Verilator, flags: Sequence[str], build: Path) -> None:
    """Keeps those of a model that was compiled in `build`, for the ones to come."""

    def make(scratch: Path) -> Path:
        objects = scratch / "objects"
        objects.mkdir()
        for file in build.glob(_OBJECTS):
            shutil.copy(file, objects)
        return objects

    cache.made(_name(tool, flags), make)


def _name(tool: Verilator, flags: Sequence[str]) -> str:
    return f"{cache.key('runtime', tool.version, _compiler(), *flags)}.runtime"


@functools.cache
def _compiler() -> str:
    """The compiler, on which objects depend too."""
    return subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
