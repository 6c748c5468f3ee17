"""Results of a Program, bit for bit, and the ledger of its work; time is event_model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.machine.config import TABLE_ENTRIES, Config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Command, LocalMemory
from intaglio.machine.opcodes import ByOpcode, Opcode
from intaglio.program.program import Program
from intaglio.sim.convolution import convolve
from intaglio.sim.depthwise import convolve_depthwise
from intaglio.sim.ledger import count_load, count_store
from intaglio.sim.operands import operands_of, sizes_of
from intaglio.sim.tensors import copy_rows, initial_memory, read_tensors
from intaglio.sim.vector import add, pool


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
    counters[:, Counter.COMMANDS] = 1
    for index, (command, ledger) in enumerate(zip(program.commands, counters, strict=True)):
        try:
            machine.run(command, ledger)
        except IndexError as error:
            where = f"command {index} ({command.opcode.name})"
            raise InputError(f"{where}: {error}; `validate` the program") from None
    return FunctionalResult(machine.external, counters, read_tensors(program, machine.external))


class _Machine:
    """The memories, that of partial sums included, and the window sums that POOL commands hold."""

    def __init__(self, config: Config, external: np.ndarray):
        self.external = external
        self._sizes = sizes_of(config)
        sizes = (config.activation_bytes, config.weight_bytes, config.channel_bytes, config.table_bytes)
        self._local = [np.zeros(size, np.uint8) for size in sizes]
        self._activation = self._local[LocalMemory.ACTIVATION].view(np.int8)
        self._weight = self._local[LocalMemory.WEIGHT].view(np.int8)
        self._channel = self._local[LocalMemory.CHANNEL].view(np.int32)
        words = self._local[LocalMemory.TABLE].view(np.int8).reshape(-1, config.bus_bytes)
        self._tables = words[:, :TABLE_ENTRIES]
        self._partial = np.zeros(config.partial_words * config.requantizers, np.int32)
        self._window_sums = np.zeros(config.slab_channels, np.int64)

    def run(self, command: Command, ledger: np.ndarray) -> None:
        """Executes one command and adds its part to ledger, int64 [len(Counter)]."""
        _KERNELS[command.opcode](self, operands_of(command), ledger)

    def load(self, c: Any, ledger: np.ndarray) -> None:
        if not 0 <= c.memory < len(self._local):
            raise IndexError(f"no memory {c.memory}")
        to = self._local[c.memory]
        copy_rows(c.rows, c.row_bytes, self.external, c.external, c.external_stride, to, c.local, c.local_stride)
        count_load(c, self._sizes, ledger)

    def store(self, c: Any, ledger: np.ndarray) -> None:
        to, source = self.external, self._local[LocalMemory.ACTIVATION]
        copy_rows(c.rows, c.row_bytes, source, c.local, c.local_stride, to, c.external, c.external_stride)
        count_store(c, self._sizes, ledger)

    def conv(self, c: Any, ledger: np.ndarray) -> None:
        convolve(c, self._sizes, self._activation, self._weight, self._channel, self._tables, self._partial, ledger)

    def depthwise(self, c: Any, ledger: np.ndarray) -> None:
        convolve_depthwise(c, self._sizes, self._activation, self._weight, self._channel, self._tables, ledger)

    def add(self, c: Any, ledger: np.ndarray) -> None:
        add(c, self._sizes, self._activation, self._tables, ledger)

    def pool(self, c: Any, ledger: np.ndarray) -> None:
        pool(c, self._sizes, self._activation, self._tables, self._window_sums, ledger)


_KERNELS: ByOpcode[Callable[[_Machine, Any, np.ndarray], None]] = ByOpcode(
    "kernels",
    {
        Opcode.LOAD: _Machine.load,
        Opcode.STORE: _Machine.store,
        Opcode.CONV: _Machine.conv,
        Opcode.ADD: _Machine.add,
        Opcode.POOL: _Machine.pool,
        Opcode.DEPTHWISE: _Machine.depthwise,
    },
)
"""The function that executes a command, its operands given, and adds its part to the ledger."""
