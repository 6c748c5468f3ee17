"""`intaglio synth` on a small machine: its document, its sums, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intaglio.machine.chips import RESOURCES
from tests.cli.command import intaglio, small_network, validate
from tests.fpga.growth import SMALL

FIELDS = [argument for field in SMALL for argument in ("--set", field)]


@pytest.mark.slow
def test_a_small_machine_on_an_ecp5(tmp_path: Path) -> None:
    pytest.importorskip("pyosys")
    path = tmp_path / "S.json"
    done = intaglio("synth", "--chip", "ecp5-25f", "--config", "tiny16", *FIELDS, "--json", path)
    assert done.status == 0, done.err
    document = json.loads(path.read_text())
    validate(document, "synth")
    assert document["chip"] == {"name": "ecp5-25f", "title": "Lattice ECP5 LFE5U-25F", "grade": "6"}
    assert document["fmax_mhz"] is None and document["seeds"] == [] and document["fits"]

    blocks = {block["name"]: block for block in document["blocks"]}
    used = {resource: document["resources"][resource]["used"] for resource in RESOURCES}
    assert {r: blocks[""][r] for r in ("ff", "dsp", "bram")} == {r: used[r] for r in ("ff", "dsp", "bram")}
    assert blocks["core.array_path.array"]["dsp"] >= 4
    inside = [block for name, block in blocks.items() if name and "." not in name]
    assert sum(block["ff"] for block in inside) <= used["ff"] <= sum(block["ff"] for block in inside) + 400
    assert document["paths"] and 1000 / document["paths"][0]["delay_ns"] == pytest.approx(document["estimate_mhz"])
    assert all(path["from"] and path["to"] for path in document["paths"])
    assert "not routed: no clock was measured" in done.out and f"{document['estimate_mhz']:.1f} MHz" in done.out

    # Again, without a tool.
    again = intaglio("synth", "--chip", "ecp5-85f", "--config", "tiny16", *FIELDS, "--json", "-")
    assert again.status == 0 and json.loads(again.out)["resources"]["ff"]["used"] == used["ff"]
    assert "synthesizing" not in again.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--chip", "ecp6"), "chip ecp6: is not known; known are"),
        (("--chip", "ecp5-85f", "--grade", "5"), "grade 5: ecp5-85f has 6, 7, 8"),
        (("--chip", "xc7a35t", "--route"), "xilinx7: no open tool routes for this family"),
        (("--chip", "ecp5-85f", "--route", "--seeds", "0"), "--seeds 0: give 1 to 100"),
        (("--seeds", "7"), "--seeds: are the router's; give --route too"),
        (("--chip", ""), "chip : is not known; known are"),
        (("--config", "wide"), "--chip: wide names no chip; give one of ecp5-25f"),
        (("--set", "chip=ecp6"), "configuration field chip = 'ecp6': must be ecp5-25f,"),
        (
            ("--chip", "gw2ar-18", "--set", "multipliers=packed"),
            "multipliers = packed: gw2ar-18's DSP blocks multiply 18 x 18 bits, two products take 25 x 9 and so two of them",
        ),
        (("--write-config", "C.yaml"), "--write-config: writes a routed clock; give --route too"),
    ],
)
def test_what_is_refused(options: tuple[str, ...], message: str) -> None:
    done = intaglio("synth", *options)
    assert done.status == 2 and message in " ".join(done.err.split()), done.err
    assert not done.out


@pytest.mark.parametrize("command", ["verilog", "export"])
def test_products_in_pairs_are_refused_where_the_chip_holds_none(command: str, tmp_path: Path) -> None:
    model = [small_network(tmp_path / "small.tflite")] if command == "export" else []
    fields = ("--set", "multipliers=packed", "--set", "chip=ecp5-25f")
    done = intaglio(command, *model, "--config", "edge64", *fields, "-o", tmp_path / "out")
    assert done.status == 2 and "multipliers = packed: ecp5-25f's DSP blocks multiply 18 x 18" in " ".join(
        done.err.split()
    )
    assert not (tmp_path / "out").exists()
