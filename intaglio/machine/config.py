"""The one configuration that RTL, mapper, simulator and power model read.

A frozen dataclass, validated: every refusal names the field, its value, what is
allowed and why.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import reprlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from intaglio.errors import InputError
from intaglio.machine.chips import CHIPS
from intaglio.machine.clock import Clock, MeasuredClock, clock_of
from intaglio.machine.formats import FORMATS, SUM, ElementFormat
from intaglio.machine.memory import MemoryConfig
from intaglio.machine.row_product import RowProduct, row_products
from intaglio.unique_keys import yaml_of

KIB = 1024
ROUNDINGS = ("double", "single", "away", "float")
"""Rounding modes a requantizer can have built in (network.graph.Rounding has their meaning), by isa.RoundingCode."""
CHANNEL_RECORD_BYTES = 16
"""Bytes of one output channel's constants: bias, multiplier, shift; the rest is reserved (isa.py)."""
TABLE_ENTRIES = 4
"""Entries of a table in a bus word, its lowest bytes: a block RAM of a lane is as wide, whatever the bus."""
_DEFAULT_TILES = 4
"""Array tiles that the partial-sum memory holds where its size is not given."""
INSTRUCTION_SET = 7
"""Version of the command format and of the registers; part of the configuration's hash."""
RESETS = ("rst", "aresetn")
"""Names of the reset: active high and synchronous, or AXI's, active low."""
_LATER_FIELDS = {
    "add_multipliers": True,
    "counters": True,
    "reset": "rst",
    "axi_cache": 0,
    "write_after_address": False,
    "multipliers": "dsp",
    "tables": 0,
}
"""Fields that configurations got later, with the value that means the hardware of before; with it the hash stays."""


def next_power_of_two(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


@dataclass(frozen=True)
class Config:
    """An accelerator. Sizes in bytes, rates in bytes a cycle.

    rows x cols: processing elements, output pixels x output channels.
    feed_bytes: width of the activation memory's unaligned read; 0 takes the smallest that never starves
        the array, the power of two that holds 2 * rows and 2 * requantizers.
    requantizers: output elements a cycle.
    activation_bytes, activation_banks: the activation memory and the banks (one read and one write port
        each) that it is divided into. weight_bytes, channel_bytes: the memories for weights and for
        per-channel constants. partial_bytes: the memory for sums of a reduction that goes on in a later
        command; 0 takes those of four array tiles.
    bus_bytes: width of the external port. clock_mhz: for times and power only; cycles do not depend on it.
    weight_bits, activation_bits: operand widths built in. rounding: requantizer modes built in.
    weight_zero_points: whether weights of a zero point other than 0 are built in: a subtractor a column, and 9-bit weights in the
        array.
    weight_lanes: words of weights that the array takes a cycle, 1 or 2. The second is for the second row, which then takes half of
        the reduction of an output pixel that has no others beside it; 2 means nothing to an array of one row.
    depthwise_delay: words of the delay lines between the array's rows, which let DEPTHWISE's weights pass at most one cycle more
        from row to row; 0 leaves DEPTHWISE out. It bounds the width of a patch of outputs times its stride.
    multipliers: whether the array's products are multipliers, for a chip's DSP blocks (dsp), or are made of look-up tables (lut), in
        as many cycles; or how many of its rows, the first, have multipliers, from 1 to rows - 1. packed: two rows have a multiplier
        of 25 x 18 bits a column, in a cycle more a command (row_product.row_products says which rows; an
        array without such a pair is as with dsp).
    add_multipliers: whether ADD scales its operands by multipliers, four DSP blocks for each requantizer; without, by tables of
        multiples that each ADD fills, in latency.OPERAND_WAIT cycles more.
    tables: tables of 256 bytes on chip, each of which gives any function of a byte to results on their way to the activation
        memory: 0 (none is built in), 1, 2, 4 or 8.
    counters: whether the hardware counts (machine/counters.py); without, the counters' registers read 0.
    chip: the one that it is meant for, by its name in chips.CHIPS; None for any. measured_clock: the clock that this hardware
        reached on a chip; None where none was measured. Neither changes the hardware, but the Verilog is written for the chip's family
        (hw/target.py).
    reset: the reset's port. rst: active high, synchronous. aresetn: active low, begins at once and is released synchronously, two
        cycles after the port.
    axi_cache: ARCACHE and AWCACHE of the external port. write_after_address: no word of a burst to write is offered before the
        burst's address was taken; for interconnects that want it so.
    """

    name: str = "custom"
    rows: int = 8
    cols: int = 8
    feed_bytes: int = 0
    requantizers: int = 4
    activation_bytes: int = 32 * KIB
    activation_banks: int = 2
    weight_bytes: int = 27 * KIB
    channel_bytes: int = 4 * KIB
    partial_bytes: int = 0
    bus_bytes: int = 8
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    clock_mhz: float = 200.0
    weight_bits: tuple[int, ...] = (8,)
    activation_bits: tuple[int, ...] = (8,)
    rounding: tuple[str, ...] = ROUNDINGS
    weight_zero_points: bool = True
    weight_lanes: int = 2
    depthwise_delay: int = 16
    multipliers: str | int = "dsp"
    add_multipliers: bool = True
    tables: int = 0
    counters: bool = True
    chip: str | None = None
    measured_clock: MeasuredClock | None = None
    reset: str = "rst"
    axi_cache: int = 0
    write_after_address: bool = False

    def __post_init__(self) -> None:
        if self.feed_bytes == 0 and _is_int(self.rows) and _is_int(self.requantizers):
            width = next_power_of_two(2 * max(self.rows, self.requantizers, 1))
            object.__setattr__(self, "feed_bytes", max(4, width))
        if self.partial_bytes == 0 and all(_is_int(n) and n > 0 for n in (self.rows, self.cols, self.requantizers)):
            object.__setattr__(self, "partial_bytes", _DEFAULT_TILES * self.tile_sum_bytes)
        _validate(self)

    # Widths and depths that follow from the fields.

    @cached_property
    def channel_groups(self) -> int:
        """Requantizer passes for one row of the array: ceil(cols / requantizers)."""
        return -(-self.cols // self.requantizers)

    @property
    def activation_formats(self) -> tuple[ElementFormat, ...]:
        """Formats of activations that are built in."""
        return tuple(f for f in FORMATS if f.signed and f.bits in self.activation_bits)

    @property
    def weight_formats(self) -> tuple[ElementFormat, ...]:
        """Formats of weights that are built in."""
        return tuple(f for f in FORMATS if f.signed and f.bits in self.weight_bits)

    @cached_property
    def slab_channels(self) -> int:
        """Channels that POOL reads at once: as many passes of the requantizers as feed_bytes holds, at least two."""
        return self.feed_bytes // self.requantizers * self.requantizers

    @cached_property
    def weight_word_bytes(self) -> int:
        """Bytes of one step's weights in the weight memory: cols, padded to a power of two."""
        return next_power_of_two(self.cols)

    @cached_property
    def lanes(self) -> int:
        """Weight lanes built in."""
        return min(self.weight_lanes, self.rows)

    @cached_property
    def row_products(self) -> tuple[RowProduct, ...]:
        """Each row's kind of products."""
        return row_products(self.multipliers, self.rows, self.lanes)

    @cached_property
    def packed(self) -> bool:
        """True where rows share multipliers."""
        return RowProduct.PACKED in self.row_products

    @cached_property
    def channel_word_bytes(self) -> int:
        """Bytes of one requantizer pass's records in the channel memory, padded to a power of two."""
        return CHANNEL_RECORD_BYTES * next_power_of_two(self.requantizers)

    @property
    def table_words(self) -> int:
        """Bus words of one table, of which each holds TABLE_ENTRIES."""
        return 256 // TABLE_ENTRIES

    @property
    def one_table_bytes(self) -> int:
        """Bytes of one table as LOAD takes it: whole bus words."""
        return self.table_words * self.bus_bytes

    @property
    def table_bytes(self) -> int:
        """Bytes that the memory of tables counts, as LOAD fills it."""
        return self.tables * self.one_table_bytes

    @property
    def partial_word_bytes(self) -> int:
        """Bytes of one requantizer pass's sums in the partial-sum memory."""
        return SUM.bytes * self.requantizers

    @property
    def partial_words(self) -> int:
        return self.partial_bytes // self.partial_word_bytes

    @property
    def tile_sum_bytes(self) -> int:
        """Bytes of the partial-sum memory that one array tile's sums take."""
        return self.rows * self.channel_groups * self.partial_word_bytes

    @cached_property
    def bank_bytes(self) -> int:
        """Bytes of one activation bank; a bank's addresses are contiguous."""
        return self.activation_bytes // self.activation_banks

    @property
    def half_word_bytes(self) -> int:
        """Width of each of the two interleaved memories (even and odd words) that make up a bank."""
        return max(self.feed_bytes, self.bus_bytes)

    @property
    def macs_per_cycle(self) -> int:
        return self.rows * self.cols

    @property
    def on_chip_bytes(self) -> int:
        return self.activation_bytes + self.weight_bytes + self.channel_bytes + self.partial_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in YAML."""
        out = dataclasses.asdict(self)
        for key in ("weight_bits", "activation_bits", "rounding"):
            out[key] = list(out[key])
        out["measured_clock"] = None if self.measured_clock is None else self.measured_clock.to_dict()
        return out

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Once, for plans' cycles are looked up by configuration."""
        return hash(tuple(getattr(self, f.name) for f in dataclasses.fields(self)))

    def to_yaml(self) -> str:
        return yaml_of(self.to_dict())

    def hardware_hash(self) -> int:
        """64 bits that name the hardware that a Program was made for; shown in a register.

        Covers every field that the RTL or a Program's validity depends on: not the name, the clock and its origin, the
        chip, or the external memory's rate and latency.
        """
        d = self.to_dict()
        for key in ("name", "clock_mhz", "chip", "measured_clock"):
            d.pop(key)
        d["memory"] = {"outstanding": self.memory.outstanding}
        d["instruction_set"] = INSTRUCTION_SET
        for key, usual in _LATER_FIELDS.items():
            if d[key] == usual:
                d.pop(key)
        return int.from_bytes(hashlib.sha256(json.dumps(d, sort_keys=True).encode()).digest()[:8], "little")

    @property
    def clock(self) -> Clock:
        """clock_mhz with its origin."""
        return clock_of(self.clock_mhz, self.measured_clock, f"{self.hardware_hash():016x}", self.chip)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _refuse(where: str, value: Any, allowed: str, why: str) -> None:
    raise InputError(f"configuration field {where} = {reprlib.repr(value)}: must be {allowed} ({why})")


def _whole(c: Any, where: str, low: int, high: int, why: str) -> None:
    value = c
    for part in where.split("."):
        value = getattr(value, part)
    if not _is_int(value) or not low <= value <= high:
        _refuse(where, value, f"a whole number from {low} to {high}", why)


def _validate(c: Config) -> None:
    if not isinstance(c.name, str):
        _refuse("name", c.name, "text", "it appears in reports")
    _whole(c, "rows", 1, 64, "output pixels computed side by side")
    _whole(c, "cols", 1, 128, "output channels computed side by side")
    _whole(c, "requantizers", 1, c.cols, "output elements a cycle, at most one a column")
    if c.bus_bytes not in (4, 8, 16, 32, 64) or not _is_int(c.bus_bytes):
        _refuse("bus_bytes", c.bus_bytes, "4, 8, 16, 32 or 64", "AXI4 data widths")
    need = max(4, next_power_of_two(2 * max(c.rows, c.requantizers)))
    if not _is_int(c.feed_bytes) or c.feed_bytes & (c.feed_bytes - 1) or not need <= c.feed_bytes <= 256:
        _refuse(
            "feed_bytes",
            c.feed_bytes,
            f"a power of two from {need} to 256, or 0 for {need}",
            "one read feeds each row in turn, and holds two passes of the requantizers",
        )
    _whole(c, "activation_banks", 1, 8, "each has a read and a write port")
    unit = 2 * c.half_word_bytes * c.activation_banks
    _size(c, "activation_bytes", unit, 4 * unit, "whole even and odd words in each bank")
    if c.bank_bytes & (c.bank_bytes - 1):
        _refuse(
            "activation_bytes",
            c.activation_bytes,
            f"{c.activation_banks} banks of a power of two",
            "the top address bits choose the bank",
        )
    _whole(c, "weight_lanes", 1, 2, "words of weights a cycle, one for each of the first rows")
    unit = max(c.lanes * c.weight_word_bytes, c.bus_bytes)
    _size(c, "weight_bytes", unit, 4 * unit, "whole words of one step's weights in each lane")
    unit = max(c.channel_word_bytes, c.bus_bytes)
    _size(c, "channel_bytes", unit, c.channel_groups * unit, "the records of one row of the array")
    _size(c, "partial_bytes", c.partial_word_bytes, c.tile_sum_bytes, "the sums of one array tile, or 0 for four")
    if not isinstance(c.memory, MemoryConfig):
        _refuse("memory", c.memory, "a mapping of bytes_per_cycle, latency, outstanding", "external memory")
    if not _is_int(c.memory.bytes_per_cycle) or not 1 <= c.memory.bytes_per_cycle <= c.bus_bytes:
        _refuse(
            "memory.bytes_per_cycle",
            c.memory.bytes_per_cycle,
            f"a whole number from 1 to bus_bytes ({c.bus_bytes})",
            "the bus carries no more; raise bus_bytes too for a faster memory",
        )
    _whole(c, "memory.latency", 1, 10000, "cycles from a request to its first beat")
    _whole(c, "memory.outstanding", 1, 16, "bursts in flight")
    if isinstance(c.clock_mhz, bool) or not isinstance(c.clock_mhz, int | float) or not 0 < c.clock_mhz <= 10000:
        _refuse("clock_mhz", c.clock_mhz, "a number above 0, at most 10000", "it turns cycles into seconds")
    if c.chip is not None and (not isinstance(c.chip, str) or c.chip.lower() not in CHIPS):
        _refuse("chip", c.chip, f"{', '.join(CHIPS)}, or left out", "the Verilog may be written for its family")
    for where in ("weight_bits", "activation_bits"):
        if getattr(c, where) != (8,):
            _refuse(where, getattr(c, where), "[8]", "INT8 is what this version builds")
    if not isinstance(c.rounding, tuple) or not c.rounding or any(m not in ROUNDINGS for m in c.rounding):
        _refuse("rounding", c.rounding, f"a list of {', '.join(ROUNDINGS)}", "modes of the requantizers")
    if not isinstance(c.weight_zero_points, bool):
        _refuse("weight_zero_points", c.weight_zero_points, "true or false", "whether the columns have subtractors")
    kind: Any = c.multipliers
    if kind not in ("dsp", "lut", "packed") and not (_is_int(kind) and 1 <= kind < c.rows):
        some = f", or a whole number from 1 to {c.rows - 1}" if c.rows > 1 else ""
        _refuse(
            "multipliers",
            kind,
            f"dsp, lut, packed{some}",
            "what the array's products are made of, or rows that have DSP blocks",
        )
    for where, why in (
        ("add_multipliers", "whether ADD scales by multipliers"),
        ("counters", "whether the hardware counts"),
    ):
        if not isinstance(getattr(c, where), bool):
            _refuse(where, getattr(c, where), "true or false", why)
    if not _is_int(c.tables) or c.tables not in (0, 1, 2, 4, 8):
        _refuse("tables", c.tables, "0, 1, 2, 4 or 8", "functions of a byte that are on chip at once")
    if c.reset not in RESETS:
        _refuse("reset", c.reset, " or ".join(RESETS), "the port that resets the accelerator")
    if not _is_int(c.axi_cache) or c.axi_cache not in (0, 1, 2, 3, 6, 7, 10, 11, 14, 15):
        _refuse(
            "axi_cache",
            c.axi_cache,
            "0, 1, 2, 3, 6, 7, 10, 11, 14 or 15",
            "the values that AXI4 has for a read and a write",
        )
    if not isinstance(c.write_after_address, bool):
        _refuse(
            "write_after_address",
            c.write_after_address,
            "true or false",
            "whether words wait for their burst's address",
        )
    delay = c.depthwise_delay
    if not _is_int(delay) or delay not in (0, 2, 4, 8, 16, 32, 64, 128, 256):
        _refuse(
            "depthwise_delay",
            delay,
            "0 or a power of two from 2 to 256",
            "words of the delay lines between rows, 0 without DEPTHWISE",
        )


def _size(c: Config, where: str, unit: int, least: int, why: str) -> None:
    value = getattr(c, where)
    if not _is_int(value) or value % unit or not least <= value <= 16 * 1024 * KIB:
        _refuse(where, value, f"a multiple of {unit} from {least} to {16 * 1024 * KIB}", why)
