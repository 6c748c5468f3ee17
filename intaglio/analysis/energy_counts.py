"""A session's work by layer, for power_model: the ledger split by the commands' tags, and the FP32 array's clock."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from intaglio.analysis.layers import HOST
from intaglio.machine.config import CHANNEL_RECORD_BYTES
from intaglio.machine.counters import ELEMENTS, Counter
from intaglio.machine.isa import Command, Engine, LocalMemory, Opcode
from intaglio.power_model.counts import ACTIONS, LayerCounts
from intaglio.power_model.work import FP32_BYTES, FP32_RECORD_BYTES
from intaglio.session import Session
from intaglio.sim.clock.result import CycleResult
from intaglio.sim.engines import clock_of, layer_intervals
from intaglio.sim.ledger import count, elements_of, fetch_words

_ADDRESSES = 1 << 32


def layer_counts(session: Session, host_seconds: Mapping[int, float] | None = None) -> list[LayerCounts]:
    """One entry for each operator of the graph, in order. host_seconds: by operator, where they were measured.

    Runs nothing: no count depends on values.
    """
    program, config = session.program, session.config
    by_command = count(config, program.commands)
    by_command[:, Counter.FETCH_WORDS] = fetch_words(program.commands, config.bus_bytes)
    actions = np.zeros((len(program.layers), len(Counter)), np.int64)
    elements = [dict.fromkeys(ELEMENTS, 0) for _ in program.layers]
    for command, ledger in zip(program.commands, by_command, strict=True):
        tag = command["tag"]
        actions[tag] += ledger
        for name, amount in elements_of(command, int(ledger[Counter.REQUANTIZATIONS])).items():
            elements[tag][name] += amount
    clock, slow = session.clock(), fp32_clock(session)
    cycles = layer_intervals(program, clock.retire_cycles, clock.cycles)
    fp32_cycles = layer_intervals(program, slow.retire_cycles, slow.cycles)
    return [
        LayerCounts(
            name=layer.name,
            op=layer.kind,
            where=layer.where,
            macs=layer.macs,
            cycles=cycles.get(tag, 0),
            fp32_cycles=fp32_cycles.get(tag, 0),
            actions={c: int(actions[tag, c]) for c in ACTIONS},
            **elements[tag],
            host_seconds=(host_seconds or {}).get(tag) if layer.where == HOST else None,
        )
        for tag, layer in enumerate(program.layers)
    ]


def fp32_clock(session: Session) -> CycleResult:
    """The clock of the same schedule with elements of four bytes and the same bus and memory.

    Each LOAD and STORE moves rows of four times the bytes from four times the address; of a channel's record four
    bytes remain, a row rounded up to bus words. Commands, and cycles inside compute commands, are INT8's.
    """
    config = session.config
    return clock_of(config, [_fp32(c, config.bus_bytes) for c in session.program.commands])


def _fp32(command: Command, bus_bytes: int) -> Command:
    if command.engine == Engine.COMPUTE or command["memory"] == LocalMemory.TABLE:
        return command
    fields = dict(command.fields)
    if command.opcode == Opcode.LOAD and command["memory"] == LocalMemory.CHANNEL:
        bytes_left = command["row_bytes"] * FP32_RECORD_BYTES // CHANNEL_RECORD_BYTES
        fields["row_bytes"] = -(-bytes_left // bus_bytes) * bus_bytes
    else:
        fields["row_bytes"] = FP32_BYTES * command["row_bytes"]
        for name in ("external", "external_stride"):
            fields[name] = FP32_BYTES * command[name] % _ADDRESSES
    return dataclasses.replace(command, fields=fields)
