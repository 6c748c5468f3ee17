"""Clocks with their origin: what a configuration may say of one, and when it goes on holding."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from intaglio.errors import InputError
from intaglio.machine.clock import MeasuredClock, clock_text
from intaglio.machine.config import Config
from intaglio.machine.config_files import config_from_dict, load_config

SECTION = {
    "mhz": 71.25,
    "chip": "ecp5-85f",
    "grade": "6",
    "seeds": [1, 2, 3],
    "tools": ["Yosys 0.70", "nextpnr-ecp5 0.11"],
    "hardware": f"{Config().hardware_hash():016x}",
    "rtl": "0123456789abcdef",
}
MEASURED = "71.25 MHz (measured: ecp5-85f, grade 6, median of seeds 1, 2, 3, Yosys 0.70, nextpnr-ecp5 0.11)"


def config(**fields: object) -> Config:
    return config_from_dict({"measured_clock": SECTION, **fields})


def test_a_clock_is_assumed_unless_it_was_measured() -> None:
    assert str(Config().clock) == "200 MHz (assumed)"
    assert Config().clock.to_dict() == {
        "mhz": 200.0, "source": "assumed", "chip": None, "grade": None, "seeds": None, "tools": None, "why": "",
    }  # fmt: skip


def test_a_measured_clock_is_the_clock_and_tells_its_origin() -> None:
    found = config()
    assert found.clock_mhz == 71.25 and str(found.clock) == MEASURED
    expected = {key: SECTION[key] for key in ("mhz", "chip", "grade", "seeds", "tools")}
    assert found.clock.to_dict() == {**expected, "source": "measured", "why": ""}
    one = config(measured_clock={**SECTION, "seeds": [4], "tools": ["nextpnr"]})
    assert str(one.clock) == "71.25 MHz (measured: ecp5-85f, grade 6, seed 4, nextpnr)"


def test_it_does_not_hold_for_other_hardware_nor_for_another_clock() -> None:
    other = config(rows=4)
    assert other.clock_mhz == 71.25 and other.clock.measured is None
    assert str(other.clock) == (f"71.25 MHz (assumed: 71.25 MHz was measured of other hardware, {SECTION['hardware']})")
    assert other.clock.to_dict()["source"] == "assumed" and other.clock.to_dict()["chip"] is None
    assert str(config(clock_mhz=100).clock) == "100 MHz (assumed: 71.25 MHz was measured)"
    # What is no part of the hardware changes nothing.
    assert config(name="x", chip="ECP5-85F", memory={"latency": 200}).clock.measured is not None
    # Nor does it for another chip.
    assert str(config(chip="gw2ar-18").clock) == "71.25 MHz (assumed: 71.25 MHz was measured on another chip, ecp5-85f)"


def test_neither_the_section_nor_the_chip_changes_the_hardware() -> None:
    assert config(chip="ecp5-85f").hardware_hash() == Config().hardware_hash()


def test_the_section_goes_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(config(chip="ecp5-85f").to_yaml())
    assert load_config(path) == config(chip="ecp5-85f") and load_config(path).clock.measured is not None
    path.write_text(yaml.safe_dump({"measured_clock": SECTION}))
    assert load_config(path) == config()
    assert str(load_config(path, ["rows=4"]).clock).startswith("71.25 MHz (assumed: ")
    assert str(load_config(path, ["measured_clock=null", "clock_mhz=50"]).clock) == "50 MHz (assumed)"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mhz", 0, "measured_clock.mhz = 0: must be a number above 0, at most 10000"),
        ("mhz", "71", "measured_clock.mhz = '71': must be a number"),
        ("mhz", True, "measured_clock.mhz = True: must be a number"),
        ("chip", "", "measured_clock.chip = '': must be text"),
        ("grade", 6, "measured_clock.grade = 6: must be text, in quotes where it is a number"),
        ("seeds", [], r"measured_clock.seeds = \(\): must be a list of the router's seeds"),
        ("seeds", 3, "measured_clock.seeds = 3: must be a list"),
        ("seeds", [1, -1], r"measured_clock.seeds = \(1, -1\): must be"),
        ("tools", [], r"measured_clock.tools = \(\): must be a list of programs"),
        ("tools", "Yosys", "measured_clock.tools = 'Yosys': must be a list"),
        ("tools", [1], "measured_clock.tools = 1: must be text"),
        ("hardware", 7000000000000000, "measured_clock.hardware = 7000000000000000: must be 16 hexadecimal digits"),
        ("rtl", "0123", "measured_clock.rtl = '0123': must be 16 hexadecimal digits in quotes"),
    ],
)
def test_what_is_refused_in_it(name: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=f"c.yaml: configuration field {message}"):
        config_from_dict({"measured_clock": {**SECTION, name: value}}, "c.yaml")


@pytest.mark.parametrize("section", [71, "fast", {"mhz": 7}, {**SECTION, "more": 1}])
def test_a_section_of_other_parts_is_refused(section: object) -> None:
    with pytest.raises(InputError, match=r"field measured_clock = .*must be a mapping of mhz, chip, grade, seeds"):
        config_from_dict({"measured_clock": section})


def test_a_chip_is_one_that_is_known() -> None:
    for chip in (5, "", True, "ecp5-nonsense", "xc7k325t"):
        with pytest.raises(InputError, match=r"field chip = .*must be ecp5-25f, .*, or left out"):
            Config(chip=chip)  # type: ignore[arg-type]
    assert Config(chip="ECP5-25F").hardware_hash() == Config().hardware_hash()


def test_the_text_of_a_document_is_that_of_the_clock() -> None:
    for found in (Config(), config(), config(rows=4)):
        assert clock_text(found.clock.to_dict()) == str(found.clock)
    assert isinstance(config().measured_clock, MeasuredClock) and dataclasses.is_dataclass(config().clock)
