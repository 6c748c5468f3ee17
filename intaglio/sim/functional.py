"""What a Program computes, bit for bit, and the ledger of its work; time is event_model's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from intaglio.errors import InputError
from intaglio.hw.config import Config
from intaglio.hw.counters import Counter
from intaglio.hw.isa import Command, LocalMemory, Opcode
from intaglio.mapper.program import Program
from intaglio.sim.convolution import convolve
from intaglio.sim.depthwise import convolve_depthwise
from intaglio.sim.operands import operands_of, sizes_of
from intaglio.sim.tensors import copy_rows, initial_memory, read_tensors
from intaglio.sim.vector import add, pool

_LOADED = {
    LocalMemory.ACTIVATION: Counter.LOAD_ACTIVATION_WORDS,
    LocalMemory.WEIGHT: Counter.LOAD_WEIGHT_WORDS,
    LocalMemory.CHANNEL: Counter.LOAD_CHANNEL_WORDS,
}


@dataclass(frozen=True)
class FunctionalResult:
    """memory: external memory after the end, uint8 [memory_bytes]. counters: each command's part of the
    ledger, int64 [commands, len(Counter)]; those of time and of fetching are 0. outputs: by name, int8
    [rows, row_bytes]."""

    memory: np.ndarray
    counters: np.ndarray
    outputs: dict[str, np.ndarray]


def execute_program(config: Config, program: Program, inputs: Mapping[str, np.ndarray]) -> FunctionalResult:
    """Runs the commands in program order. inputs: int8 arrays by name.

    Expects a validated program; one that reaches outside a memory all the same raises InputError.
    """
    machine = _Machine(config, initial_memory(program, inputs))
    counters = np.zeros((len(program.commands), len(Counter)), np.int64)
    for index, (command, ledger) in enumerate(zip(program.commands, counters, strict=True)):
        try:
            machine.run(command, ledger)
        except IndexError as error:
            where = f"command {index} ({command.opcode.name})"
            raise InputError(f"{where}: {error}; `validate` the program") from None
    return FunctionalResult(machine.external, counters, read_tensors(program, machine.external))


class _Machine:
    """The memories and the array's sums."""

    def __init__(self, config: Config, external: np.ndarray):
        self.external = external
        self._bus = config.bus_bytes
        self._sizes = sizes_of(config)
        self._local = {
            LocalMemory.ACTIVATION: np.zeros(config.activation_bytes, np.uint8),
            LocalMemory.WEIGHT: np.zeros(config.weight_bytes, np.uint8),
            LocalMemory.CHANNEL: np.zeros(config.channel_bytes, np.uint8),
        }
        self._activation = self._local[LocalMemory.ACTIVATION].view(np.int8)
        self._weight = self._local[LocalMemory.WEIGHT].view(np.int8)
        self._channel = self._local[LocalMemory.CHANNEL].view(np.int32)
        self._sums = np.zeros((config.rows, config.cols), np.int32)
        self._window_sums = np.zeros(config.requantizers, np.int64)

    def run(self, command: Command, ledger: np.ndarray) -> None:
        """Executes one command and adds its part to ledger, int64 [len(Counter)]."""
        ledger[Counter.COMMANDS] = 1
        c = operands_of(command)
        match command.opcode:
            case Opcode.LOAD:
                memory = self._memory(c.memory)
                to = self._local[memory]
                copy_rows(c.rows, c.row_bytes, self.external, c.external, c.external_stride, to, c.local, c.local_stride)
                ledger[_LOADED[memory]] = c.rows * c.row_bytes // self._bus
            case Opcode.STORE:
                to, source = self.external, self._local[LocalMemory.ACTIVATION]
                copy_rows(c.rows, c.row_bytes, source, c.local, c.local_stride, to, c.external, c.external_stride)
                ledger[Counter.STORE_WORDS] = c.rows * c.row_bytes // self._bus
            case Opcode.CONV:
                convolve(c, self._sizes, self._activation, self._weight, self._channel, self._sums, ledger)
            case Opcode.DEPTHWISE:
                convolve_depthwise(c, self._sizes, self._activation, self._weight, self._channel, ledger)
            case Opcode.ADD:
                add(c, self._sizes, self._activation, ledger)
            case Opcode.POOL:
                pool(c, self._sizes, self._activation, self._window_sums, ledger)

    @staticmethod
    def _memory(code: int) -> LocalMemory:
        if code not in LocalMemory._value2member_map_:
            raise IndexError(f"no memory {code}")
        return LocalMemory(code)
