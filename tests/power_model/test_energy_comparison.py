"""Arithmetic that a reader can redo by hand, and what holds for any table."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.counters import Counter
from intaglio.power_model import Band, Comparison, LayerCounts, Table, compare, load_table, place
from intaglio.power_model.comparison import BASELINES
from intaglio.power_model.counts import ACTIONS
from intaglio.power_model.curve import curve
from intaglio.power_model.table import ENTRIES
from intaglio.power_model.work import Component
from tests.power_model.energy_tables import IDLE_VALUES, loaded, shipped, with_idle

EDGE64 = replace(load_config("edge64"), clock_mhz=200.0, measured_clock=None)
"""Half words of 16 bytes in memories of 8 KiB; weight words of 8 in 27 KiB; records' words of 64 in 4 KiB;
partial sums' words of 16 in 1 KiB; bus of 8."""
CORNERS = 1 << 7
"""Tried at most: every one of the shipped table, whose idle entries have no price."""


def counts(name: str = "layer", issued: int = 0, **given: int) -> LayerCounts:
    """A layer by the counters' and the fields' names, the counter MACS as `issued`; the others are 0."""
    actions = {c: issued if c == Counter.MACS else given.pop(c.name.lower(), 0) for c in ACTIONS}
    fields = dict.fromkeys(
        (
            "macs",
            "cycles",
            "fp32_cycles",
            "array_outputs",
            "add_elements",
            "pool_elements",
            "pool_outputs",
            "pool_averages",
            "table_reads",
        ),
        0,
    )
    return LayerCounts(name=name, op="Conv2D", where="accelerator", actions=actions, **{**fields, **given})


def of(layer: LayerCounts, table: Table | None = None, config: Config = EDGE64) -> Comparison:
    return compare(config, [layer], table or load_table())


def test_every_counter_is_priced_or_counts_time() -> None:
    """A new counter has to be decided on: add it to ACTIONS and work.py, or here with a reason."""
    waits = {Counter.WAIT_LOAD, Counter.WAIT_STORE, Counter.WAIT_COMMAND}
    time = {Counter.CYCLES, Counter.BUSY, Counter.FINISHING} | waits
    assert set(ACTIONS) | time | {Counter.COMMANDS} == set(Counter)
    assert not time & set(ACTIONS)


def test_one_layer_by_hand() -> None:
    layer = counts(
        macs=1000,
        issued=1200,
        cycles=100,
        fp32_cycles=150,
        array_outputs=50,
        requantizations=50,
        activation_reads=7,
        activation_writes=5,
        weight_reads=30,
        channel_reads=4,
        load_activation_words=10,
        load_weight_words=20,
        load_channel_words=6,
        store_words=3,
        fetch_words=16,
        partial_reads=9,
        partial_writes=11,
    )
    found = of(layer).total
    sram = {size: load_table().sram(size).value for size in (4096, 8192, 27648, 1024, 32768, 110592)}
    int8 = found.int8.energy
    # 1200 MACs of 0.2 + 0.1; 50 outputs of one 3.1 multiplication and three additions of 0.1; 9 words of 4 partial sums added.
    assert int8.arithmetic.value == pytest.approx(1200 * 0.3 + 50 * 3.4 + 36 * 0.1)
    activation_bits = 8 * ((7 + 5) * 16 + (10 + 3) * 8)
    weight_bits, channel_bits = 8 * (30 * 8 + 20 * 8), 8 * (4 * 64 + 6 * 8)
    partial = 8 * 20 * 16 * sram[1024]
    assert int8.on_chip.value == pytest.approx(
        activation_bits * 10 / 64 + weight_bits * sram[27648] + channel_bits * sram[4096] + partial
    )
    assert found.int8.external_bytes == 8 * (10 + 20 + 6 + 3 + 16) == 440
    assert (int8.external.low, int8.external.value, int8.external.high) == pytest.approx(
        (55 * 1300, 55 * 1950, 55 * 2600)
    )
    assert int8.total.value == pytest.approx(int8.arithmetic.value + int8.on_chip.value + int8.external.value)
    assert int8.idle is None

    for baseline in BASELINES:
        fp32 = found.fp32[baseline].energy
        # 1200 MACs of 3.7 + 0.9; 50 biases and 36 partial sums of 0.9.
        assert fp32.arithmetic.value == pytest.approx(1200 * 4.6 + 50 * 0.9 + 36 * 0.9)
        # Four times the bits from memories of four times the bytes; of a record a quarter; of a partial sum as many.
        assert fp32.on_chip.value == pytest.approx(
            4 * activation_bits * 20 / 64 + 4 * weight_bits * sram[110592] + channel_bits / 4 * sram[1024] + partial
        )
        # 33 words of operands fourfold, 6 of records a quarter, 16 of commands as they are.
        assert found.fp32[baseline].external_bytes == 8 * (4 * 33 + 6 / 4 + 16)
        assert found.gain[baseline].value == pytest.approx(fp32.total.value / int8.total.value)
    assert found.reuse == 1200 / 440
    assert (found.int8.cycles, found.fp32["equal_elements"].cycles, found.fp32["equal_bytes"].cycles) == (100, 100, 150)


def test_adds_and_pools_by_hand() -> None:
    added = of(counts(add_elements=10, requantizations=10)).total
    # Three multiplications; two zero points, three roundings, a sum and a zero point.
    assert added.int8.energy.arithmetic.value == pytest.approx(10 * (3 * 3.1 + 7 * 0.1))
    assert added.fp32["equal_bytes"].energy.arithmetic.value == pytest.approx(10 * 0.9)
    # Four windows of nine and five of one (a copy), which FP32 neither adds nor divides.
    pooled = of(counts(pool_elements=4 * 9 + 5, pool_outputs=9, pool_averages=4, requantizations=9)).total
    assert pooled.int8.energy.arithmetic.value == pytest.approx(41 * 0.1 + 9 * (3.1 + 0.3))
    assert pooled.fp32["equal_bytes"].energy.arithmetic.value == pytest.approx(4 * (8 * 0.9 + 3.7))
    # Four maxima of nine: comparisons alone in FP32.
    largest = of(counts(pool_elements=4 * 9, pool_outputs=4, requantizations=4)).total
    assert largest.int8.energy.arithmetic.value == pytest.approx(36 * 0.1 + 4 * (3.1 + 0.3))
    assert largest.fp32["equal_bytes"].energy.arithmetic.value == pytest.approx(4 * 8 * 0.9)


def test_operands_alone_fall_by_exactly_four() -> None:
    found = of(counts(load_activation_words=101, load_weight_words=33, store_words=7))
    assert found.bandwidth == found.operand_bandwidth == 4.0
    assert found.total.gain["equal_bytes"].value != 4.0  # on chip the memories are larger
    with_commands = of(counts(load_weight_words=33, fetch_words=2, load_channel_words=4))
    assert with_commands.operand_bandwidth == 4.0 and with_commands.bandwidth == (4 * 33 + 4 / 4 + 2) / 39


def test_rates_by_hand() -> None:
    found = of(counts(macs=600, issued=1000, cycles=2000, fp32_cycles=8000))
    rates = found.rates["int8"]
    assert rates.inferences_per_second == 200e6 / 2000
    assert rates.inferences_per_joule.value == pytest.approx(1 / 300e-12)
    assert rates.watts.value == pytest.approx(300e-12 * 1e5)
    # Two operations of each of the network's 600 MACs, though 1000 were issued.
    assert rates.tops_per_watt.value == pytest.approx(2 * 600 / 300e-12 / 1e12)
    assert found.rates["equal_elements"].inferences_per_second == 1e5
    assert found.rates["equal_bytes"].inferences_per_second == 25e3
    assert found.total.gain["equal_bytes"].value == pytest.approx(4.6 / 0.3)


def test_idle_by_hand(tmp_path: Path) -> None:
    table = loaded(tmp_path / "t.yaml", with_idle())
    found = of(counts(cycles=2000, fp32_cycles=8000), table).total
    seconds = 2000 / 200e6
    v = IDLE_VALUES
    int8 = (64 * v["leakage_sram"] + 64 * v["leakage_int8_element"] + 64 * 200 * v["clock_int8_element"]) * 1e-6
    kib = 4 * (32 + 27) + 4 / 4 + 1
    fp32 = (kib * v["leakage_sram"] + 64 * v["leakage_fp32_element"] + 64 * 200 * v["clock_fp32_element"]) * 1e-6
    assert found.int8.energy.idle.value == pytest.approx(1e12 * int8 * seconds)
    assert found.fp32["equal_elements"].energy.idle.value == pytest.approx(1e12 * fp32 * seconds)
    assert found.fp32["equal_bytes"].energy.idle.value == pytest.approx(1e12 * fp32 * 4 * seconds)
    assert found.int8.energy.total == found.int8.energy.idle


def test_nothing_gives_no_figures() -> None:
    found = of(counts())
    assert found.total.gain == dict.fromkeys(BASELINES) and found.bandwidth is None and found.total.reuse is None
    assert found.rates["int8"].watts is None
    assert place(found).reasons == ("nothing runs on the accelerator, so there is nothing to place",)


def random_layers(random: np.random.Generator, number: int) -> list[LayerCounts]:
    names = [c.name.lower() for c in ACTIONS if c != Counter.MACS]
    names += ["array_outputs", "add_elements", "pool_outputs", "cycles", "fp32_cycles"]
    out = []
    for i in range(number):
        values = {name: int(random.integers(0, 2000)) * int(random.integers(0, 2)) for name in names}
        pooled = {"pool_elements": 3 * values["pool_outputs"], "pool_averages": values["pool_outputs"]}
        out.append(counts(f"l{i}", macs=5, issued=int(random.integers(1, 10**5)), **pooled, **values))
    return out


def priced_at(table: Table, ends: dict[str, float]) -> Table:
    """The table with every entry at a place of its band, 0 (low) to 1 (high)."""

    def at(band: Band, end: float) -> Band:
        x = band.low + end * (band.high - band.low)
        return Band(x, x, x)

    entries = {}
    for name, entry in table.entries.items():
        price = None if entry.price is None else at(entry.price, ends[name])
        points = tuple((size, at(band, ends[name])) for size, band in entry.points)
        entries[name] = type(entry)(**{**vars(entry), "price": price, "points": points})
    return Table(table.name, table.node_nm, table.voltage, entries)


@pytest.mark.parametrize("seed", range(3))
def test_bands_hold_and_are_reached(tmp_path: Path, seed: int) -> None:
    """Tables inside the bands, the same for both sides, give gains and energies inside theirs; some corner gives the
    ends. Memories of the table's own sizes, so that nothing is extrapolated."""
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    content = with_idle() if seed % 2 else shipped()
    for name, entry in content["entries"].items():
        for part in entry.get("points", [entry]):
            if part["value"] is not None:
                part["band"] = [part["value"] / random.uniform(1, 3), part["value"] * random.uniform(1, 3)]
        if name == "sram":
            entry["points"][0]["bytes"], entry["points"][-1]["bytes"] = 64, 1 << 26
    table = loaded(tmp_path / "t.yaml", content)
    layers = random_layers(random, 3)
    found = compare(EDGE64, layers, table)
    names = [name for name in ENTRIES if name not in table.not_priced]
    for _ in range(20):
        inside = compare(EDGE64, layers, priced_at(table, {name: random.random() for name in ENTRIES}))
        for wide, narrow in ((found.total, inside.total), *zip(found.layers, inside.layers, strict=True)):
            for baseline in BASELINES:
                assert wide.gain[baseline].low <= narrow.gain[baseline].value <= wide.gain[baseline].high
            assert wide.int8.energy.total.low <= narrow.int8.energy.total.value <= wide.int8.energy.total.high
    # Of the interpolated memory the corners of the points are the corners of the price.
    corners = []
    chosen = list(itertools.product((0.0, 1.0), repeat=len(names)))
    random.shuffle(chosen)
    for ends in chosen[:CORNERS]:
        everywhere = dict.fromkeys(ENTRIES, 0.0) | dict(zip(names, ends, strict=True))
        corner = compare(EDGE64, layers, priced_at(table, everywhere))
        corners.append(corner.total.gain["equal_bytes"].value)
    gain = found.total.gain["equal_bytes"]
    assert gain.low <= min(corners) * (1 + 1e-12) and max(corners) <= gain.high * (1 + 1e-12)
    if len(chosen) <= CORNERS:
        assert (min(corners), max(corners)) == pytest.approx((gain.low, gain.high))


def test_layers_add_up_and_components_explain_the_gain() -> None:
    random = np.random.default_rng(11)
    layers = random_layers(random, 5)
    found = compare(EDGE64, layers, load_table())
    for part in ("arithmetic", "on_chip", "external", "total"):
        for end in ("value", "low", "high"):
            assert sum(getattr(getattr(x.int8.energy, part), end) for x in found.layers) == pytest.approx(
                getattr(getattr(found.total.int8.energy, part), end)
            )
    assert sum(x.int8.external_bytes for x in found.layers) == found.total.int8.external_bytes
    assert sum(found.share.values()) == pytest.approx(1)
    mean = sum(found.share[c] * (found.component_gain[c] or 0) for c in Component)
    assert mean == pytest.approx(found.total.gain["equal_elements"].value)


def test_the_curve_runs_from_four_to_the_macs_ratio() -> None:
    table = load_table()
    assert curve(table, 0) == Band(4.0, 4.0, 4.0)
    assert curve(table, 1e9).value == pytest.approx(46 / 3, rel=1e-5)
    # 100 MACs and a byte: 460 and 4 x 8 x 30.46875 pJ over 30 and 8 x 30.46875 pJ.
    assert curve(table, 100).value == pytest.approx((460 + 975) / (30 + 243.75))
    gains = [curve(table, r).value for r in (0, 1, 10, 100, 1000, 10000)]
    assert gains == sorted(gains)
    middle = curve(table, 100)
    assert middle.low < middle.value < middle.high < 46 / 3


def test_a_layer_of_macs_and_operands_alone_is_on_the_curve() -> None:
    """Without memories on chip: their energy is taken out of both sides."""
    found = of(counts(issued=40_000, load_weight_words=100)).total
    int8, fp32 = found.int8.energy, found.fp32["equal_bytes"].energy
    ratio = (fp32.total.value - fp32.on_chip.value) / (int8.total.value - int8.on_chip.value)
    assert ratio == pytest.approx(curve(load_table(), found.reuse).value)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"load_weight_words": 1000}, "external memory decides"),
        ({"weight_reads": 10**6}, "memories on chip decide"),
        ({"array_outputs": 10**6}, "arithmetic decides"),
    ],
)
def test_the_reason_is_the_largest_component(given: dict[str, int], word: str) -> None:
    assert word in place(of(counts(cycles=10, fp32_cycles=10, **given))).reasons[1]
