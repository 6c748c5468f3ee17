"""The ledger of commands without their results: what each one counts, from its fields alone, for no count depends on values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.machine.config import Config
from intaglio.machine.counters import ELEMENTS, Counter
from intaglio.machine.isa import WORDS_OF, Command, LocalMemory, Opcode
from intaglio.sim.convolution import count_convolution
from intaglio.sim.depthwise import count_depthwise
from intaglio.sim.operands import operands_of, sizes_of
from intaglio.sim.vector import count_add, count_pool

_COUNT = {
    Opcode.CONV: count_convolution,
    Opcode.DEPTHWISE: count_depthwise,
    Opcode.ADD: count_add,
    Opcode.POOL: count_pool,
}
_LOADED = {
    LocalMemory.ACTIVATION: Counter.LOAD_ACTIVATION_WORDS,
    LocalMemory.WEIGHT: Counter.LOAD_WEIGHT_WORDS,
    LocalMemory.CHANNEL: Counter.LOAD_CHANNEL_WORDS,
}


def count(config: Config, commands: Sequence[Command]) -> NDArray[np.int64]:
    """Each command's part of the ledger, int64 [commands, len(Counter)]; those of time and of fetching are 0. The commands
    are legal."""
    sizes = sizes_of(config)
    out = np.zeros((len(commands), len(Counter)), np.int64)
    out[:, Counter.COMMANDS] = 1
    for command, ledger in zip(commands, out, strict=True):
        c = operands_of(command)
        if command.opcode in (Opcode.LOAD, Opcode.STORE):
            ledger[transferred(command.opcode, c)] += c.rows * c.row_bytes // config.bus_bytes
        else:
            _COUNT[command.opcode](c, sizes, ledger)
    return out


def actions(config: Config, commands: Sequence[Command]) -> dict[str, int]:
    """How many of each action the commands take together, by the names of counters (in lower case; those of time are 0) and of
    ELEMENTS, with the bus words that fetching them takes. The commands are legal."""
    by_command = count(config, commands)
    by_command[:, Counter.FETCH_WORDS] = fetch_words(commands, config.bus_bytes)
    out = {c.name.lower(): int(total) for c, total in zip(Counter, by_command.sum(axis=0), strict=True)}
    out |= dict.fromkeys(ELEMENTS, 0)
    for command, requantized in zip(commands, by_command[:, Counter.REQUANTIZATIONS].tolist(), strict=True):
        for name, amount in elements_of(command, requantized).items():
            out[name] += amount
    return out


def transferred(opcode: Opcode, c: Any) -> Counter:
    """The counter of a LOAD's or STORE's bus words. c: its operands."""
    return Counter.STORE_WORDS if opcode is Opcode.STORE else _LOADED[LocalMemory(c.memory)]


def elements_of(command: Command, requantized: int) -> dict[str, int]:
    """The ELEMENTS of one command that requantized so many; pooled ones follow from its fields."""
    match command.opcode:
        case Opcode.LOAD | Opcode.STORE:
            return {}
        case Opcode.ADD:
            return {"add_elements": requantized}
        case Opcode.POOL:
            window = command["kernel_rows"] * command["kernel_cols"]
            read = window * command["region_rows"] * command["region_cols"] * command["channels"]
            average = (window > 1 or command["resume"]) and not command["maximum"]
            return {"pool_elements": read, "pool_outputs": requantized, "pool_averages": requantized if average else 0}
        case _:
            return {"array_outputs": requantized}


def fetch_words(commands: Sequence[Command], bus_bytes: int) -> list[int]:
    """Bus words of each command: a word that two commands share is the one's that it begins with."""
    ends = np.cumsum([0] + [4 * WORDS_OF[c.opcode] for c in commands])
    return np.diff(-(-ends // bus_bytes)).tolist()
