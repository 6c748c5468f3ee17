"""Commands say where a clock comes from, and `synth --write-config` keeps one."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from intaglio.cli import synth as command
from intaglio.fpga.estimate import Path as Slowest
from intaglio.fpga.route import Hop, Routed
from intaglio.fpga.synth import Synthesis
from intaglio.machine.chips import RESOURCES, chip_of
from intaglio.machine.clock import MeasuredClock
from intaglio.machine.config_files import load_config
from tests.cli.command import intaglio, small_network, validate

ORIGIN = "64 MHz (measured: ecp5-25f, grade 7, median of seeds 1, 2, 3, Yosys 1, nextpnr 2)"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A small machine's file, with a clock that was measured of it by other RTL than today's."""
    path = tmp_path / "machine.yaml"
    fields = ["rows=2", "cols=4", "requantizers=1", "weight_bytes=4096", "activation_bytes=8192"]
    config = load_config("tiny16", [*fields, "chip=ecp5-25f"])
    measured = MeasuredClock(
        64.0, "ecp5-25f", "7", (1, 2, 3), ("Yosys 1", "nextpnr 2"), f"{config.hardware_hash():016x}", "0" * 16
    )
    path.write_text(dataclasses.replace(config, clock_mhz=64.0, measured_clock=measured).to_yaml())
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_network(tmp_path / "small.tflite")


def test_reports_name_the_origin(machine: Path, model: Path) -> None:
    for name in ("run", "map", "compare"):
        done = intaglio(name, model, "--config", machine, "--json", "-")
        assert done.status == 0, done.err
        document = json.loads(done.out)
        validate(document, name)
        assert document["clock"] == {
            "mhz": 64.0, "source": "measured", "chip": "ecp5-25f", "grade": "7", "seeds": [1, 2, 3],
            "tools": ["Yosys 1", "nextpnr 2"], "why": "",
        }  # fmt: skip
        if name != "map":
            assert f"at {ORIGIN}" in " ".join(done.err.split())


def test_other_hardware_has_no_measured_clock(machine: Path, model: Path) -> None:
    done = intaglio("run", model, "--config", machine, "--set", "weight_zero_points=false", "--json", "-")
    clock = json.loads(done.out)["clock"]
    assert (clock["mhz"], clock["source"], clock["chip"]) == (64.0, "assumed", None)
    assert "at 64 MHz (assumed: 64 MHz was measured of other hardware, " in " ".join(done.err.split())
    done = intaglio("run", model, "--json", "-", "--set", "clock_mhz=100")
    assert "inferences/s at 100 MHz (assumed" in " ".join(done.err.split())


@pytest.mark.slow
def test_an_export_holds_the_clock_against_the_rtl(machine: Path, model: Path, tmp_path: Path) -> None:
    done = intaglio("export", model, "--config", machine, "-o", tmp_path / "out")
    assert done.status == 0, done.err
    assert "this version's RTL is not what measured_clock was measured of" in done.err
    assert "64 MHz (assumed)" in done.out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    validate(manifest, "export")
    assert manifest["clock"]["source"] == "assumed" and manifest["config"]["measured_clock"] is None
    assert "at 64 MHz (assumed)." in (tmp_path / "out" / "README.md").read_text()
    assert "at 64 MHz (assumed). */" in (tmp_path / "out" / "intaglio_network.h").read_text()


def routed(*mhz: float, dsp: float = 9.0) -> Synthesis:
    used = dict(zip(RESOURCES, (9000.0, 8000.0, dsp, 20.0, 30.0), strict=True))
    slowest = Slowest("core.pool.sum[3]", "core.drain.at", 19.2, 5)
    seeds = [
        Routed(seed, each, {}, [Hop("logic", "a", None, 1.0)], "router2" if seed == 2 else None, slowest)
        for seed, each in enumerate(mhz, start=1)
    ]
    blocks = {"": used, "core": used}
    return Synthesis(chip_of("ecp5-25f"), "6", ("Yosys 3", "nextpnr 4"), used, blocks, 70.0, [], seeds)


def test_a_routed_clock_is_printed_and_kept(machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []

    def synth(*given: object) -> Synthesis:
        calls.append(given[1:4])
        return routed(50.0, 52.0, 58.0)

    monkeypatch.setattr(command, "synth", synth)
    monkeypatch.setattr("intaglio.fpga.measured.rtl_hash", lambda config: "5" * 16)
    before = machine.read_text()
    elsewhere = ("--set", "chip=ecp5-85f", "--chip", "ecp5-25f")
    done = intaglio("synth", "--config", machine, *elsewhere, "--route", "--json", tmp_path / "S.json")
    assert done.status == 0, done.err
    assert calls == [(chip_of("ecp5-25f"), "6", range(1, 4))] and machine.read_text() == before
    document = json.loads((tmp_path / "S.json").read_text())
    validate(document, "synth")
    assert document["measured_clock"] == {
        "mhz": 52.0, "chip": "ecp5-25f", "grade": "6", "seeds": [1, 2, 3], "tools": ["Yosys 3", "nextpnr 4", "router2 for seed 2"],
        "hardware": f"{load_config(machine).hardware_hash():016x}", "rtl": "5" * 16,
    }  # fmt: skip
    assert [seed["router"] for seed in document["seeds"]] == [None, "router2", None]
    assert document["seeds"][0]["slowest"] == {
        "from": "core.pool.sum[3]", "to": "core.drain.at", "delay_ns": 19.2, "levels": 5
    }  # fmt: skip
    assert re.search(r"2  +52\.0  +5  +core\.pool\.sum\[3\]  +core\.drain\.at", done.out)
    for line in ("chip: ecp5-25f", "measured_clock:", "  mhz: 52.0", "  seeds: [1, 2, 3]", f"  rtl: '{'5' * 16}'"):
        assert line in done.out.splitlines()

    # The chip is the file's if none is given. The new file is the same machine, with the clock.
    kept = tmp_path / "kept.yaml"
    done = intaglio("synth", "--config", machine, "--set", "memory.latency=9", "--route", "--write-config", kept)
    assert done.status == 0 and f"written: {kept}" in " ".join(done.out.split()), done.err
    assert calls[-1][0] == chip_of("ecp5-25f")
    assert load_config(kept) == dataclasses.replace(
        load_config(machine, ["memory.latency=9"]), clock_mhz=52.0, measured_clock=load_config(kept).measured_clock
    )
    assert str(load_config(kept).clock).startswith("52 MHz (measured: ecp5-25f, grade 6, median of seeds 1, 2, 3, Y")
    other = tmp_path / "other.yaml"
    done = intaglio(
        "synth", "--config", machine, "--set", "chip=null", "--chip", "ecp5-25f", "--route", "--write-config", other
    )
    assert done.status == 0 and load_config(other).chip == "ecp5-25f", done.err
    again = intaglio("synth", "--config", machine, "--route", "--write-config", machine)
    assert again.status == 2 and "is the input" in again.err and machine.read_text() == before


def test_a_design_that_does_not_fit_keeps_no_clock(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "synth", lambda *given: routed(dsp=29.0))
    kept = machine.with_name("kept.yaml")
    done = intaglio("synth", "--config", machine, "--route", "--write-config", kept)
    assert done.status == 1 and "DOES NOT FIT: 29 dsp of 28." in done.out and not kept.exists()
    assert "measured_clock" not in done.out
