"""Routing with a stand-in for nextpnr: what it is told, what is read of its report, what is kept, and when it is not asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from intaglio import unfinished
from intaglio.fpga import route as routing
from intaglio.fpga import synth as synthesizing
from intaglio.fpga.families import FAMILIES
from intaglio.fpga.netlist import Cell, Netlist
from intaglio.fpga.route import Hop, Routed, packed, route
from intaglio.fpga.tools import Tool, ToolError
from intaglio.machine.chips import CHIPS
from intaglio.machine.config import Config

NEXTPNR = """
import json, pathlib, sys
arguments = sys.argv[1:]
value = lambda name: arguments[arguments.index(name) + 1]
pathlib.Path({heard!r}).write_text(json.dumps([arguments, sorted(p.name for p in pathlib.Path('.').iterdir())]))
seed = int(value('--seed')) if '--seed' in arguments else 0
assert seed != 9, 'no place'
hop = lambda delay, cell: {{'type': 'logic', 'delay': delay, 'to': {{'cell': cell}}}}
paths = [
    {{'from': 'posedge clk', 'to': 'posedge clk', 'path': [hop(1.0, 'a'), hop(2.5, 'b')]}},
    {{'from': '<async>', 'to': 'posedge clk', 'path': [hop(9.0, 'pin')]}},
]
used = {{'TRELLIS_COMB': 100, 'TRELLIS_FF': 50, 'MULT18X18D': 4, 'DP16KD': 3, 'TRELLIS_RAMW': 2}}
used |= {{'ICESTORM_LC': 400, 'ICESTORM_DSP': 5, 'ICESTORM_RAM': 6}}
pathlib.Path(value('--report')).write_text(json.dumps({{
    'utilization': {{name: {{'used': n, 'available': 999}} for name, n in used.items()}},
    'fmax': {{'clk': {{'achieved': 40.0 + seed, 'constraint': 100}}, 'other': {{'achieved': 90.0, 'constraint': 100}}}},
    'critical_paths': paths,
}}))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "netlist.json").write_text("{}")
    return tmp_path


def nextpnr(folder: Path) -> Tool:
    return Tool("nextpnr 1", (sys.executable, "-c", NEXTPNR.format(heard=str(folder / "heard"))))


def heard(folder: Path) -> str:
    said = folder / "heard"
    text = said.read_text() if said.exists() else ""
    said.unlink(missing_ok=True)
    return text


def seeds(folder: Path, chip: str, *numbers: int) -> list[float]:
    part = CHIPS[chip]
    family = FAMILIES[part.family]
    told: list[str] = []
    return [
        route(folder / "netlist.json", part, family, nextpnr(folder), part.grades[0], n, told.append).fmax_mhz
        for n in numbers
    ]


def test_a_seed_is_routed_once_and_a_failed_one_again(folder: Path) -> None:
    assert seeds(folder, "ecp5-85f", 1) == [41.0]
    said = heard(folder)
    for argument in ('"--85k"', '"--speed", "6"', '"--freq", "100"', '"--seed", "1"', '"--timing-allow-fail"'):
        assert argument in said
    assert seeds(folder, "ecp5-85f", 1) == [41.0] and not heard(folder)
    for _ in range(2):
        with pytest.raises(ToolError, match=r"nextpnr 1: exit status 1: AssertionError: no place"):
            seeds(folder, "ecp5-85f", 1, 9)
        assert '"--seed", "9"' in heard(folder)
    assert seeds(folder, "ecp5-85f", 2, 1) == [42.0, 41.0] and '"--seed", "2"' in heard(folder)
    # Another chip, and another netlist, are other designs.
    assert seeds(folder, "ecp5-25f", 1) == [41.0] and '"--25k"' in heard(folder)
    (folder / "netlist.json").write_text("{ }")
    assert seeds(folder, "ecp5-85f", 1) == [41.0] and heard(folder)


def test_a_router_that_turns_about_its_last_wires_is_given_up_for_the_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand turns a line: seed 1 has two wires of a thousand to go for long and then none; seed 2 one in a thousand."""
    monkeypatch.setattr(unfinished, "_MEANWHILE", 0.01)
    turning = """
import sys, time
print('Info: Routing 2000 arcs.', flush=True)
for turn in range(0 if 'router2' in sys.argv else {lines}):
    time.sleep(0.05)
    print('Info: %8d | 1 2 | 3 4 | %9d| 0.1 0.2|' % (1000 * turn, {left}), flush=True)
"""
    part, told = CHIPS["ecp5-85f"], list[str]()

    def routed(seed: int, lines: int, left: int) -> Routed:
        code = turning.format(lines=lines, left=left) + NEXTPNR.format(heard=str(folder / "heard"))
        tool = Tool("nextpnr 1", (sys.executable, "-c", code))
        return route(folder / "netlist.json", part, FAMILIES["ecp5"], tool, "6", seed, told.append, told.append)

    assert routed(1, 9, 4).otherwise is None and '"--router"' not in heard(folder)
    assert "seed 1 on ecp5-85f: routing, 4 wires to go" in told
    for _ in range(2):
        assert routed(2, 10**6, 2).otherwise == "router2"
    assert '"--router", "router2"' in heard(folder)
    assert "seed 2 on ecp5-85f: the router turns about its last wires; router2 routes in its place" in told


def test_slow_lines_are_no_turns() -> None:
    """A machine that is slow, or asleep, shows the same line again and again."""
    watch = routing._Watch("seed", None, True)
    for line in ["Info: Routing 150628 arcs.", *["Info:  207000 | 1 2 | 3 4 | 123| 0.1 0.2|"] * 9999]:
        watch(line)
    watch("Info:  209000 | 1 2 | 3 4 | 156| 0.1 0.2|")
    with pytest.raises(routing._Stalled):
        watch("Info:  210000 | 1 2 | 3 4 | 64| 0.1 0.2|")


def test_what_is_read_of_a_report(folder: Path) -> None:
    part = CHIPS["ecp5-85f"]
    found = route(folder / "netlist.json", part, FAMILIES["ecp5"], nextpnr(folder), "7", 3, print)
    assert (found.seed, found.fmax_mhz) == (3, 43.0)
    assert found.used == {"lut": 100, "ff": 50, "dsp": 4, "bram": 3, "lutram": 2}
    assert [(hop.cell, hop.delay_ns) for hop in found.path] == [("a", 1.0), ("b", 2.5)]


def test_each_family_is_told_its_device_and_given_its_files(folder: Path) -> None:
    seeds(folder, "gw2ar-18", 1)
    said = heard(folder)
    for word in ("--device", "GW2AR-LV18QN88C8/I7", "family=GW2A-18C", "cst=pins.cst"):
        assert f'"{word}"' in said
    assert '"pins.cst"' in said.partition("]")[2]  # the file is there
    seeds(folder, "ice40up5k", 1)
    said = heard(folder)
    assert '"--up5k"' in said and '"sg48"' in said and "pins.cst" not in said and "--speed" not in said


def test_the_packer_is_asked_where_cells_do_not_tell(folder: Path) -> None:
    def of(chip: str) -> dict[str, float]:
        return packed(folder / "netlist.json", CHIPS[chip], FAMILIES[CHIPS[chip].family], nextpnr(folder))

    assert of("ice40up5k") == {"lut": 400, "dsp": 5, "bram": 6} and '"--pack-only"' in heard(folder)
    assert of("gw2ar-18") == {} and not heard(folder)


def test_a_design_that_does_not_fit_is_not_routed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = {f"c{n}": cell(n) for n in range(30)}
    (folder / "netlist.json").write_text(netlist(cells))
    tool = nextpnr(folder)
    for module, name in ((synthesizing, "router_of"), (synthesizing, "yosys")):
        monkeypatch.setattr(module, name, lambda *_, **__: tool)
    monkeypatch.setattr(synthesizing, "synthesize", lambda *_: folder / "netlist.json")
    small = synthesizing.synth(Config(), CHIPS["gw2ar-18"], "8", (1, 2), print)
    assert [seed.fmax_mhz for seed in small.routed] == [41.0, 42.0] and small.fmax_mhz == 41.5 and heard(folder)
    (folder / "netlist.json").write_text(netlist({f"c{n}": cell(n) for n in range(49)}))
    large = synthesizing.synth(Config(), CHIPS["gw2ar-18"], "8", (1, 2), print)
    assert large.too_much == ["dsp"] and large.routed == [] and large.fmax_mhz is None and not heard(folder)


def cell(number: int) -> dict[str, object]:
    return {
        "type": "MULT18X18",
        "parameters": {},
        "attributes": {"intaglio_block": "shim.intaglio.core"},
        "port_directions": {"DOUT": "output"},
        "connections": {"DOUT": [number + 2]},
    }


def netlist(cells: dict[str, dict[str, object]]) -> str:
    return json.dumps({"modules": {"shim": {"cells": cells, "netnames": {}}}})


def test_a_packer_that_dies_hides_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of cells are fewer than what is placed, so they stand in for it where they say enough: it does not fit."""
    dying = Tool("nextpnr 1", (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    for module, name in ((synthesizing, "router_of"), (synthesizing, "yosys")):
        monkeypatch.setattr(module, name, lambda *_, **__: dying)
    monkeypatch.setattr(synthesizing, "synthesize", lambda *_: folder / "netlist.json")
    cells = {f"c{n}": cell(n) | {"type": "MULT18X18D"} for n in range(29)}
    (folder / "netlist.json").write_text(netlist(cells))
    with pytest.raises(ToolError, match="nextpnr 1: ended by signal 9: it said nothing"):
        synthesizing.synth(Config(), CHIPS["ecp5-85f"], "6", (), print)
    found = synthesizing.synth(Config(), CHIPS["ecp5-25f"], "6", (), print)
    assert found.too_much == ["dsp"] and not found.placed
    monkeypatch.setattr(synthesizing, "router_of", lambda *_, **__: None)
    found = synthesizing.synth(Config(), CHIPS["ecp5-85f"], "6", (), print)
    assert found.used["dsp"] == 29 and not found.placed
    assert synthesizing.synth(Config(), CHIPS["xc7a35t"], "1", (), print).placed


def test_a_path_of_one_hop_has_both_ends() -> None:
    netlist = Netlist([Cell("intaglio.a", "DP16KD", "", {}, {}, {})], {})
    found = synthesizing._slowest(netlist, Routed(1, 50.0, {}, [Hop("clk-to-q", "intaglio.a", None, 5.6)]))
    assert found is not None and (found.source, found.target, found.delay_ns, found.levels) == ("a", "a", 5.6, 0)
    assert synthesizing._slowest(netlist, Routed(1, 50.0, {}, [])) is None
