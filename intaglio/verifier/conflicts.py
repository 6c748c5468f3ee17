"""Conflicts between commands by the bytes that they touch: which may not run at once, or may not run at all.

Footprints (footprint.py) are first compared by their bounds; only where those meet, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.config import Config
from intaglio.machine.isa import Command, LocalMemory
from intaglio.machine.opcodes import ByOpcode, Engine, Opcode
from intaglio.program.table import Table
from intaglio.verifier.footprint import EXTERNAL, Footprints, footprints_of
from intaglio.verifier.overwritten import overwrites_input

_ACTIVATION = int(LocalMemory.ACTIVATION)
_MOST_BANK = 62
"""Beyond the memory's last bank; bytes there are refused anyway."""
_NOTHING, _BYTES, _PORT = range(3)


class Touched(NamedTuple):
    """Footprints with, of each command and role (int64 [commands, ROLES]), the bounds [low, high) of its bytes, 0 where
    there are none, and the activation banks that hold some, as bits. in_place: 1 for commands that may write where they
    read, element by element."""

    rows: Footprints
    low: np.ndarray
    high: np.ndarray
    banks: np.ndarray
    in_place: np.ndarray


def _never(records: np.ndarray) -> np.ndarray:
    return np.zeros(len(records), np.int64)


_IN_PLACE: ByOpcode[Callable[[np.ndarray], np.ndarray]] = ByOpcode(
    "in place",
    {
        Opcode.LOAD: _never,
        Opcode.STORE: _never,
        Opcode.CONV: _never,
        Opcode.ADD: lambda adds: np.ones(len(adds), np.int64),
        Opcode.POOL: lambda pools: pools["kernel_rows"] * pools["kernel_cols"] == 1,
        Opcode.DEPTHWISE: _never,
    },
)
"""The commands of an opcode, as a Table's records, that may write where they read."""


def touched_by(config: Config, table: Table) -> Touched:
    """Footprints, bounds and banks of commands that `legality.rules` finds nothing wrong with."""
    rows = footprints_of(config, table)
    low, high, banks = (np.zeros_like(rows.first) for _ in range(3))
    _bounds(rows, config.bank_bytes, low, high, banks)
    in_place = np.zeros(len(table), np.int64)
    for opcode, at in table.at.items():
        in_place[at] = _IN_PLACE[opcode](table.records[opcode])
    return Touched(rows, low, high, banks, in_place)


def first_fault(
    config: Config, commands: Sequence[Command], external_bytes: int, touched: Touched
) -> tuple[int, str] | None:
    """(index, reason) of the first command that touches bytes which are not there, or overwrites its own input."""
    sizes = np.array([*(getattr(config, f"{memory.name.lower()}_bytes") for memory in LocalMemory), external_bytes])
    index, role, overwrites = _first_fault(touched, sizes, 0)
    while overwrites and not _overwrites(config, commands[index], touched, index, sizes):
        index, role, overwrites = _first_fault(touched, sizes, index + 1)
    if index < 0:
        return None
    memory, low, high = (int(x[index, role]) for x in (touched.rows.memory, touched.low, touched.high))
    if overwrites:
        return index, f"writes bytes {low} to {high - 1}, which it also reads"
    verb = "writes" if touched.rows.write[index, role] else "reads"
    return index, f"{verb} bytes {low} to {high - 1} of {_name(memory)}, which has {sizes[memory]}"


def first_conflict(touched: Touched, engines: np.ndarray, clocks: np.ndarray) -> tuple[int, int, str] | None:
    """(later, earlier, reason) of the first command that conflicts with one before it, of another engine, which may
    still run when it starts. engines: [commands]; clocks: as of liveness.clocks."""
    later, earlier, a, b, kind = _first_conflict(touched, engines, clocks)
    if later < 0:
        return None
    if kind == _BYTES:
        low = max(touched.low[earlier, a], touched.low[later, b])
        high = min(touched.high[earlier, a], touched.high[later, b])
        return later, earlier, f"both touch bytes {low} to {high - 1} of {_name(int(touched.rows.memory[later, b]))}"
    shared = int(touched.banks[earlier, a] & touched.banks[later, b])
    port = "write" if touched.rows.write[later, b] else "read"
    return later, earlier, f"both use the {port} port of activation bank {(shared & -shared).bit_length() - 1}"


def _overwrites(config: Config, command: Command, touched: Touched, index: int, sizes: np.ndarray) -> bool:
    """The same byte by byte, for gaps between pixels are in a footprint too; true where it is no COMPUTE command's, or where
    it may write beyond the memory."""
    inside = (touched.low[index] >= 0).all() and (touched.high[index] <= sizes[touched.rows.memory[index]]).all()
    return command.engine is not Engine.COMPUTE or not inside or overwrites_input(config, command)


def _name(memory: int) -> str:
    return "external memory" if memory == EXTERNAL else f"the {LocalMemory(memory).name.lower()} memory"


@compiled()
def _bounds(rows: Footprints, bank_bytes: int, low: np.ndarray, high: np.ndarray, banks: np.ndarray) -> None:
    for index in range(len(low)):
        for role in range(low.shape[1]):
            for row in range(rows.first[index, role], rows.end[index, role]):
                start, end = rows.starts[row], rows.ends[row]
                first = row == rows.first[index, role]
                low[index, role] = start if first else min(low[index, role], start)
                high[index, role] = end if first else max(high[index, role], end)
                if rows.memory[index, role] == _ACTIVATION:
                    for bank in range(start // bank_bytes, min((end - 1) // bank_bytes, _MOST_BANK) + 1):
                        banks[index, role] |= 1 << bank


@compiled()
def _first_fault(touched: Touched, sizes: np.ndarray, begin: int) -> tuple[int, int, bool]:
    """(index, role, whether that is its own input overwritten) from command `begin` on; index is -1 where there is no fault."""
    write, roles = touched.rows.write, touched.low.shape[1]
    for index in range(begin, len(touched.low)):
        for role in range(roles):
            if touched.low[index, role] < 0 or touched.high[index, role] > sizes[touched.rows.memory[index, role]]:
                return index, role, False
        for w in range(roles):
            for r in range(roles):
                if write[index, w] and not write[index, r] and _meet(touched, index, w, index, r):
                    same = touched.in_place[index] and _same(touched.rows, index, w, r)
                    if not same and _share_bytes(touched.rows, index, w, index, r):
                        return index, w, True
    return -1, -1, False


@compiled()
def _first_conflict(touched: Touched, engines: np.ndarray, clocks: np.ndarray) -> tuple[int, int, int, int, int]:
    """(later, earlier, its role, the later's role, _BYTES or _PORT); later is -1 where there is no conflict."""
    previous = np.zeros_like(clocks)  # the latest command of each engine before
    latest = np.zeros_like(clocks[0])
    latest[:] = -1
    for later in range(len(clocks)):
        for engine in range(len(latest)):
            previous[later, engine] = latest[engine]
            earlier = latest[engine] if engine != engines[later] else -1
            while earlier > clocks[later, engine]:
                for a in range(touched.low.shape[1]):
                    for b in range(touched.low.shape[1]):
                        kind = _conflict(touched, earlier, a, later, b)
                        if kind != _NOTHING:
                            return later, earlier, a, b, kind
                earlier = previous[earlier, engine]
        latest[engines[later]] = later
    return -1, -1, -1, -1, _NOTHING


@compiled()
def _conflict(touched: Touched, one: int, a: int, two: int, b: int) -> int:
    """The reason, _NOTHING if none, for which the commands of two footprints may not run at once."""
    write = touched.rows.write
    if (
        (write[one, a] or write[two, b])
        and _meet(touched, one, a, two, b)
        and _share_bytes(touched.rows, one, a, two, b)
    ):
        return _BYTES
    return _PORT if write[one, a] == write[two, b] and touched.banks[one, a] & touched.banks[two, b] else _NOTHING


@compiled()
def _meet(touched: Touched, one: int, a: int, two: int, b: int) -> bool:
    """True if the bounds of two footprints of one memory overlap."""
    overlap: bool = (
        touched.rows.memory[one, a] == touched.rows.memory[two, b]
        and touched.low[one, a] < touched.high[two, b]
        and touched.low[two, b] < touched.high[one, a]
    )
    return overlap


@compiled()
def _same(rows: Footprints, index: int, a: int, b: int) -> bool:
    """True if two footprints have the same rows, one by one."""
    count, at, other = rows.end[index, a] - rows.first[index, a], rows.first[index, a], rows.first[index, b]
    for i in range(count):
        if rows.starts[at + i] != rows.starts[other + i] or rows.ends[at + i] != rows.ends[other + i]:
            return False
    as_many: bool = count == rows.end[index, b] - other
    return as_many


@compiled()
def _share_bytes(rows: Footprints, one: int, a: int, two: int, b: int) -> bool:
    """True if a byte belongs to a row of both, whose rows it sorts: as starts ascend, a row that ends before the
    other's starts meets no later one."""
    _sort(rows, one, a)
    _sort(rows, two, b)
    i, j = rows.first[one, a], rows.first[two, b]
    while i < rows.end[one, a] and j < rows.end[two, b]:
        if rows.ends[i] <= rows.starts[j]:
            i += 1
        elif rows.ends[j] <= rows.starts[i]:
            j += 1
        else:
            return True
    return False


@compiled()
def _sort(rows: Footprints, index: int, role: int) -> None:
    """Shell's sort of a footprint's rows by their starts, which are mostly in order already."""
    first, end = rows.first[index, role], rows.end[index, role]
    starts, ends = rows.starts, rows.ends
    gap = (end - first) // 2
    while gap > 0:
        for i in range(first + gap, end):
            start, stop, at = starts[i], ends[i], i
            while at >= first + gap and starts[at - gap] > start:
                starts[at], ends[at] = starts[at - gap], ends[at - gap]
                at -= gap
            starts[at], ends[at] = start, stop
        gap //= 2
