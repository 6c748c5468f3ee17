"""Puts tokens on a program in sequential order, so that its engines keep every dependence.

Commands of one engine are in order already. For two engines, a command waits for the latest earlier command of
the other engine that it conflicts with (same bytes and one of them writes, or the same port of one activation
bank), unless it, or a command before it on its engine, already waited for that one or a later one. Tokens of
an ordered pair of engines are counted: the n-th wait takes the n-th signal, and both follow program order.

A counter holds MOST_TOKENS. Where more could pile up, as where a layer's many STOREs are all done before the next layer's
first LOAD, some waits name a later signal that still precedes them; those that they make needless are left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from intaglio.compiled import compiled
from intaglio.hw.config import Config
from intaglio.hw.isa import Command, Engine, token_bit
from intaglio.mapper.accesses import Access, Space, accesses
from intaglio.mapper.dispatch import MOST_TOKENS, QUEUE_DEPTH, Links, order_of

_SPACE, _LOW, _HIGH, _WRITE = range(4)
_SPACES = len(Space)
_BLOCK = 32
"""Commands of an engine, and blocks of them, that are passed over together."""
_ACTIVATION = int(Space.ACTIVATION)
_BIT = np.array([[token_bit(a, b) if a != b else -1 for b in Engine] for a in Engine])


def with_tokens(config: Config, commands: Sequence[Command]) -> list[Command]:
    """The same commands with their `wait` and `signal` fields set."""
    found = [accesses(config, command) for command in commands]
    flat = array("q", [value for of in found for access in of for value in access])
    touched = np.array(flat).reshape(-1, len(Access._fields))
    first = np.cumsum([0, *(len(of) for of in found)])
    engines = np.array([command.engine for command in commands], np.int64)
    links = Links(engines, *_tokens(touched, first, engines, config.bank_bytes, len(Engine)))
    for sender, taker in ((a, b) for a in Engine for b in Engine if a != b):
        _bound(links, sender, taker)
    fields = zip(commands, _coded(links.waits, engines), _coded(links.signals, engines), strict=True)
    return [Command(c.opcode, {**c.fields, "wait": w, "signal": s}) for c, w, s in fields]


def _coded(flags: np.ndarray, engines: np.ndarray) -> list[int]:
    """The field of each command: one bit for each engine flagged. flags: int64 [commands, engines]."""
    return (flags << np.maximum(_BIT[engines], 0)).sum(axis=1).tolist()


def _bound(links: Links, sender: Engine, taker: Engine) -> None:
    """Leaves out tokens from one engine to another where more than a counter holds could pile up, and nowhere else."""
    signals = np.flatnonzero((links.engines == sender) & (links.signals[:, taker] == 1))
    if len(signals) <= MOST_TOKENS:
        return
    waits = np.flatnonzero((links.engines == taker) & (links.waits[:, sender] == 1))
    mine = np.flatnonzero(links.engines == taker)
    # While a wait lasts, dispatch gets no further than the command for which the taker's queue has no room.
    ends = np.append(mine, np.full(QUEUE_DEPTH[taker] + 1, len(links.engines)))
    reach = ends[np.searchsorted(mine, waits) + QUEUE_DEPTH[taker] + 1]
    first = last = np.arange(len(waits))  # of what one token stands for: the n-th has wait first[n] and signal last[n]
    while True:
        there = np.searchsorted(signals[last], reach[first]) - np.arange(len(first))
        full = np.flatnonzero(there > MOST_TOKENS)
        if len(full) == 0:
            break
        if len(first) == len(waits) and order_of(links)[1] is None:
            return  # other tokens hold the sender back
        at = slice(full[0], full[0] + there[full[0]])
        joined = _joined(waits[first[at]], signals[last[at]])
        first = np.concatenate([first[: at.start], first[at][joined[:, 0]], first[at.stop :]])
        last = np.concatenate([last[: at.start], last[at][joined[:, 1]], last[at.stop :]])
    links.waits[np.delete(waits, first), sender] = 0
    links.signals[np.delete(signals, last), taker] = 0


def _joined(waits: np.ndarray, signals: np.ndarray) -> np.ndarray:
    """At most MOST_TOKENS tokens in place of more: int64 [tokens, 2], the first and the last of those that each stands for, as few
    of them as it takes. The last one's signal precedes the first one's wait. waits, signals: indices of commands, ascending; of
    waits only so many precede the last signal as the taker's queue holds, so that enough can be joined."""
    for most in range(2, len(waits) + 1):
        out: list[tuple[int, int]] = []
        at = 0
        while at < len(waits):
            end = min(at + most, max(at + 1, int(np.searchsorted(signals, waits[at]))))
            out.append((at, end - 1))
            at = end
        if len(out) <= MOST_TOKENS:
            return np.array(out)
    raise AssertionError("a command waits for a signal that comes after it")


@compiled()
def _tokens(touched, first, engines, bank_bytes, kinds):
    """Whether each command waits for, and signals, each engine: int64 [commands, kinds], 0 or 1. touched: int64 [accesses, 4],
    of command i from first[i] to first[i + 1]. kinds: how many engines there are."""
    count = len(engines)
    waits, signals = np.zeros((count, kinds), np.int64), np.zeros((count, kinds), np.int64)
    mine, done = np.zeros((kinds, count), np.int64), np.zeros(kinds, np.int64)  # each engine's commands so far
    known = np.full((kinds, kinds), -1, np.int64)
    # Bounds of what the commands of a block touch, by engine, so that blocks without a conflict are passed over.
    blocks = count // _BLOCK + 1
    small = np.zeros((kinds, blocks, _SPACES, 2, 2), np.int64)
    large = np.zeros((kinds, blocks // _BLOCK + 1, _SPACES, 2, 2), np.int64)
    for index in range(count):
        me = engines[index]
        accesses = touched[first[index] : first[index + 1]]
        for other in range(kinds):
            if other == me:
                continue
            at = done[other] - 1
            latest = True
            while at >= 0 and mine[other, at] > known[me, other]:
                block = at // _BLOCK
                if latest or at % _BLOCK == _BLOCK - 1:
                    if (latest or block % _BLOCK == _BLOCK - 1) and not _meets(accesses, large[other, block // _BLOCK], bank_bytes):
                        at = block // _BLOCK * _BLOCK * _BLOCK - 1
                        continue
                    if not _meets(accesses, small[other, block], bank_bytes):
                        at = block * _BLOCK - 1
                        latest = False
                        continue
                latest = False
                found = mine[other, at]
                if _conflict(accesses, touched[first[found] : first[found + 1]], bank_bytes):
                    waits[index, other] = 1
                    signals[found, me] = 1
                    known[me, other] = found
                    break
                at -= 1
        _extend(small[me, done[me] // _BLOCK], accesses)
        _extend(large[me, done[me] // _BLOCK // _BLOCK], accesses)
        mine[me, done[me]] = index
        done[me] += 1
    return waits, signals


@compiled()
def _extend(bounds, accesses):
    """bounds: int64 [spaces, write, 2], low and high, both 0 where nothing is touched."""
    for i in range(len(accesses)):
        one = bounds[accesses[i, _SPACE], accesses[i, _WRITE]]
        fresh = one[1] == 0
        one[0] = accesses[i, _LOW] if fresh else min(one[0], accesses[i, _LOW])
        one[1] = accesses[i, _HIGH] if fresh else max(one[1], accesses[i, _HIGH])


@compiled()
def _meets(accesses, bounds, bank_bytes):
    """True where an access may conflict with one within the bounds."""
    for i in range(len(accesses)):
        space, write = accesses[i, _SPACE], accesses[i, _WRITE]
        for other in range(2):
            low, high = bounds[space, other]
            if high == 0:
                continue
            low, high = max(low, accesses[i, _LOW]), min(high, accesses[i, _HIGH])
            if (write or other) and low < high:
                return True
            if space == _ACTIVATION and write == other and low // bank_bytes <= (high - 1) // bank_bytes:
                return True
    return False


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
