"""`make fpga`'s rows: what follows from what, where they are kept, and that table and configurations say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import fpga
from benchmarks.fpga import COLUMNS, NETWORKS, ROOT, read_rows, row, table, text_of, with_table
from intaglio.errors import InputError
from intaglio.fpga.measured import rtl_hash
from intaglio.fpga.route import Routed
from intaglio.fpga.synth import Synthesis
from intaglio.fpga.tools import ToolError
from intaglio.machine.chips import RESOURCES, Chip, chip_of
from intaglio.machine.clock import MeasuredClock
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config, shipped_names

CLOCK = MeasuredClock(80.0, "ecp5-85f", "6", (1, 2, 3), ("Yosys 1", "nextpnr 2"), "0" * 16, "1" * 16)
CYCLES = {"kws": 40_000, "ic": 160_000}


def synthesis(*routed: float, dsp: float = 32.0) -> Synthesis:
    used = dict(zip(RESOURCES, (21234.0, 13500.0, dsp, 24.0, 272.0), strict=True))
    seeds = [Routed(seed, mhz, {}, []) for seed, mhz in enumerate(routed, start=1)]
    return Synthesis(chip_of("ecp5-85f"), "6", ("Yosys 1", "nextpnr 2"), used, {}, 61.26, [], seeds)


# The committed files.


def test_the_committed_rows_are_those_of_shipped_configurations_that_name_a_chip() -> None:
    rows = read_rows(ROOT / fpga.CSV)
    named = {name: load_config(name).chip for name in shipped_names()}
    assert {name: found["chip"] for name, found in rows.items()} == {n: chip for n, chip in named.items() if chip}
    assert (ROOT / fpga.CSV).read_text() == text_of(rows)


ROOM = {"colorlight": ("lut",), "arty35": ("lut", "dsp"), "arty100": ("lut", "dsp")}
"""Resources of which a tenth of the chip is left for what else is on the board's."""


def test_a_configuration_fits_the_chip_that_it_names() -> None:
    for name, found in read_rows(ROOT / fpga.CSV).items():
        available = chip_of(found["chip"]).available
        assert found["fits"] == "yes", name
        for resource in RESOURCES:
            share = 0.9 if resource in ROOM.get(name, ()) else 1.0
            assert float(found[resource]) <= share * available[resource], f"{name}: {found[resource]} {resource}"


def test_the_readmes_table_is_the_rows() -> None:
    text = (ROOT / fpga.README).read_text()
    assert with_table(text, read_rows(ROOT / fpga.CSV)) == text


def test_what_follows_from_a_routed_clock_does() -> None:
    for name, found in read_rows(ROOT / fpga.CSV).items():
        derived = ["gops", "gops_per_dsp", *(f"{network}_per_second" for network in NETWORKS)]
        if not found["fmax_mhz"]:
            assert not found["seeds"] and not any(found[column] for column in derived)
            continue
        mhz, config = float(found["fmax_mhz"]), load_config(name)
        assert float(found["gops"]) == pytest.approx(2 * config.rows * config.cols * mhz / 1000, abs=0.006)
        assert float(found["gops_per_dsp"]) == pytest.approx(float(found["gops"]) / float(found["dsp"]), abs=0.001)
        for network in NETWORKS:
            rate = mhz * 1e6 / float(found[f"{network}_cycles"])
            assert float(found[f"{network}_per_second"]) == pytest.approx(rate, abs=0.06)


def test_a_configuration_has_the_clock_of_its_row() -> None:
    rows = read_rows(ROOT / fpga.CSV)
    for name in shipped_names():
        config = load_config(name)
        clock, found = config.measured_clock, rows.get(name)
        if clock is None:
            assert found is None or not found["fmax_mhz"]
            continue
        assert found is not None and config.clock.measured == clock, f"{name}: {config.clock}"
        assert (f"{clock.mhz:.2f}", clock.chip, clock.grade) == (found["fmax_mhz"], found["chip"], found["grade"])
        assert clock.rtl == found["rtl"]


def test_the_rows_are_of_todays_rtl() -> None:
    for name, found in read_rows(ROOT / fpga.CSV).items():
        assert found["rtl"] == rtl_hash(load_config(name)), (
            f"{name}: the RTL is not what was counted or routed; `make fpga` routes it again (hours), "
            f"`python -m benchmarks.fpga {name} --no-route` counts it and says that its clock is assumed (minutes)"
        )


# Rows.


def test_a_routed_row() -> None:
    found = row(load_config("tiny16"), synthesis(), CLOCK, "1" * 16, CYCLES)
    assert tuple(found) == COLUMNS
    assert found == {
        "config": "tiny16", "chip": "ecp5-85f", "grade": "6", "fits": "yes",
        "lut": "21234", "ff": "13500", "dsp": "32", "bram": "24", "lutram": "272",
        "estimate_mhz": "61.3", "fmax_mhz": "80.00", "seeds": "1 2 3", "gops": "2.56", "gops_per_dsp": "0.080",
        "kws_cycles": "40000", "vww_cycles": "", "ic_cycles": "160000", "ad_cycles": "",
        "kws_per_second": "2000.0", "vww_per_second": "", "ic_per_second": "500.0", "ad_per_second": "",
        "tools": "Yosys 1; nextpnr 2", "rtl": "1" * 16,
    }  # fmt: skip


def test_a_row_that_was_not_routed_has_no_clock_nor_what_follows() -> None:
    found = row(load_config("tiny16"), synthesis(), None, "1" * 16, CYCLES)
    assert found["kws_cycles"] == "40000" and found["tools"] == "Yosys 1; nextpnr 2"
    for column in ("fmax_mhz", "seeds", "gops", "gops_per_dsp", "kws_per_second", "ic_per_second"):
        assert found[column] == ""
    assert row(load_config("tiny16"), synthesis(dsp=157.0), None, "1" * 16, {})["fits"] == "no"
    without = row(load_config("tiny16"), synthesis(dsp=0.0), CLOCK, "1" * 16, {})
    assert without["gops"] == "2.56" and without["gops_per_dsp"] == ""


# Renewal.


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two configurations, on a chip where each seed reaches 10 MHz more than the last."""
    (tmp_path / fpga.CONFIGS).mkdir(parents=True)
    (tmp_path / fpga.CSV).parent.mkdir()
    for name, text in (("a", "rows: 4\n# kept\n"), ("b", "rows: 2\n"), ("none", "rows: 3\n")):
        chip = "" if name == "none" else "chip: ecp5-85f\n"
        (tmp_path / fpga.CONFIGS / f"{name}.yaml").write_text(f"name: {name}\n{text}clock_mhz: 200\n{chip}")
    (tmp_path / fpga.README).write_text("Above.\n<!-- benchmarks/fpga.csv -->\n<!-- end -->\nBelow.\n")
    monkeypatch.setattr(
        fpga, "synth", lambda config, chip, grade, seeds, tell: synthesis(*(40.0 + 10 * seed for seed in seeds))
    )
    monkeypatch.setattr("intaglio.fpga.measured.rtl_hash", lambda config: "1" * 16)
    monkeypatch.setattr(fpga, "rtl_hash", lambda config: "1" * 16)
    monkeypatch.setattr(fpga, "cycles_of", lambda config, models: dict(CYCLES))
    return tmp_path


def state(root: Path) -> dict[str, tuple[str, str]]:
    """By row the clock there and the clock that the configuration's file gives."""
    rows = read_rows(root / fpga.CSV)
    text = (root / fpga.README).read_text()
    assert text == f"Above.\n<!-- benchmarks/fpga.csv -->\n{table(rows)}<!-- end -->\nBelow.\n"
    return {
        name: (found["fmax_mhz"], str(load_config(root / fpga.CONFIGS / f"{name}.yaml").clock))
        for name, found in rows.items()
    }


def origin(mhz: int, seeds: str) -> str:
    return f"{mhz} MHz (measured: ecp5-85f, grade 6, {seeds}, Yosys 1, nextpnr 2)"


def test_rows_are_renewed_one_by_one_with_table_and_clock(root: Path) -> None:
    fpga.renew(root, ["a"], (), root)
    assert state(root) == {"a": ("", "200 MHz (assumed)")}
    fpga.renew(root, [], (1, 2, 3), root)
    measured = origin(60, "median of seeds 1, 2, 3")
    assert state(root) == {"a": ("60.00", measured), "b": ("60.00", measured)}
    fpga.renew(root, ["b"], (1,), root)
    assert state(root) == {"a": ("60.00", measured), "b": ("50.00", origin(50, "seed 1"))}
    assert "# kept" in (root / fpga.CONFIGS / "a.yaml").read_text()
    assert "measured" not in (root / fpga.CONFIGS / "none.yaml").read_text()


def test_without_routing_a_clock_stays_while_the_rtl_does(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fpga.renew(root, [], (1,), root)
    before = state(root)
    fpga.renew(root, [], (), root)
    assert state(root) == before
    monkeypatch.setattr(fpga, "rtl_hash", lambda config: "2" * 16)
    fpga.renew(root, ["a"], (), root)
    assert state(root) == {**before, "a": ("", "50 MHz (assumed)")}
    assert read_rows(root / fpga.CSV)["a"]["rtl"] == "2" * 16


def test_without_the_networks_a_row_keeps_its_cycles(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fpga.renew(root, ["a"], (1,), root)
    monkeypatch.setattr(fpga, "cycles_of", lambda config, models: {})
    fpga.renew(root, ["a"], (1,), root)
    found = read_rows(root / fpga.CSV)["a"]
    assert (found["kws_cycles"], found["kws_per_second"], found["vww_cycles"]) == ("40000", "1250.0", "")


def test_what_is_shipped_no_more_goes_and_what_is_no_name_is_refused(root: Path) -> None:
    fpga.renew(root, [], (), root)
    (root / fpga.CONFIGS / "b.yaml").unlink()
    fpga.renew(root, ["a"], (), root)
    assert list(state(root)) == ["a"]
    with pytest.raises(InputError, match="none: no configuration that names a chip; those are a"):
        fpga.renew(root, ["none"], (), root)
    (root / fpga.README).write_text("No marks.\n")
    with pytest.raises(InputError, match=r"README\.md: has not one place for the table"):
        fpga.renew(root, ["a"], (), root)


def test_a_table_tells_why_there_is_no_clock() -> None:
    rows = {
        "a": row(Config(name="a"), synthesis(), None, "1" * 16, {}),
        "b": row(Config(name="b"), synthesis(dsp=400.0), None, "1" * 16, {}),
        "c": row(Config(name="c"), synthesis(), replace(CLOCK, mhz=50.5), "1" * 16, CYCLES),
    }
    lines = table(rows).splitlines()[2:]
    assert lines[0] == "| `a` | `ecp5-85f` | 21,234 | 13,500 | 32 | 24 | not routed |  |  |  |  |  |"
    assert "| does not fit |" in lines[1]
    assert lines[2] == "| `c` | `ecp5-85f` | 21,234 | 13,500 | 32 | 24 | 50.50 (3) | 6.46 | 1,262 |  | 316 |  |"


def test_what_nothing_routes_is_counted_and_what_fails_keeps_no_other_waiting(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / fpga.CONFIGS / "a.yaml").write_text("name: a\nrows: 4\nchip: xc7a100t\nclock_mhz: 200\n")
    (root / fpga.CONFIGS / "c.yaml").write_text("name: c\nrows: 5\nchip: ecp5-85f\nclock_mhz: 200\n")

    def synth(config: Config, chip: Chip, grade: str, seeds: Sequence[int], tell: object) -> Synthesis:
        if config.name == "b":
            raise ToolError("nextpnr 2: no place")
        return replace(synthesis(*(40.0 + 10 * seed for seed in seeds)), chip=chip)

    monkeypatch.setattr(fpga, "synth", synth)
    with pytest.raises(InputError, match="not renewed: b; --no-route counts without a router"):
        fpga.renew(root, [], (1, 2, 3), root)
    assert "b: nextpnr 2: no place" in capsys.readouterr().err
    assert state(root) == {"a": ("", "200 MHz (assumed)"), "c": ("60.00", origin(60, "median of seeds 1, 2, 3"))}
    text = (root / fpga.README).read_text()
    assert "| no open router |" in text and "| 60.00 (3) |" in text
