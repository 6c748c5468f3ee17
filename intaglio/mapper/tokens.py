"""Puts tokens on a program in sequential order, so that its engines keep every dependence.

Commands of one engine are in order already. For two engines, a command waits for the latest earlier command of
the other engine that it conflicts with (same bytes and one of them writes, or the same port of one activation
bank), unless it, or a command before it on its engine, already waited for that one or a later one. Tokens of
an ordered pair of engines are counted: the n-th wait takes the n-th signal, and both follow program order.
"""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.hw.config import Config
from intaglio.hw.isa import Command, Engine, token_bit
from intaglio.mapper.accesses import Access, accesses, conflict


def with_tokens(config: Config, commands: Sequence[Command]) -> list[Command]:
    """The same commands with their `wait` and `signal` fields set."""
    touched = [accesses(config, command) for command in commands]
    wait, signal = [0] * len(commands), [0] * len(commands)
    seen: dict[Engine, list[int]] = {engine: [] for engine in Engine}
    others_of = {me: [other for other in Engine if other != me] for me in Engine}
    known = {(a, b): -1 for a in Engine for b in Engine if a != b}
    for index, command in enumerate(commands):
        me = command.engine
        for other in others_of[me]:
            found = _latest_conflict(config, touched, index, seen[other], known[me, other])
            if found is not None:
                wait[index] |= 1 << token_bit(me, other)
                signal[found] |= 1 << token_bit(other, me)
                known[me, other] = found
        seen[me].append(index)
    return [
        Command(c.opcode, {**c.fields, "wait": w, "signal": s}) for c, w, s in zip(commands, wait, signal, strict=True)
    ]


def _latest_conflict(
    config: Config, touched: Sequence[list[Access]], index: int, others: Sequence[int], known: int
) -> int | None:
    """The latest of `others` (ascending) after `known` whose accesses conflict with those of `index`."""
    for other in reversed(others):
        if other <= known:
            return None
        for a in touched[index]:
            for b in touched[other]:
                if conflict(a, b, config.bank_bytes):
                    return other
    return None
