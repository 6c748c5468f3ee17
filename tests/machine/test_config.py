"""Configurations: what is accepted, what is refused, and with which words."""

import dataclasses

import pytest

from intaglio.errors import InputError
from intaglio.machine.config import Config, MemoryConfig
from intaglio.machine.config_files import load_config, shipped_names
from intaglio.machine.row_product import RowProduct

KIB = 1024
DSP, LUT, PACKED = RowProduct.DSP, RowProduct.LUT, RowProduct.PACKED
SHIPPED = {  # name: rows, cols, bytes on chip, bus
    "tiny16": (4, 4, 32 * KIB, 8),
    "edge64": (8, 8, 64 * KIB, 8),
    "edge256": (16, 16, 128 * KIB, 8),
    "wide": (8, 32, 128 * KIB, 8),
    "edge1024": (32, 32, 512 * KIB, 32),
    "tang20k": (4, 4, 34.25 * KIB, 4),
    "colorlight": (4, 4, 34.25 * KIB, 4),
    "ulx3s": (8, 16, 140 * KIB, 4),
    "arty35": (8, 8, 69 * KIB, 8),
    "arty100": (16, 16, 144 * KIB, 8),
}
BOARDS = {  # name: chip, cycles to the board's memory, bursts in flight
    "tang20k": ("gw2ar-18", 16, 2),
    "colorlight": ("ecp5-25f", 16, 4),
    "ulx3s": ("ecp5-85f", 16, 4),
    "arty35": ("xc7a35t", 32, 4),
    "arty100": ("xc7a100t", 32, 4),
}


def test_the_shipped_ones():
    assert shipped_names() == sorted(SHIPPED)
    for name, (rows, cols, on_chip, bus) in SHIPPED.items():
        c = load_config(name)
        assert (c.name, c.rows, c.cols, c.on_chip_bytes, c.bus_bytes) == (name, rows, cols, on_chip, bus)
        chip, latency, outstanding = BOARDS.get(name, (c.chip, 32, 8))
        assert c.chip == chip and c.memory == MemoryConfig(bus, latency, outstanding) and c.counters
        if name not in BOARDS:
            assert c.clock_mhz == (200 if c.measured_clock is None else c.measured_clock.mhz)


@pytest.mark.parametrize(
    "override, message",
    [
        ("rows=0", "field rows = 0: must be a whole number from 1 to 64"),
        ("rows=true", "field rows = True: must be"),
        ("cols=2.5", "field cols = 2.5: must be"),
        ("requantizers=9", "field requantizers = 9: must be a whole number from 1 to 8"),
        ("bus_bytes=12", "field bus_bytes = 12: must be 4, 8, 16, 32 or 64"),
        ("feed_bytes=8", "field feed_bytes = 8: must be a power of two from 16 to 256"),
        ("activation_bytes=100", "field activation_bytes = 100: must be a multiple of 64"),
        ("activation_bytes=12288", "field activation_bytes = 12288: must be 2 banks of a power of two"),
        ("channel_bytes=64", "field channel_bytes = 64: must be"),
        ("memory.bytes_per_cycle=9", "field memory.bytes_per_cycle = 9: must be a whole number from 1 to bus_bytes"),
        ("memory.latency=0", "field memory.latency = 0: must be"),
        ("memory=fast", "field memory = 'fast': must be a mapping"),
        ("clock_mhz=.nan", "field clock_mhz = nan: must be"),
        ("weight_bits=[4]", r"field weight_bits = \(4,\): must be \[8\]"),
        ("weight_zero_points=1", "field weight_zero_points = 1: must be true or false"),
        ("weight_lanes=0", "field weight_lanes = 0: must be a whole number from 1 to 2"),
        ("weight_lanes=3", "field weight_lanes = 3: must be"),
        ("weight_lanes=true", "field weight_lanes = True: must be"),
        ("weight_bytes=28680", "field weight_bytes = 28680: must be a multiple of 16 from 64"),
        ("depthwise_delay=12", "field depthwise_delay = 12: must be 0 or a power of two from 2 to 256"),
        ("depthwise_delay=true", "field depthwise_delay = True: must be"),
        ("rounding=[]", r"field rounding = \(\): must be a list of double, single, away, float"),
        ("speed=3", "unknown configuration field speed; the fields are name, rows"),
        ("memory.speed=3", "unknown configuration field memory.speed; the fields are memory.bytes_per_cycle"),
        ("rows", "--set rows: write FIELD=VALUE"),
        ("rows=[", "--set rows=.: not YAML"),
        ("rows.x=1", "--set rows.x=1: rows has no fields of its own"),
    ],
)
def test_refusals_name_field_value_and_what_is_allowed(override, message):
    with pytest.raises(InputError, match=message):
        load_config("edge64", [override])


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "a configuration is a mapping of fields to values, not nothing"),
        ("[" * 5000, "not YAML"),
        ("rows: 2001-99-99", "not YAML"),
        ("rows: *x", "not YAML"),
        ("1: 2", "unknown configuration field 1"),
        # Nested aliases, 9**9 elements if they were written out.
        (
            "rows: [x]\n".replace("rows", "a").replace("[x]", "&a [x, x, x, x, x, x, x, x, x]")
            + "".join(f"{n}: &{n} [{', '.join(['*' + p] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True))
            + "rows: *i\n",
            "unknown configuration field a",
        ),
    ],
    ids=["empty", "deep", "date", "alias", "key", "bomb"],
)
def test_files_that_are_no_configuration(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as refusal:
        load_config(path)
    assert str(path) in str(refusal.value) and len(str(refusal.value)) < 1000


def test_paths_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path, "/dev/zero"):
        with pytest.raises(InputError, match=f"give a YAML file or one of {', '.join(shipped_names())}"):
            load_config(path)


def test_the_feed_follows_a_changed_shape():
    assert load_config("tiny16").feed_bytes == 8
    assert load_config("tiny16", ["rows=5", "cols=7"]).feed_bytes == 16
    assert load_config("tiny16", ["rows=5", "cols=7", "feed_bytes=64"]).feed_bytes == 64


def test_yaml_round_trip(tmp_path):
    c = load_config("wide", ["memory.latency=7", "clock_mhz=62.5"])
    path = tmp_path / "c.yaml"
    path.write_text(c.to_yaml())
    assert load_config(path) == c


def test_the_hash_names_the_hardware_only():
    c = Config()
    same = dataclasses.replace(c, name="x", clock_mhz=5, memory=MemoryConfig(1, 200))
    assert same.hardware_hash() == c.hardware_hash()
    for change in (
        {"rows": 7},
        {"weight_bytes": 14336},
        {"rounding": ("double",)},
        {"weight_zero_points": False},
        {"depthwise_delay": 8},
        {"weight_lanes": 1},
        {"counters": False},
        {"add_multipliers": False},
        {"reset": "aresetn"},
        {"axi_cache": 3},
        {"write_after_address": True},
        {"multipliers": "lut"},
        {"multipliers": 3},
        {"multipliers": "packed"},
        {"memory": MemoryConfig(outstanding=4)},
    ):
        assert dataclasses.replace(c, **change).hardware_hash() != c.hardware_hash()


def of(field: str, value: object, **others: object) -> Config:
    """A configuration with one field, dotted for memory's, at a value."""
    head, _, leaf = field.partition(".")
    base: dict[str, object] = {"requantizers": 1, **others}
    return Config(**{**base, head: MemoryConfig(**{"bytes_per_cycle": 1, leaf: value}) if leaf else value})


SEVERAL = {"activation_bytes": 64 * KIB}
LIMITS = {  # field, what is accepted, what is not, the fields beside it
    "rows": ([1, 2, 63, 64], [0, 65, 1.0, True], SEVERAL),
    "cols": ([1, 2, 127, 128], [0, 129, "8"], SEVERAL),
    "requantizers": ([1, 5, 8], [0, 9], SEVERAL),
    "bus_bytes": ([4, 8, 16, 32, 64], [2, 5, 12, 65, 128, 4.0], {**SEVERAL, "memory": MemoryConfig(4)}),
    "feed_bytes": ([16, 32, 64, 128, 256], [8, 24, 512, 16.0], SEVERAL),
    "activation_banks": ([1, 2, 4, 8], [0, 9], SEVERAL),
    "weight_lanes": ([1, 2], [0, 3, True], {}),
    "memory.bytes_per_cycle": ([1, 2, 7, 8], [0, 9, 1.0], {}),
    "memory.latency": ([1, 2, 9999, 10000], [0, 10001], {}),
    "memory.outstanding": ([1, 2, 15, 16], [0, 17], {}),
    "clock_mhz": ([0.001, 1, 10000, 9999.5], [0, -1, 10000.5, float("inf"), True], {}),
    "depthwise_delay": (
        [0, 2, 4, 8, 16, 32, 64, 128, 256],
        [1, 3, 5, 7, 9, 15, 17, 31, 33, 63, 65, 127, 129, 255, 257, 512, -2, 2.0],
        {},
    ),
    "activation_bytes": ([256, 512, 16 * 1024 * KIB], [128, 192, 320, 384, 32 * 1024 * KIB, 512.0], {}),
    "weight_bytes": ([64, 80, 96, 16 * 1024 * KIB], [48, 72, 16 * 1024 * KIB + 16], {}),
    "channel_bytes": ([128, 144, 16 * 1024 * KIB], [112, 136, 16 * 1024 * KIB + 16], {}),
    "partial_bytes": ([256, 260, 16 * 1024 * KIB], [252, 258, 16 * 1024 * KIB + 4], {}),
    "weight_zero_points": ([True, False], [0, 1], {}),
    "counters": ([True, False], [0, "no"], {}),
    "multipliers": (["dsp", "lut", "packed", 1, 7], ["luts", 0, 8, -1, 1.0, True, None, ["dsp"]], {}),
    "add_multipliers": ([True, False], [1, "yes"], {}),
    "reset": (["rst", "aresetn"], ["rst_n", "", None], {}),
    "axi_cache": ([0, 3, 15], [4, 5, 8, 13, 16, -1, True, "3"], {}),
    "write_after_address": ([True, False], [0, 1], {}),
    "rounding": ([("double",), ("float", "away")], [(), ("up",), ["double"]], {}),
}


@pytest.mark.parametrize("field", LIMITS)
def test_limits(field: str) -> None:
    """The least and the greatest of each field, and what lies just beyond."""
    accepted, refused, others = LIMITS[field]
    for value in accepted:
        c = of(field, value, **others)
        assert c.to_dict() and c.hardware_hash()
    for value in refused:
        with pytest.raises(InputError, match=rf"field {field} = "):
            of(field, value, **others)


def test_an_array_of_one_row_has_all_multipliers_or_none() -> None:
    one = {"rows": 1, "requantizers": 1}
    for kind, products in (("dsp", (DSP,)), ("lut", (LUT,)), ("packed", (DSP,))):
        assert Config(**one, multipliers=kind).row_products == products
    assert Config(multipliers=3).row_products == 3 * (DSP,) + 5 * (LUT,)
    with pytest.raises(InputError, match=r"field multipliers = 1: must be dsp, lut, packed \("):
        Config(**one, multipliers=1)


@pytest.mark.parametrize(
    ("rows", "lanes", "products"),
    [
        (2, 1, [PACKED, PACKED]),
        (2, 2, [DSP, DSP]),
        (3, 1, [PACKED, PACKED, DSP]),
        (3, 2, [DSP, DSP, DSP]),
        (4, 2, [DSP, DSP, PACKED, PACKED]),
        (7, 2, [DSP, DSP, PACKED, PACKED, PACKED, PACKED, DSP]),
    ],
)
def test_rows_that_share_multipliers(rows: int, lanes: int, products: list[RowProduct]) -> None:
    c = Config(rows=rows, weight_lanes=lanes, multipliers="packed")
    assert c.row_products == tuple(products) and c.packed == (PACKED in products)


def test_what_follows_from_the_fields() -> None:
    """By hand, for shapes in which rounding up matters."""
    c = Config(
        rows=5,
        cols=7,
        requantizers=3,
        activation_bytes=64 * KIB,
        activation_banks=4,
        weight_bytes=8000,
        channel_bytes=4096,
        bus_bytes=32,
        memory=MemoryConfig(4),
    )
    assert (c.feed_bytes, c.channel_groups, c.slab_channels, c.half_word_bytes, c.bank_bytes) == (16, 3, 15, 32, 16384)
    assert (c.weight_word_bytes, c.channel_word_bytes, c.partial_word_bytes, c.tile_sum_bytes) == (8, 64, 12, 180)
    assert (c.partial_bytes, c.partial_words, c.lanes, c.macs_per_cycle) == (720, 60, 2, 35)
    assert c.on_chip_bytes == 64 * KIB + 8000 + 4096 + 720
    one = Config(rows=1, cols=1, requantizers=1, bus_bytes=4, memory=MemoryConfig(4))
    assert (one.feed_bytes, one.lanes, one.channel_groups, one.weight_word_bytes, one.partial_bytes) == (4, 1, 1, 1, 16)
