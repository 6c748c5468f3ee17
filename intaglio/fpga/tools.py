"""The programs that map and route: found where they are, run with what they say kept, and never taken at their word."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as memoized
from importlib import metadata
from pathlib import Path

from intaglio import cache, extras
from intaglio.errors import InputError
from intaglio.unfinished import run_program

Tell = Callable[[str], None]
"""Tells of a step that takes long."""
_OLDEST_YOSYS = (0, 40)
"""Older ones lack passes that are asked of it."""
_PYOSYS = "import sys; from pyosys import libyosys; libyosys.Design().run_pass('script ' + sys.argv[1])"
_LONGEST_LINE = 4096
_YOWASP = "import sys, {0}; sys.exit({0}.run_{1}(sys.argv[1:]))"


class ToolError(InputError):
    """A tool failed, or ended without a result: its name, its status and its last words."""


@dataclass(frozen=True)
class Tool:
    """A program. version: its name and version, as reports print it. command: its arguments' beginning."""

    version: str
    command: tuple[str, ...]

    def run(self, arguments: Sequence[str], result: Path, watch: Tell | None = None) -> None:
        """Runs it in the folder of `result`, which must exist afterwards and is removed before. What it says is kept
        beside that, in a file `.log`; its last line is given to `watch`, once a second. What that raises ends the program.

        Raises ToolError where it fails, whether it says so or not.
        """
        result.unlink(missing_ok=True)
        log = result.with_suffix(".log")
        environment = {**os.environ, "YOWASP_CACHE_DIR": str(cache.folder() / "yowasp")}
        with log.open("wb") as said:
            done = run_program(
                [*self.command, *arguments],
                given=b"",
                meanwhile=None if watch is None else lambda: watch(_last_line(log)),
                cwd=result.parent,
                env=environment,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        if done.returncode or not result.exists():
            raise ToolError(f"{self.version}: {_cause(log, done.returncode)}")


def _last_line(log: Path) -> str:
    """The last whole line of a file that grows; empty without any."""
    with log.open("rb") as said:
        said.seek(max(0, said.seek(0, os.SEEK_END) - _LONGEST_LINE))
        return "".join(said.read().decode(errors="replace").split("\n")[-2:-1])


def _cause(log: Path, status: int) -> str:
    """Why it failed: its own error, or its last words."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\S+: )?(ERROR|error|Assert|Fatal|terminate)", line)]
    said = " ".join((errors or lines[-1:])[:2])[:600] or "it said nothing"
    ended = (
        f"ended by signal {-status}" if status < 0 else f"exit status {status}" if status else "ended without a result"
    )
    return f"{ended}: {said}"


@memoized
def yosys() -> Tool:
    """A native Yosys on PATH that is new enough, else the package pyosys. InputError where there is neither."""
    if (native := shutil.which("yosys")) and (version := _yosys_version(native)):
        return Tool(f"Yosys {version}", (native, "-q", "-s"))
    if importlib.util.find_spec("pyosys"):
        return Tool(f"Yosys {metadata.version('pyosys')}", (sys.executable, "-P", "-c", _PYOSYS))
    raise InputError(f"synthesis needs Yosys; install it with {extras.install('fpga')}")


def _yosys_version(program: str) -> str | None:
    """Its version; None for one that is too old."""
    said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"Yosys (\d+)\.(\d+)\S*", said)
    if not found or (int(found[1]), int(found[2])) < _OLDEST_YOSYS:
        return None
    return found[0].removeprefix("Yosys ")


@memoized
def nextpnr(program: str) -> Tool:
    """A native nextpnr on PATH, else its package. InputError where there is neither."""
    if native := shutil.which(program):
        done = subprocess.run([native, "--version"], capture_output=True, text=True, check=False)
        found = re.search(r"[Vv]ersion (\S+?)\)?\s", done.stdout + done.stderr + " ")
        return Tool(f"{program} {found[1].removeprefix('nextpnr-') if found else 'of unknown version'}", (native,))
    module = "yowasp_" + program.replace("-", "_")
    if importlib.util.find_spec(module):
        version = metadata.version(module.replace("_", "-"))
        code = _YOWASP.format(module, program.replace("-", "_"))
        return Tool(f"{program} {version}", (sys.executable, "-P", "-c", code))
    raise InputError(f"routing for this chip needs {program}; install it with {extras.install('fpga')}")
