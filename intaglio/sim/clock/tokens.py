"""Tokens between engines: what a command waits for, takes, and gives when it retires.

tokens: int64 [2 * engines]; those that engine e may take from the first and the second of the two other engines, in Engine's order,
lie at 2 * e and 2 * e + 1. Bits 0 and 1 of a command's `wait` and `signal` mean the first and the second of the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intaglio.compiled import compiled
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Engine
from intaglio.machine.limits import MOST_TOKENS
from intaglio.sim.clock.schedule import SIGNAL

LOAD, COMPUTE, STORE = int(Engine.LOAD), int(Engine.COMPUTE), int(Engine.STORE)
ENGINES = len(Engine)
_COMMANDS = int(Counter.COMMANDS)


def _given(nth: int) -> tuple[int, ...]:
    """Places, by engine, of the tokens that it gives to the nth of the others."""
    others = [[other for other in Engine if other != engine] for engine in Engine]
    return tuple(2 * others[engine][nth] + others[others[engine][nth]].index(engine) for engine in Engine)


_TO_FIRST, _TO_SECOND = _given(0), _given(1)


@compiled(inline="always")
def may_start(tokens: NDArray[np.int64], engine: int, waits: int) -> bool:
    """True if the tokens that a command of an engine waits for are there."""
    return not ((waits & 1 and tokens[2 * engine] == 0) or (waits & 2 and tokens[2 * engine + 1] == 0))


@compiled(inline="always")
def take(tokens: NDArray[np.int64], engine: int, waits: int) -> None:
    """Takes the tokens that a command waited for: it starts."""
    tokens[2 * engine] -= waits & 1
    tokens[2 * engine + 1] -= waits >> 1


@compiled(inline="always")
def give(tokens: NDArray[np.int64], engine: int, signals: int) -> None:
    """Gives the tokens of a command that retired."""
    tokens[_TO_FIRST[engine]] += signals & 1
    tokens[_TO_SECOND[engine]] += signals >> 1


@compiled(inline="always")
def too_many(tokens: NDArray[np.int64]) -> bool:
    """True if a counter of tokens has overflown."""
    over = False
    for count in tokens:
        over = over or count > MOST_TOKENS
    return over


@compiled(inline="always")
def retire(
    engine: int,
    number: int,
    cycle: int,
    commands: NDArray[np.int64],
    tokens: NDArray[np.int64],
    retired: NDArray[np.int64],
    counters: NDArray[np.int64],
) -> None:
    """A command of the engine retires: its tokens are given, its cycle noted; it counts."""
    give(tokens, engine, commands[number, SIGNAL])
    retired[number] = cycle
    counters[_COMMANDS] += 1
