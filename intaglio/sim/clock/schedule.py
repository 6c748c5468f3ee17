"""The input of the clock: of each command its engine, its tokens and its transfer or its length, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intaglio.compiled import compiled
from intaglio.machine.commands import FORMATS
from intaglio.machine.config import Config
from intaglio.machine.isa import ENGINE_OF, HEADER, WORDS_OF, Command, Engine, Field, Opcode, built_fields, field_of
from intaglio.machine.timing import compute_cycles, end_known, head_cycles
from intaglio.program.table import Table

COLUMNS = ("engine", "words", "wait", "signal", "external", "external_stride", "row_bytes", "rows", "memory")
"""Columns of a command's row; `words` are its own, the rest are isa.py's. In a Schedule external, external_stride and row_bytes
count bus words."""
ENGINE, WORDS, WAIT, SIGNAL, ADDRESS, STRIDE, ROW_WORDS, ROWS, MEMORY = range(len(COLUMNS))
_ENGINES = len(Engine)


@dataclass(frozen=True)
class Schedule:
    """A program's commands as the clock sees them.

    commands: int64 [commands, len(COLUMNS)]. lengths, leads: int64, of each compute command in order its cycles, at least 2,
    and by how many it may begin before the one before has ended, less than that one's cycles. program_words: 32-bit words
    that FETCH reads.
    """

    commands: NDArray[np.int64]
    lengths: NDArray[np.int64]
    leads: NDArray[np.int64]
    program_words: int


def schedule_of(config: Config, program: Table) -> Schedule:
    """The schedule of a program's table. ValueError for an invalid transfer."""
    table = np.zeros((len(program), len(COLUMNS)), np.int64)
    lengths, heads, known = np.zeros((3, len(program)), np.int64)
    for column in (WAIT, SIGNAL):
        table[:, column] = program.header[COLUMNS[column]]
    for opcode, mine in program.at.items():
        records = program.records[opcode]
        table[mine, ENGINE], table[mine, WORDS] = ENGINE_OF[opcode], WORDS_OF[opcode]
        if ENGINE_OF[opcode] == Engine.COMPUTE:
            heads[mine] = head_cycles(opcode)
            lengths[mine], known[mine] = _lengths(config, opcode, records)
        else:
            for column in range(ADDRESS, len(COLUMNS)):
                table[mine, column] = records[COLUMNS[column]]
    lengths, heads, known = (values[table[:, ENGINE] == Engine.COMPUTE] for values in (lengths, heads, known))
    leads = np.zeros_like(lengths)
    leads[1:] = np.minimum(heads[1:], known[:-1])  # timing.lead_cycles
    return _checked(table, lengths, leads, config.bus_bytes, int(table[:, WORDS].sum()))


def _lengths(config: Config, opcode: Opcode, records: NDArray[np.void]) -> tuple[list[int], list[int]]:
    """Cycles of compute commands of one opcode, and from how many before its end on that is known; alike ones are counted
    once."""
    names = [f.name for f in built_fields(opcode) if f not in HEADER and f.name not in FORMATS[opcode].timeless]
    alike = list(zip(*(records[name].tolist() for name in names), strict=True))
    commands = {key: Command(opcode, dict(zip(names, key, strict=True))) for key in dict.fromkeys(alike)}
    lengths = {key: compute_cycles(config, command) for key, command in commands.items()}
    known = {key: end_known(config, command) for key, command in commands.items()}
    return [lengths[key] for key in alike], [known[key] for key in alike]


def schedule_of_words(
    config: Config,
    words: NDArray[np.uint32],
    compute_cycles: NDArray[np.int64],
    leads: NDArray[np.int64] | None = None,
) -> Schedule:
    """The schedule of an encoded program, the lengths of its compute commands, and their leads (none where left out).
    ValueError where it is malformed."""
    words = np.ascontiguousarray(words, dtype=np.uint32)
    starts = _starts(words, _table(WORDS_OF))
    if len(starts) and starts[-1] < 0:
        raise ValueError(f"word {-starts[-1] - 1}: no such command, or cut short")
    table = np.zeros((len(starts), len(COLUMNS)), np.int64)

    def get(field: Field) -> NDArray[np.int64]:
        return (words[starts + field.word].astype(np.int64) >> field.lsb) & field.mask

    opcode = get(field_of(Opcode.LOAD, "opcode"))
    table[:, ENGINE] = _table(ENGINE_OF)[opcode]
    table[:, WORDS] = _table(WORDS_OF)[opcode]
    for column in range(WAIT, len(COLUMNS)):
        table[:, column] = get(field_of(Opcode.LOAD, COLUMNS[column]))
    table[table[:, ENGINE] == Engine.COMPUTE, ADDRESS:] = 0
    lengths = np.ascontiguousarray(compute_cycles, dtype=np.int64)
    leads = np.zeros_like(lengths) if leads is None else np.ascontiguousarray(leads, dtype=np.int64)
    return _checked(table, lengths, leads, config.bus_bytes, len(words))


def _checked(
    table: NDArray[np.int64],
    lengths: NDArray[np.int64],
    leads: NDArray[np.int64],
    bus_bytes: int,
    program_words: int,
) -> Schedule:
    """table: with bytes in place of bus words. ValueError for what no hardware runs."""
    compute = np.count_nonzero(table[:, ENGINE] == Engine.COMPUTE)
    if len(lengths) != compute or len(leads) != compute:
        raise ValueError(f"{len(lengths)} lengths and {len(leads)} leads for {compute} compute commands")
    if len(lengths) and lengths.min() < 2:
        raise ValueError(f"a compute command of {lengths.min()} cycles; every one takes at least 2")
    if (leads[1:] >= lengths[:-1]).any() or (leads < 0).any():
        raise ValueError("a compute command that may begin before the one before it does")
    for column in (ADDRESS, STRIDE, ROW_WORDS):
        if (table[:, column] & (bus_bytes - 1)).any():
            raise ValueError(f"a LOAD or STORE whose {COLUMNS[column]} is not a multiple of the bus")
        table[:, column] >>= bus_bytes.bit_length() - 1
    if (table[table[:, ENGINE] != Engine.COMPUTE][:, [ROW_WORDS, ROWS]] == 0).any():
        raise ValueError("a LOAD or STORE of no rows or no bytes")
    return Schedule(table, lengths, leads, program_words)


def _table(values: Mapping[Opcode, int] | Mapping[Opcode, Engine]) -> NDArray[np.int64]:
    """An array of values by opcode, 0 where there is none."""
    out = np.zeros(256, np.int64)
    for opcode, value in values.items():
        out[opcode] = value
    return out


@compiled()
def _starts(words: NDArray[np.uint32], words_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of each command's first word; at a malformed one, -1 - its index and an end."""
    out = np.empty(len(words), np.int64)
    at, n = 0, 0
    while at < len(words):
        length = words_of[words[at] & 255]
        if length == 0 or at + length > len(words):
            out[n] = -1 - at
            return out[: n + 1]
        out[n] = at
        n += 1
        at += length
    return out[:n]


@compiled()
def by_engine(commands: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indexes of each engine's commands in order, [engines, commands + 1]; zeros behind them. commands: a Schedule's."""
    order = np.zeros((_ENGINES, len(commands) + 1), np.int64)
    filled = np.zeros(_ENGINES, np.int64)
    for i in range(len(commands)):
        engine = commands[i, ENGINE]
        order[engine, filled[engine]] = i
        filled[engine] += 1
    return order
