"""The emitted Verilog before other readers than Verilator: slang, and Icarus Verilog where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from intaglio.hw.verilog import TOP
from intaglio.machine.config_files import load_config, shipped_names
from intaglio.sim.rtl.build import verilog_of

LARGE = {"arty35", "arty100", "edge64", "edge256", "ulx3s"}
"""Configurations whose Verilog takes a minute to make."""
CONFIGS = [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in shipped_names()]


def slang_of(path: Path) -> tuple[bool, str]:
    """Whether slang takes a file without an error or a warning, and what it says."""
    driver = pytest.importorskip("pyslang.driver", reason="pyslang is not installed")
    made = driver.Driver()
    made.addStandardArgs()
    assert made.parseCommandLine(f"slang -Wextra -Wpedantic --std 1800-2017 --top {TOP} {path}")
    taken = made.processOptions() and made.parseAllSources()
    compilation = made.createCompilation()
    made.reportCompilation(compilation, True)
    engine = made.diagEngine
    return taken and engine.numErrors == 0 and engine.numWarnings == 0, f"{engine.numErrors}, {engine.numWarnings}"


@pytest.mark.parametrize("name", CONFIGS)
def test_slang_finds_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{TOP}.v"
    path.write_text(verilog_of(load_config(name)))
    clean, found = slang_of(path)
    assert clean, found


def test_slang_is_asked(tmp_path: Path) -> None:
    """It does find what is wrong: a narrower operand, an `else` whose `if` is not plain, a syntax error."""
    path = tmp_path / f"{TOP}.v"
    for body in (
        "input wire [3:0] a, output wire [1:0] y); assign y = a;",
        "input wire a, b, output reg y); always @* if (a) if (b) y = 1'h0; else y = 1'h1;",
        "input wire a; assign",
    ):
        path.write_text(f"module {TOP} ({body} endmodule\n")
        assert not slang_of(path)[0], body


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed (Debian: iverilog)")
@pytest.mark.parametrize("name", CONFIGS)
def test_icarus_finds_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{TOP}.v"
    path.write_text(verilog_of(load_config(name)))
    command = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-t", "null", "-s", TOP, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
