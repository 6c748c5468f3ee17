"""Puts tokens on a program in sequential order, so that its engines keep every dependence.

Commands of one engine are in order already. For two engines, a command waits for the latest earlier command of
the other engine that it conflicts with (same bytes and one of them writes, or the same port of one activation
bank), unless it, or a command before it on its engine, already waited for that one or a later one. Tokens of
an ordered pair of engines are counted: the n-th wait takes the n-th signal, and both follow program order.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from intaglio.compiled import compiled
from intaglio.hw.config import Config
from intaglio.hw.isa import Command, Engine, token_bit
from intaglio.mapper.accesses import Access, Space, accesses

_SPACE, _LOW, _HIGH, _WRITE = range(4)
_ACTIVATION = int(Space.ACTIVATION)
_BIT = np.array([[token_bit(a, b) if a != b else -1 for b in Engine] for a in Engine])


def with_tokens(config: Config, commands: Sequence[Command]) -> list[Command]:
    """The same commands with their `wait` and `signal` fields set."""
    found = [accesses(config, command) for command in commands]
    flat = array("q", [value for of in found for access in of for value in access])
    touched = np.array(flat).reshape(-1, len(Access._fields))
    first = np.cumsum([0, *(len(of) for of in found)])
    engines = np.array([command.engine for command in commands], np.int64)
    wait, signal = _tokens(touched, first, engines, config.bank_bytes, _BIT)
    return [
        Command(c.opcode, {**c.fields, "wait": w, "signal": s})
        for c, w, s in zip(commands, wait.tolist(), signal.tolist(), strict=True)
    ]


@compiled()
def _tokens(touched, first, engines, bank_bytes, bit):
    """wait and signal of each command, int64 [commands]. touched: int64 [accesses, 4], of command i from first[i] to
    first[i + 1]."""
    count = len(engines)
    wait, signal = np.zeros(count, np.int64), np.zeros(count, np.int64)
    before = np.full((count, len(bit)), -1, np.int64)  # the latest earlier command of each engine
    latest = np.full(len(bit), -1, np.int64)
    known = np.full((len(bit), len(bit)), -1, np.int64)
    for index in range(count):
        me = engines[index]
        before[index] = latest
        for other in range(len(bit)):
            if other == me:
                continue
            found = latest[other]
            while found > known[me, other] and not _conflict(
                touched[first[index] : first[index + 1]], touched[first[found] : first[found + 1]], bank_bytes
            ):
                found = before[found, other]
            if found > known[me, other]:
                wait[index] |= 1 << bit[me, other]
                signal[found] |= 1 << bit[other, me]
                known[me, other] = found
        latest[me] = index
    return wait, signal


@compiled()
def _conflict(mine, theirs, bank_bytes):
    """True where two engines must not make any of these accesses at once, or in another order."""
    for i in range(len(mine)):
        for j in range(len(theirs)):
            if mine[i, _SPACE] != theirs[j, _SPACE]:
                continue
            low, high = max(mine[i, _LOW], theirs[j, _LOW]), min(mine[i, _HIGH], theirs[j, _HIGH])
            if (mine[i, _WRITE] or theirs[j, _WRITE]) and low < high:
                return True
            if mine[i, _SPACE] != _ACTIVATION or mine[i, _WRITE] != theirs[j, _WRITE]:
                continue
            if max(mine[i, _LOW], theirs[j, _LOW]) // bank_bytes <= (min(mine[i, _HIGH], theirs[j, _HIGH]) - 1) // bank_bytes:
                return True
    return False
