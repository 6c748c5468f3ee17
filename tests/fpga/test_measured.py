"""The clock of a routed design in its configuration's file, and whether it still is the design's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from intaglio.errors import InputError
from intaglio.fpga.measured import measured_clock, rtl_hash, section, still_measured, with_clock
from intaglio.fpga.route import Routed
from intaglio.fpga.synth import Synthesis
from intaglio.machine.chips import chip_of
from intaglio.machine.clock import MeasuredClock
from intaglio.machine.config import Config
from intaglio.machine.config_files import config_from_text
from intaglio.machine.memory import MemoryConfig

SMALL = Config(
    rows=2, cols=2, requantizers=1, depthwise_delay=0, weight_bytes=4096, activation_bytes=8192, rounding=("single",)
)
ON_ECP5 = dataclasses.replace(SMALL, chip="ecp5-25f")


def synthesis(*routed: float, lut: float = 5.0) -> Synthesis:
    used = dict.fromkeys(("lut", "ff", "dsp", "bram", "lutram"), lut)
    seeds = [Routed(seed, mhz, {}, []) for seed, mhz in enumerate(routed, start=1)]
    return Synthesis(chip_of("ecp5-25f"), "6", ("Yosys 1", "nextpnr 2"), used, {}, None, [], seeds)


@pytest.fixture(scope="module")
def measured() -> MeasuredClock:
    found = measured_clock(SMALL, synthesis(60.126, 80.0, 70.4567))
    assert found is not None
    return found


def test_the_section_is_the_seeds_median_with_the_hardwares_hashes(measured: MeasuredClock) -> None:
    assert measured == MeasuredClock(
        70.46, "ecp5-25f", "6", (1, 2, 3), ("Yosys 1", "nextpnr 2"), f"{SMALL.hardware_hash():016x}", rtl_hash(ON_ECP5)
    )


def test_what_was_not_routed_or_does_not_fit_gives_none() -> None:
    assert measured_clock(SMALL, synthesis()) is None
    assert measured_clock(SMALL, synthesis(50.0, lut=99.0)) is None


TEXTS = [
    "rows: 2\n# a remark\ncols: 8\n",
    "rows: 2\nclock_mhz: 200  # a wish\n# a remark\ncols: 8",
    "measured_clock: null\nrows: 2\n# a remark\ncols: 8\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_files_other_lines_stay_as_they_were(text: str, measured: MeasuredClock) -> None:
    once = with_clock(text, "c.yaml", measured)
    before, after = config_from_text(text, "c.yaml"), config_from_text(once, "c.yaml")
    assert after == dataclasses.replace(before, clock_mhz=measured.mhz, measured_clock=measured)
    assert "# a remark" in once and "a wish" not in once and once.endswith(section(measured))
    # Again, with another clock, and taken away.
    faster = dataclasses.replace(measured, mhz=99.0)
    twice = with_clock(once, "c.yaml", faster)
    assert twice == once.replace("70.46", "99.0")
    none = with_clock(once, "c.yaml", None)
    assert config_from_text(none, "c.yaml") == dataclasses.replace(before, clock_mhz=70.46)
    assert "# a remark" in none and "measured" not in none


@pytest.mark.parametrize("rtl", ["542665e8832d4e0d", "1234567890e12345", "1234567890123456", "0b10110111011011"])
def test_a_hash_that_looks_like_a_number_is_none(rtl: str, measured: MeasuredClock) -> None:
    """Read back as it was, from a section and from a configuration that is written whole."""
    written = with_clock(TEXTS[0], "c.yaml", dataclasses.replace(measured, rtl=rtl, hardware=rtl[::-1]))
    found = config_from_text(written, "c.yaml")
    assert found.measured_clock is not None
    assert (found.measured_clock.rtl, found.measured_clock.hardware) == (rtl, rtl[::-1])
    assert config_from_text(found.to_yaml(), "c.yaml") == found


def test_a_file_whose_lines_hide_the_clock_is_refused(measured: MeasuredClock) -> None:
    with pytest.raises(
        InputError, match=r"c\.yaml: the clock's lines are not found in it; write measured_clock by hand"
    ):
        with_clock("{rows: 2, clock_mhz: 100}\n", "c.yaml", measured)


def test_a_clock_of_other_rtl_is_told_and_assumed(measured: MeasuredClock) -> None:
    config = dataclasses.replace(ON_ECP5, clock_mhz=measured.mhz, measured_clock=measured)
    told: list[str] = []
    assert still_measured(config, told.append) is config and not told

    old = dataclasses.replace(config, measured_clock=dataclasses.replace(measured, rtl="0" * 16))
    assert old.clock.measured is not None
    now = still_measured(old, told.append)
    assert str(now.clock) == "70.46 MHz (assumed)" and len(told) == 1
    assert "this version's RTL is not what measured_clock was measured of" in told[0]


def test_a_clock_of_the_rtl_for_another_family_is_told_and_assumed(measured: MeasuredClock) -> None:
    """The Verilog for any chip has other multipliers than what was routed."""
    config = dataclasses.replace(SMALL, chip=None, clock_mhz=measured.mhz, measured_clock=measured)
    told: list[str] = []
    assert str(still_measured(config, told.append).clock) == "70.46 MHz (assumed)"
    assert told == [
        "custom: the RTL for any chip is not that for ecp5-25f, which measured_clock was measured of, so the clock is "
        "assumed; `chip: ecp5-25f` makes that one"
    ]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"chip": "ecp5-85f"}, "70.46 MHz was measured on another chip, ecp5-25f"),
        ({"chip": "xc7a35t"}, "70.46 MHz was measured on another chip, ecp5-25f"),
        ({"memory": MemoryConfig(8, 32, 9)}, "70.46 MHz was measured of other hardware, "),
        ({"clock_mhz": 50.0}, "70.46 MHz was measured"),
    ],
)
def test_a_section_that_does_not_hold_is_told_and_dropped(
    fields: dict[str, Any], why: str, measured: MeasuredClock
) -> None:
    config = dataclasses.replace(ON_ECP5, **{"clock_mhz": measured.mhz, "measured_clock": measured, **fields})
    told: list[str] = []
    found = still_measured(config, told.append)
    assert found == dataclasses.replace(config, measured_clock=None)
    assert len(told) == 1 and told[0].startswith(f"custom: the clock is assumed: {why}")


def test_the_rtls_hash_is_of_the_hardware_alone(tmp_path: Path) -> None:
    assert rtl_hash(dataclasses.replace(SMALL, name="x", clock_mhz=7.0, chip="gw2ar-18")) == rtl_hash(SMALL)
    assert rtl_hash(dataclasses.replace(SMALL, weight_lanes=1)) != rtl_hash(SMALL)
