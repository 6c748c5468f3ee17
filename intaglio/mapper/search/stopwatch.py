"""Exact cycles of schedules that differ in a few layers: the commands of each layer are made once, and put together as numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.isa import TRANSFERS, LocalMemory
from intaglio.mapper.emit.emission import Emission
from intaglio.mapper.emit.emit import emit_layer
from intaglio.mapper.emit.overlap import overlapped_table
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.schedule.schedule import Placed, Schedule
from intaglio.program.layout import align_up
from intaglio.program.program import BASE_ALIGNMENT
from intaglio.program.table import Table, joined, table_of

Clock = Callable[[Config, Table], int]
"""The cycles of a program's table of commands on a configuration, exact."""


class _Commands(NamedTuple):
    """Commands of one layer, where the rings of weights and records stand as they do. table: with external addresses of constants from the
    layer's first one on, of values from the first value on. constants: their bytes. rings: how the layer leaves them."""

    table: Table
    constants: int
    rings: tuple[int, int]


class Stopwatch:
    """network, config: of all schedules that are timed. clock: gives the cycles of commands."""

    def __init__(self, network: Lowered, config: Config, clock: Clock):
        self.network, self.config, self.clock = network, config, clock
        self._known: dict[object, _Commands] = {}

    def cycles(self, schedule: Schedule) -> int:
        return self.clock(self.config, self.table(schedule))

    def alone(self, schedule: Schedule, layer: Placed) -> int:
        """Cycles of one layer's or chain's commands by themselves. schedule: says which values are outside."""
        table = _linked([self._made(schedule, layer, None, (0, 0))])
        return self.clock(self.config, overlapped_table(self.config, table, schedule.ahead)[1])

    def table(self, schedule: Schedule) -> Table:
        """As emission and overlap give it."""
        found: list[_Commands] = []
        rings, before = (0, 0), None
        for layer in schedule.layers:
            found.append(self._commands(schedule, layer, before, rings))
            rings, before = found[-1].rings, layer
        return overlapped_table(self.config, _linked(found), schedule.ahead)[1]

    def _commands(self, schedule: Schedule, layer: Placed, before: Placed | None, rings: tuple[int, int]) -> _Commands:
        of = (layer.plan, layer.setting, layer.fetched, layer.chain)
        behind = None if before is None else (before.plan, before.setting, before.chain)
        key = (of, behind, rings, schedule.outside)
        if key not in self._known:
            self._known[key] = self._made(schedule, layer, before, rings)
        return self._known[key]

    def _made(self, schedule: Schedule, layer: Placed, before: Placed | None, rings: tuple[int, int]) -> _Commands:
        alone = Emission(self.network, self.config, replace(schedule, layers=(layer,)), rings)
        emit_layer(alone, layer, before)
        table = table_of(alone.commands)
        for opcode in TRANSFERS:
            if opcode in table.records:
                records = table.records[opcode]
                records["external"] -= np.where(records["memory"] == LocalMemory.ACTIVATION, alone.values_at, 0)
        return _Commands(table, alone.constant_bytes, alone.rings)


def _linked(found: Sequence[_Commands]) -> Table:
    """The commands of layers one after another, with the external addresses that Emission gives them."""
    table = joined([commands.table for commands in found])
    begins = np.cumsum([0, *(commands.constants for commands in found)])
    values = align_up(int(begins[-1]), BASE_ALIGNMENT)
    for opcode, records in table.records.items():
        if opcode in TRANSFERS:
            begin = np.repeat(begins[:-1], [len(commands.table.at.get(opcode, ())) for commands in found])
            records["external"] += np.where(records["memory"] == LocalMemory.ACTIVATION, values, begin)
    return table
