"""Codes of the command format: engines, commands, memories, roundings; and tables by opcode, which are complete."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


class Engine(enum.IntEnum):
    """The engines that execute commands. Also the order of the token counters."""

    LOAD = 0
    COMPUTE = 1
    STORE = 2


class Opcode(enum.IntEnum):
    LOAD = 1
    STORE = 2
    CONV = 3
    ADD = 4
    POOL = 5
    DEPTHWISE = 6  # built in where config.depthwise_delay is not 0


class LocalMemory(enum.IntEnum):
    """Targets of LOAD."""

    ACTIVATION = 0
    WEIGHT = 1
    CHANNEL = 2
    TABLE = 3  # built in where config.tables is not 0


class RoundingCode(enum.IntEnum):
    """Requantizer modes as encoded; network.graph.Rounding has their meaning."""

    DOUBLE = 0
    SINGLE = 1
    AWAY = 2
    FLOAT = 3  # multipliers: 0 or at least 2**30


ENGINE_OF = {
    Opcode.LOAD: Engine.LOAD,
    Opcode.STORE: Engine.STORE,
    Opcode.CONV: Engine.COMPUTE,
    Opcode.ADD: Engine.COMPUTE,
    Opcode.POOL: Engine.COMPUTE,
    Opcode.DEPTHWISE: Engine.COMPUTE,
}


TRANSFERS = tuple(opcode for opcode in Opcode if ENGINE_OF[opcode] is not Engine.COMPUTE)
"""Commands that move rows of bytes between external memory and the chip; all have LOAD's fields."""


def token_bit(me: Engine, other: Engine) -> int:
    """The bit of `wait` and `signal` that means `other` in a command of engine `me`: the other two engines
    in Engine order."""
    return [e for e in Engine if e != me].index(other)


class ByOpcode(Mapping[Opcode, T], Generic[T]):
    """A table with an entry for every opcode, or for every one of an engine: one part of what a command is.

    name: of the part. Raises ValueError where an opcode lacks, or one too many is there; LookupError that names the part
    for a look at anything else: there is no default.
    """

    parts: ClassVar[dict[str, ByOpcode[Any]]] = {}
    """Every table that was made, by name."""

    def __init__(self, name: str, entries: Mapping[Opcode, T], engine: Engine | None = None):
        wanted = {opcode for opcode in Opcode if engine is None or ENGINE_OF[opcode] is engine}
        if entries.keys() != wanted:
            raise ValueError(f"{name}: has {_names(entries.keys())}, must have {_names(wanted)}")
        self.name = name
        self._entries = dict(entries)
        ByOpcode.parts[name] = self

    def __getitem__(self, opcode: Opcode) -> T:
        try:
            return self._entries[opcode]
        except KeyError:
            raise LookupError(f"{self.name}: none for opcode {opcode}") from None

    def __iter__(self) -> Iterator[Opcode]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _names(opcodes: Iterable[Opcode]) -> str:
    return ", ".join(sorted(opcode.name for opcode in opcodes))
