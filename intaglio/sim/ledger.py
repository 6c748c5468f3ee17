"""The ledger of commands without their results: what each one counts, from its fields alone, for no count depends on values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.machine.config import Config
from intaglio.machine.counters import ELEMENTS, LOAD_COUNTERS, Counter
from intaglio.machine.isa import WORDS_OF, Command, LocalMemory
from intaglio.machine.opcodes import ByOpcode, Opcode
from intaglio.sim.convolution import count_convolution
from intaglio.sim.depthwise import count_depthwise
from intaglio.sim.operands import Sizes, operands_of, sizes_of
from intaglio.sim.vector import count_add, count_pool


def _count_transfer(c: Any, sizes: Sizes, ledger: NDArray[np.int64], memory: Counter) -> None:
    ledger[memory] += c.rows * c.row_bytes // sizes.bus_bytes


def count_load(c: Any, sizes: Sizes, ledger: NDArray[np.int64]) -> None:
    """Adds a LOAD's part. c: its operands."""
    _count_transfer(c, sizes, ledger, LOAD_COUNTERS[LocalMemory(c.memory)])


def count_store(c: Any, sizes: Sizes, ledger: NDArray[np.int64]) -> None:
    """Adds a STORE's part. c: its operands."""
    _count_transfer(c, sizes, ledger, Counter.STORE_WORDS)


_COUNT: ByOpcode[Callable[[Any, Sizes, NDArray[np.int64]], None]] = ByOpcode(
    "counts",
    {
        Opcode.LOAD: count_load,
        Opcode.STORE: count_store,
        Opcode.CONV: count_convolution,
        Opcode.DEPTHWISE: count_depthwise,
        Opcode.ADD: count_add,
        Opcode.POOL: count_pool,
    },
)


def count(config: Config, commands: Sequence[Command]) -> NDArray[np.int64]:
    """Each command's part of the ledger, int64 [commands, len(Counter)]; those of time and of fetching are 0. The commands
    are legal."""
    sizes = sizes_of(config)
    out = np.zeros((len(commands), len(Counter)), np.int64)
    out[:, Counter.COMMANDS] = 1
    for command, ledger in zip(commands, out, strict=True):
        _COUNT[command.opcode](operands_of(command), sizes, ledger)
    return out


def actions(config: Config, commands: Sequence[Command]) -> dict[str, int]:
    """Counts of each action that the commands take together, by the names of counters (in lower case; those of time are 0) and of
    ELEMENTS, with the bus words that fetching them takes. The commands are legal."""
    by_command = count(config, commands)
    by_command[:, Counter.FETCH_WORDS] = fetch_words(commands, config.bus_bytes)
    out = {c.name.lower(): int(total) for c, total in zip(Counter, by_command.sum(axis=0), strict=True)}
    out |= dict.fromkeys(ELEMENTS, 0)
    for command, requantized in zip(commands, by_command[:, Counter.REQUANTIZATIONS].tolist(), strict=True):
        for name, amount in elements_of(command, requantized).items():
            out[name] += amount
    return out


def _nothing(_command: Command, _requantized: int) -> dict[str, int]:
    return {}


def _array_elements(_command: Command, requantized: int) -> dict[str, int]:
    return {"array_outputs": requantized}


def _add_elements(_command: Command, requantized: int) -> dict[str, int]:
    return {"add_elements": requantized}


def _pool_elements(command: Command, requantized: int) -> dict[str, int]:
    window = command["kernel_rows"] * command["kernel_cols"]
    read = window * command["region_rows"] * command["region_cols"] * command["channels"]
    average = (window > 1 or command["resume"]) and not command["maximum"]
    return {"pool_elements": read, "pool_outputs": requantized, "pool_averages": requantized if average else 0}


_ELEMENTS: ByOpcode[Callable[[Command, int], dict[str, int]]] = ByOpcode(
    "elements",
    {
        Opcode.LOAD: _nothing,
        Opcode.STORE: _nothing,
        Opcode.CONV: _array_elements,
        Opcode.DEPTHWISE: _array_elements,
        Opcode.ADD: _add_elements,
        Opcode.POOL: _pool_elements,
    },
)


def elements_of(command: Command, requantized: int) -> dict[str, int]:
    """The ELEMENTS of one command that requantized so many; pooled ones follow from its fields."""
    found = _ELEMENTS[command.opcode](command, requantized)
    return found | {"table_reads": requantized} if command["table"] else found


def fetch_words(commands: Sequence[Command], bus_bytes: int) -> list[int]:
    """Bus words of each command: a word that two commands share is the one's that it begins with."""
    ends = np.cumsum([0] + [4 * WORDS_OF[c.opcode] for c in commands])
    words: list[int] = np.diff(-(-ends // bus_bytes)).tolist()
    return words
