"""Counts as terms: so many of an action, priced by one entry of a table. docs/energy.md has the same as tables.

A reader can redo a layer by hand: its energy is the sum of amount x price over its terms.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from intaglio.machine.config import CHANNEL_RECORD_BYTES, KIB, TABLE_ENTRIES, Config
from intaglio.machine.counters import Counter
from intaglio.power_model.counts import LayerCounts

FP32_BYTES = 4
"""Bytes of an FP32 operand; of an INT8 one it is 1."""
FP32_RECORD_BYTES = 4
"""Bytes of an FP32 channel's record, which is the bias alone: no multiplier, no shift."""


class Component(enum.IntEnum):
    """The parts of a machine that energy goes to."""

    ARITHMETIC = 0
    ON_CHIP = 1
    EXTERNAL = 2
    IDLE = 3


class Side(enum.IntEnum):
    """The integer array, or the same array and schedule in FP32."""

    INT8 = 0
    FP32 = 1


@dataclass(frozen=True)
class Term:
    """amount: operations, bits (sram, dram) or, for idle entries, units x seconds. entry: of the table; capacity: of
    the memory in bytes, for sram."""

    component: Component
    entry: str
    amount: float
    capacity: int = 0


# Operations of one element of each kind of work, by entry of the table.
#
# Scaling a sum to INT8 is one 32-bit multiplication and two additions (half a unit for the rounding, and the zero
# point); shifts and clamps are in no table. FP32 needs none of it.
_SCALE = {"int32_multiply": 1, "int32_add": 2}
_OPERATIONS: dict[Side, dict[str, dict[str, int]]] = {
    Side.INT8: {
        "mac": {"int8_multiply": 1, "int32_add": 1},
        "array_output": {"int32_multiply": 1, "int32_add": 1 + _SCALE["int32_add"]},  # the bias
        # TFLite's: each operand less its zero point, scaled, rounded; their sum; scaled to the output.
        "add_element": {"int32_multiply": 3, "int32_add": 2 * 2 + 1 + _SCALE["int32_add"]},
        "pool_element": {"int32_add": 1},  # for a maximum the comparison: no table has an 8-bit addition
        "pool_output": {"int32_multiply": 1, "int32_add": 1 + _SCALE["int32_add"]},
        "partial_sum": {"int32_add": 1},
    },
    Side.FP32: {
        "mac": {"fp32_multiply": 1, "fp32_add": 1},
        "array_output": {"fp32_add": 1},  # the bias
        "add_element": {"fp32_add": 1},
        "pool_addition": {"fp32_add": 1},  # or comparison
        "pool_average": {"fp32_multiply": 1},
        "partial_sum": {"fp32_add": 1},
    },
}


def terms(config: Config, counts: LayerCounts, side: Side, cycles: int) -> Iterator[Term]:
    """Everything that a layer costs on one side. cycles: its time there, at config.clock_mhz."""
    yield from _arithmetic(config, counts, side)
    yield from _on_chip(config, counts, side)
    yield Term(Component.EXTERNAL, "dram", 8 * external_bytes(config, counts, side))
    yield from _idle(config, side, cycles)


def _arithmetic(config: Config, counts: LayerCounts, side: Side) -> Iterator[Term]:
    amounts = {
        "mac": counts.actions[Counter.MACS],
        "array_output": counts.array_outputs,
        "add_element": counts.add_elements,
        "pool_element": counts.pool_elements,
        "pool_output": counts.pool_outputs,
        "pool_addition": counts.pool_elements - counts.pool_outputs,  # n elements take n - 1
        "pool_average": counts.pool_averages,
        "partial_sum": config.requantizers * counts.actions[Counter.PARTIAL_READS],
    }
    for work, operations in _OPERATIONS[side].items():
        for entry, number in operations.items():
            yield Term(Component.ARITHMETIC, entry, number * amounts[work])


def _on_chip(config: Config, counts: LayerCounts, side: Side) -> Iterator[Term]:
    a = counts.actions
    activation, weight, channel = capacities(config, side)
    scale, record = _scales(side)
    bus = config.bus_bytes
    moved = {
        activation: scale
        * (
            config.half_word_bytes * (a[Counter.ACTIVATION_READS] + a[Counter.ACTIVATION_WRITES])
            + bus * (a[Counter.LOAD_ACTIVATION_WORDS] + a[Counter.STORE_WORDS])
        ),
    }
    weights = config.weight_word_bytes * a[Counter.WEIGHT_READS] + bus * a[Counter.LOAD_WEIGHT_WORDS]
    records = config.channel_word_bytes * a[Counter.CHANNEL_READS] + bus * a[Counter.LOAD_CHANNEL_WORDS]
    # A partial sum is 32 bits on either side.
    sums = config.partial_word_bytes * (a[Counter.PARTIAL_READS] + a[Counter.PARTIAL_WRITES])
    memories = [(weight, scale * weights), (channel, record * records), (config.partial_bytes, sums)]
    if config.tables:  # of a byte on either side: what FP32 hardware has for such a function no table of energies tells
        memories.append((TABLE_ENTRIES * config.tables * config.table_words, TABLE_ENTRIES * counts.table_reads))
    for capacity, amount in memories:
        moved[capacity] = moved.get(capacity, 0) + amount
    for capacity, amount in moved.items():
        yield Term(Component.ON_CHIP, "sram", 8 * amount, capacity)


def capacities(config: Config, side: Side) -> tuple[int, int, int]:
    """Bytes of one memory for activations (a bank is two of them, even and odd words), for weights, for records."""
    scale, record = _scales(side)
    return (
        int(scale * (config.bank_bytes // 2)),
        int(scale * config.weight_bytes),
        max(1, int(record * config.channel_bytes)),
    )


def external_bytes(config: Config, counts: LayerCounts, side: Side) -> float:
    """Moved outside: operands, records and the commands, which are the same on both sides."""
    a = counts.actions
    scale, record = _scales(side)
    return config.bus_bytes * (
        scale * (a[Counter.LOAD_ACTIVATION_WORDS] + a[Counter.LOAD_WEIGHT_WORDS] + a[Counter.STORE_WORDS])
        + record * a[Counter.LOAD_CHANNEL_WORDS]
        + a[Counter.FETCH_WORDS]
    )


def operand_bytes(config: Config, counts: LayerCounts, side: Side) -> float:
    """Bytes outside of activations and weights alone: FP32's are exactly four times INT8's."""
    a = counts.actions
    words = a[Counter.LOAD_ACTIVATION_WORDS] + a[Counter.LOAD_WEIGHT_WORDS] + a[Counter.STORE_WORDS]
    return config.bus_bytes * _scales(side)[0] * words


def _scales(side: Side) -> tuple[float, float]:
    """Bytes of an operand and of a channel's record, in those of INT8."""
    return (1, 1) if side == Side.INT8 else (FP32_BYTES, FP32_RECORD_BYTES / CHANNEL_RECORD_BYTES)


def _idle(config: Config, side: Side, cycles: int) -> Iterator[Term]:
    seconds = cycles / (config.clock_mhz * 1e6)
    scale, record = _scales(side)
    operands = scale * (config.activation_bytes + config.weight_bytes)
    kib = (operands + record * config.channel_bytes + config.partial_bytes) / KIB
    element = side.name.lower()
    yield Term(Component.IDLE, "leakage_sram", kib * seconds)
    yield Term(Component.IDLE, f"leakage_{element}_element", config.macs_per_cycle * seconds)
    yield Term(Component.IDLE, f"clock_{element}_element", config.macs_per_cycle * config.clock_mhz * seconds)
