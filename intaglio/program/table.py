"""A program's commands as numbers, so that compiled code can look at all of them: for each opcode an array of
records."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import itemgetter

import numpy as np

from intaglio.machine.isa import FIELDS, HEADER, WORDS_OF, Command, Opcode


@dataclass(frozen=True)
class Table:
    """at: of each opcode that occurs, the indices of its commands, ascending; records: their fields by name, int64, the
    opcode too. header: the fields that all commands have, by name, int64 [commands]."""

    at: dict[Opcode, np.ndarray]
    records: dict[Opcode, np.ndarray]
    header: np.ndarray

    def __len__(self) -> int:
        return len(self.header)

    def reordered(self, order: np.ndarray) -> Table:
        """The table of the same commands in another order: order[i] is the i-th."""
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        at = {opcode: place[mine] for opcode, mine in self.at.items()}
        ranks = {opcode: np.argsort(mine) for opcode, mine in at.items()}
        records = {opcode: records[ranks[opcode]] for opcode, records in self.records.items()}
        return Table({opcode: mine[ranks[opcode]] for opcode, mine in at.items()}, records, self.header[order])


def table_of(commands: Sequence[Command]) -> Table:
    """ValueError or TypeError, as of Command.words, where a command cannot be encoded."""
    opcodes = np.array([int(command.opcode) for command in commands], np.int64)
    header = np.zeros(len(commands), [(f.name, np.int64) for f in HEADER])
    table = Table({}, {}, header)
    for opcode in FIELDS:
        at = np.flatnonzero(opcodes == opcode)
        if at.size:
            table.at[opcode] = at
            table.records[opcode] = records = _records(opcode, [commands[i] for i in at.tolist()])
            for f in HEADER:
                header[f.name][at] = records[f.name]
    if sum(map(len, table.at.values())) != len(commands):
        raise ValueError(f"opcodes {sorted(set(opcodes.tolist()) - set(FIELDS))} are none")
    return table


def joined(tables: Sequence[Table]) -> Table:
    """The table of programs one after another."""
    begins = np.cumsum([0, *map(len, tables)]).tolist()
    at, records = {}, {}
    for opcode in FIELDS:
        having = [(begin, table) for begin, table in zip(begins, tables, strict=False) if opcode in table.at]
        if having:
            at[opcode] = np.concatenate([table.at[opcode] + begin for begin, table in having])
            records[opcode] = np.concatenate([table.records[opcode] for _, table in having])
    return Table(at, records, np.concatenate([table_of(()).header, *(table.header for table in tables)]))


def _records(opcode: Opcode, commands: Sequence[Command]) -> np.ndarray:
    form = _form(opcode, False)
    given = [command.fields for command in commands]
    known = all(map(frozenset(form.names).issuperset, given))
    if not known:  # some command gives a reserved field, or one that is none
        form = _form(opcode, True)
        known = all(map(frozenset(form.names).issuperset, given))
    names = form.names
    try:
        try:
            flat = array("q", chain.from_iterable(map(itemgetter(*names), given)))
        except KeyError:  # some command lacks some field, which then is 0
            flat = array("q", [of.get(name, 0) for of in given for name in names])
    except OverflowError as error:
        raise ValueError(f"a field does not fit: {error}") from None
    values = np.zeros((len(given), len(form.dtype)), np.int64)
    values[:, 0] = opcode
    gathered = np.array(flat).reshape(len(given), len(names))
    for to, at in form.columns:
        values[:, to] = gathered[:, at]
    if not known or ((values < form.low) | (values > form.high)).any():
        for command in commands:
            command.words()  # raises
    return values.view(form.dtype)[:, 0]


@dataclass(frozen=True)
class _Form:
    """An opcode's records. names: of fields that are given, without the opcode; columns: their places, in a record and among them.
    low, high: of every field."""

    names: tuple[str, ...]
    columns: list[tuple[slice, slice]]
    low: np.ndarray
    high: np.ndarray
    dtype: list[tuple[str, type]]


def _slices(columns: Sequence[int]) -> list[tuple[slice, slice]]:
    """Runs of neighbouring columns, and their numbers."""
    starts = [i for i, column in enumerate(columns) if not i or columns[i - 1] != column - 1]
    ends = [*starts[1:], len(columns)]
    return [(slice(columns[a], columns[a] + b - a), slice(a, b)) for a, b in zip(starts, ends, strict=True)]


@cache
def _form(opcode: Opcode, reserved: bool) -> _Form:
    """reserved: whether reserved fields may be given."""
    fields = FIELDS[opcode]
    assert fields[0].name == "opcode"
    columns = [i for i, f in enumerate(fields) if i and (reserved or not f.reserved)]
    return _Form(
        tuple(fields[i].name for i in columns),
        _slices(columns),
        np.array([f.low for f in fields]),
        np.array([f.high for f in fields]),
        [(f.name, np.int64) for f in fields],
    )


def words_of(table: Table) -> np.ndarray:
    """uint32: the commands one after another, encoded."""
    lengths = np.zeros(len(table), np.int64)
    for opcode, at in table.at.items():
        lengths[at] = WORDS_OF[opcode]
    begins = np.cumsum(lengths) - lengths
    out = np.zeros(int(lengths.sum()), np.int64)
    for opcode, records in table.records.items():
        for f in FIELDS[opcode]:
            if f.reserved and not records[f.name].any():
                continue
            out[begins[table.at[opcode]] + f.word] |= (records[f.name] & f.mask) << f.lsb
    return out.astype(np.uint32)
