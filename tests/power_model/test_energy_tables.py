"""The shipped table, its interpolation, and what a table is refused for."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intaglio.errors import InputError
from intaglio.power_model import Band, load_table, shipped_tables
from tests.power_model.energy_tables import loaded, shipped, with_idle, write

KIB = 1024


def close(found: Band, value: float, low: float, high: float) -> None:
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), rel=1e-12)


def test_the_shipped_table_is_the_sources() -> None:
    assert shipped_tables() == ["horowitz45"]
    table = load_table()
    assert (table.node_nm, table.voltage) == (45, 0.9)
    published = {"int8_multiply": 0.2, "int32_add": 0.1, "int32_multiply": 3.1, "fp32_multiply": 3.7, "fp32_add": 0.9}
    for name, picojoules in published.items():
        close(table.price(name), picojoules, picojoules, picojoules)
    close(table.price("dram"), 1950 / 64, 1300 / 64, 2600 / 64)
    assert all("Horowitz" in entry.source and "Figure 1.1.9" in entry.source for entry in table.entries.values())
    assert set(table.not_priced) == {name for name in table.entries if name.startswith(("leakage", "clock"))}
    with pytest.raises(KeyError, match="leakage_sram"):
        table.price("leakage_sram")


def test_the_macs_ratio() -> None:
    """Horowitz: 4.6 pJ over 0.30 pJ."""
    table = load_table()
    assert table.fp32_mac.value == pytest.approx(4.6) and table.int8_mac.value == pytest.approx(0.30)
    assert round(table.fp32_mac.value / table.int8_mac.value, 1) == 15.3


def test_memories_between_the_points_are_a_power_of_their_size() -> None:
    table = load_table()
    for kib, access in ((8, 10), (32, 20), (1024, 100)):
        close(table.sram(kib * KIB), access / 64, access / 64, access / 64)
        assert not table.extrapolated(kib * KIB)
    assert 64 * table.sram(16 * KIB).value == pytest.approx(math.sqrt(10 * 20))
    # 256 KiB is 3 of the 5 doublings from 32 KiB to 1 MiB, which take the energy to its fivefold.
    assert 64 * table.sram(256 * KIB).value == pytest.approx(20 * 5 ** (3 / 5))


def test_memories_beyond_the_points_have_a_band() -> None:
    table = load_table()
    # A quarter of the smallest on a slope of 1/2 is half its energy; the band reaches up to the point.
    close(table.sram(2 * KIB), 5 / 64, 5 / 64, 10 / 64)
    steps = math.log2(4) / 5  # of the last segment
    close(table.sram(4096 * KIB), 100 * 5**steps / 64, 100 / 64, 100 * 5**steps / 64)
    assert table.extrapolated(2 * KIB) and table.extrapolated(4096 * KIB)


def test_units_are_converted(tmp_path: Path) -> None:
    content = shipped()
    content["entries"]["int8_multiply"] |= {"value": 200, "band": [100, 300], "unit": "fJ"}
    content["entries"]["dram"] |= {"value": 0.02, "band": [0.02, 0.04], "unit": "nJ/bit"}
    content["entries"]["leakage_sram"] |= {"value": 3, "band": [3, 3], "unit": "mW/KiB"}
    table = loaded(tmp_path / "t.yaml", content)
    close(table.price("int8_multiply"), 0.2, 0.1, 0.3)
    close(table.price("dram"), 20, 20, 40)
    close(table.price("leakage_sram"), 3e-3, 3e-3, 3e-3)


def set_entry(name: str, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["entries"][name].update(fields)


def drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


REFUSED: list[tuple[Callable[[dict[str, Any]], None], list[str]]] = [
    (set_entry("int8_multiply", value=-0.2, band=[-0.2, 0.2]), ["int8_multiply", "value = -0.2", "above 0"]),
    (set_entry("int32_add", value=0, band=[0, 0]), ["int32_add", "value = 0", "above 0"]),
    (set_entry("int32_add", value=True), ["int32_add", "value = True"]),
    (set_entry("fp32_add", value=math.nan), ["fp32_add", "value = nan"]),
    (set_entry("fp32_add", value=math.inf), ["fp32_add", "value = inf"]),
    (set_entry("fp32_add", value="0.9"), ["fp32_add", "value = '0.9'"]),
    (set_entry("fp32_add", value=None), ["fp32_add", "value = None"]),
    (set_entry("fp32_add", band=[1.0, 2.0]), ["fp32_add", "band = [1.0, 2.0]", "around the value 0.9"]),
    (set_entry("fp32_add", band=[0.9]), ["fp32_add", "band", "[low, high]"]),
    (set_entry("fp32_add", band=[-1, 2]), ["fp32_add", "band[0] = -1"]),
    (set_entry("int32_multiply", unit="kJ"), ["int32_multiply", "unit = 'kJ'", "fJ, pJ or nJ"]),
    (set_entry("int32_multiply", unit="pJ/64bit"), ["int32_multiply", "unit", "an operation"]),
    (set_entry("dram", unit="pJ"), ["dram", "unit = 'pJ'", "pJ/64bit"]),
    (set_entry("sram", unit="pJ/0bit"), ["sram", "unit"]),
    (set_entry("leakage_sram", unit="uW"), ["leakage_sram", "unit = 'uW'", "uW/KiB"]),
    (set_entry("sram", unit=["pJ"]), ["sram", "unit"]),
    (set_entry("sram", points=[{"bytes": 8192, "value": 10, "band": [10, 10]}]), ["sram", "points", "at least two"]),
    (lambda c: c["entries"]["sram"]["points"].reverse(), ["sram", "points[1]", "bytes = 32768", "more than the 1"]),
    (lambda c: c["entries"]["sram"]["points"][0].update(bytes=0), ["sram", "points[0]", "bytes = 0"]),
    (lambda c: c["entries"]["sram"]["points"][1].update(value=-1), ["sram", "points[1]", "value = -1"]),
    (drop("entries", "int32_add"), ["entry int32_add is missing"]),
    (drop("entries", "sram"), ["entry sram is missing"]),
    (drop("entries", "leakage_sram"), ["entry leakage_sram is missing", "value: null"]),
    (drop("entries", "fp32_add", "source"), ["fp32_add", "field source is missing"]),
    (drop("entries", "fp32_add", "band"), ["fp32_add", "field band is missing"]),
    (drop("entries", "leakage_sram", "note"), ["leakage_sram", "field note is missing"]),
    (drop("node_nm"), ["field node_nm is missing"]),
    (set_entry("fp32_add", source=" "), ["fp32_add", "source", "not empty"]),
    (set_entry("fp32_add", node_nm=7), ["fp32_add", "7 nm and 0.9 V", "45 nm", "two nodes do not mix"]),
    (set_entry("sram", voltage=1.2), ["sram", "45 nm and 1.2 V", "two nodes do not mix"]),
    (
        set_entry("clock_int8_element", value=1, band=[1, 1]),
        ["clock_int8_element and clock_fp32_element", "both or neither"],
    ),
    (lambda c: c["entries"].update(fp8_add={}), ["unknown entry 'fp8_add'"]),
    (set_entry("fp32_add", tolerance=1), ["fp32_add", "unknown field 'tolerance'"]),
    (lambda c: c.update(entries=[]), ["entries = []"]),
    (lambda c: c["entries"].update(dram=5), ["entry dram", "must be a mapping"]),
]


@pytest.mark.parametrize(("change", "parts"), REFUSED, ids=range(len(REFUSED)))
def test_a_wrong_table_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], parts: list[str]
) -> None:
    content = shipped()
    change(content)
    with pytest.raises(InputError) as caught:
        loaded(tmp_path / "mine.yaml", content)
    for part in ("mine.yaml", *parts):
        assert part in str(caught.value), f"{part!r} is not in {caught.value!s}"


def test_the_external_memory_is_a_chip_of_its_own(tmp_path: Path) -> None:
    content = shipped()
    content["entries"]["dram"] |= {"node_nm": 20, "voltage": 1.1}
    assert loaded(tmp_path / "t.yaml", content).entries["dram"].node_nm == 20


def test_files_that_are_no_table(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    text = write(path, with_idle()).read_text()
    contents = {
        "- 1\n": "a table is a mapping",
        "name: [": "not YAML",
        "": "a table is a mapping",
        text.replace("  int32_add:", "  int8_multiply:"): "'int8_multiply' stands twice",
        "a: &a [*a]\n": "unknown field 'a'",
    }
    for content, message in contents.items():
        path.write_text(content)
        with pytest.raises(InputError, match=r"t\.yaml") as caught:
            load_table(path)
        assert message in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        load_table(path)
    with pytest.raises(InputError, match=r"nothing.yaml.*give a YAML file or one of horowitz45"):
        load_table(tmp_path / "nothing.yaml")
    with pytest.raises(InputError, match="is a directory"):
        load_table(tmp_path)
