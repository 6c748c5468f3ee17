"""Verilator's C++ compiled in few pieces. Reading Verilator's headers takes g++ longer than compiling most of the files
that Verilator writes, and precompiling those headers for one model takes longer than all that it spares."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from intaglio.sim.rtl.runtime import keep_runtime, lay_runtime
from intaglio.sim.rtl.toolchain import Verilator

_OPTIMIZATION = {"OPT_FAST": "-O2", "OPT_SLOW": "-O0", "OPT_GLOBAL": "-O0"}
_PIECE = 1 << 21
"""Bytes of files that are compiled together, unless one alone has more: pieces of large models are made in parallel."""


def build_model(
    tool: Verilator, flags: Sequence[str], prefix: str, sources: Sequence[str], target: str, jobs: int, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Makes `target` in folder/build of Verilog and C++ files in `folder`: what Verilator, and then make, ended with.

    flags: all of Verilator's options that decide what is made, but for the prefix of classes and the places of files.
    """
    build = folder / "build"
    cpp = [name for name in sources if name.endswith(".cpp")]
    places = ["--prefix", prefix, "--Mdir", build.name, "-CFLAGS", "-I..", "-o", target]
    done = tool.run([*flags, *places, *(name for name in sources if name not in cpp)], folder)
    if done.returncode:
        return done
    runtime = lay_runtime(tool, flags, build)
    written = sorted(build.glob(f"{prefix}*.cpp"))
    slow = [path.name for path in written if path.stem.endswith("__Slow")]
    fast = [path.name for path in written if path.name not in slow] + [f"../{name}" for name in cpp]
    variables = {
        **_OPTIMIZATION,
        # The other lists go into an archive, of which a linker takes what these need.
        "VM_USER_CLASSES": _pieces(build, "fast", fast),
        "VM_CLASSES_FAST": "",
        "VM_SUPPORT_FAST": "",
        "VM_CLASSES_SLOW": _pieces(build, "slow", slow),
        "VM_SUPPORT_SLOW": "",
        "VK_PCH_I_SLOW": "",
    }
    runtime.append(f"--old-file={prefix}__pch.h.slow.gch")
    options = ["-C", build.name, "-f", f"{prefix}.mk", "-j", str(jobs), *runtime]
    made = tool.make([*options, *(f"{name}={value}" for name, value in variables.items())], folder)
    if not made.returncode:
        keep_runtime(tool, flags, build)
    return subprocess.CompletedProcess(made.args, made.returncode, done.stdout + made.stdout)


def _pieces(build: Path, kind: str, files: Sequence[str]) -> str:
    """Names of files that include these, each some of them."""
    names: list[str] = []
    for piece in _gathered(build, files):
        names.append(f"{kind}_{len(names)}")
        (build / f"{names[-1]}.cpp").write_text("".join(f'#include "{name}"\n' for name in piece))
    return " ".join(names)


def _gathered(build: Path, files: Sequence[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    size = 0
    for name in files:
        more = (build / name).stat().st_size
        if piece and size + more > _PIECE:
            yield piece
            piece, size = [], 0
        piece.append(name)
        size += more
    if piece:
        yield piece
