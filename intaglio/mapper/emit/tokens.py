"""Puts tokens on a program in sequential order, so that its engines keep every dependence.

Commands of one engine are in order already. For two engines, a command waits for the latest earlier command of
the other engine that it conflicts with (same bytes and one of them writes, or the same port of one activation
bank), unless it, or a command before it on its engine, already waited for that one or a later one. Tokens of
an ordered pair of engines are counted: the n-th wait takes the n-th signal, and both follow program order.

A counter holds MOST_TOKENS. Where more could pile up, as where a layer's many STOREs are all done before the next layer's
first LOAD, some waits name a later signal that still precedes them; those that they make needless are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.config import Config
from intaglio.machine.isa import Command, Engine, token_bit
from intaglio.machine.limits import MOST_TOKENS, QUEUE_DEPTHS
from intaglio.mapper.emit.accesses import Space, accesses_of
from intaglio.program.table import Table, table_of
from intaglio.verifier.liveness import Links, engines_of, order_of

_SPACE, _LOW, _HIGH, _WRITE = range(4)
_ACTIVATION = int(Space.ACTIVATION)
_BOXES = 2 * len(Space)
"""Boxes of what commands read, and of what they write, in each memory."""
_LEAF = 8
"""Commands that have one box."""
_BIT = np.array([[token_bit(a, b) if a != b else -1 for b in Engine] for a in Engine])


def with_tokens(config: Config, commands: Sequence[Command]) -> list[Command]:
    """The same commands with their `wait` and `signal` fields set."""
    wait, signal = (tokens.tolist() for tokens in tokens_of(config, table_of(commands)))
    return [
        Command(c.opcode, c.fields | {"wait": w, "signal": s}) for c, w, s in zip(commands, wait, signal, strict=True)
    ]


def put_tokens(config: Config, table: Table) -> None:
    """Sets the `wait` and `signal` fields."""
    wait, signal = tokens_of(config, table)
    for opcode, at in table.at.items():
        table.records[opcode]["wait"], table.records[opcode]["signal"] = wait[at], signal[at]
    table.header["wait"], table.header["signal"] = wait, signal


def tokens_of(config: Config, table: Table) -> tuple[np.ndarray, np.ndarray]:
    """The `wait` and the `signal` of each command, whatever those of the table are."""
    engines = engines_of(table)
    touched, count = accesses_of(config, table)
    links = Links(engines, *_tokens(touched, count, engines, config.bank_bytes, len(Engine)))
    for sender, taker in ((a, b) for a in Engine for b in Engine if a != b):
        _bound(links, sender, taker)
    return _coded(links.waits, engines), _coded(links.signals, engines)


def _coded(flags: np.ndarray, engines: np.ndarray) -> np.ndarray:
    """The field of each command: one bit for each engine flagged. flags: int64 [commands, engines]."""
    fields: np.ndarray = (flags << np.maximum(_BIT[engines], 0)).sum(axis=1)
    return fields


def _bound(links: Links, sender: Engine, taker: Engine) -> None:
    """Leaves out tokens from one engine to another where more than a counter holds could pile up, and nowhere else."""
    signals = np.flatnonzero((links.engines == sender) & (links.signals[:, taker] == 1))
    if len(signals) <= MOST_TOKENS:
        return
    waits = np.flatnonzero((links.engines == taker) & (links.waits[:, sender] == 1))
    mine = np.flatnonzero(links.engines == taker)
    # While a wait lasts, dispatch gets no further than the command for which the taker's queue has no room.
    ends = np.append(mine, np.full(QUEUE_DEPTHS[taker] + 1, len(links.engines)))
    reach = ends[np.searchsorted(mine, waits) + QUEUE_DEPTHS[taker] + 1]
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
def _tokens(
    touched: np.ndarray, count: np.ndarray, engines: np.ndarray, bank_bytes: int, kinds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Waits and signals: whether each command waits for, and signals, each engine: int64 [commands, kinds], 0 or 1. touched: int64 [commands, accesses,
    4], of which the first `count` are. kinds: how many engines there are."""
    waits, signals = np.zeros((len(engines), kinds), np.int64), np.zeros((len(engines), kinds), np.int64)
    own, done = np.zeros((kinds, len(engines)), np.int64), np.zeros(kinds, np.int64)  # each engine's commands so far
    known = np.full((kinds, kinds), -1, np.int64)  # numbers among an engine's commands
    leaves = 1
    while leaves * _LEAF < len(engines):
        leaves *= 2
    boxes = np.zeros(
        (kinds, 2 * leaves, _BOXES, 2), np.int64
    )  # [low, high) around the accesses below each node of a tree
    mine = np.zeros((_BOXES, 2), np.int64)
    for index in range(len(engines)):
        me = engines[index]
        mine[:] = 0
        for i in range(count[index]):
            _widen(
                mine,
                2 * touched[index, i, _SPACE] + touched[index, i, _WRITE],
                touched[index, i, _LOW],
                touched[index, i, _HIGH],
            )
        for other in range(kinds):
            found = done[other] if other != me else -1
            while found - 1 > known[me, other]:
                found -= 1
                if found % _LEAF == _LEAF - 1 or found == done[other] - 1:
                    leaf = _latest_leaf(boxes[other], leaves, mine, found // _LEAF, bank_bytes)
                    found = min(found, (leaf + 1) * _LEAF - 1)
                if found <= known[me, other]:
                    break
                earlier = own[other, found]
                if _conflict(touched[index, : count[index]], touched[earlier, : count[earlier]], bank_bytes):
                    waits[index, other] = 1
                    signals[earlier, me] = 1
                    known[me, other] = found
        own[me, done[me]] = index
        node = leaves + done[me] // _LEAF
        done[me] += 1
        while node > 0:
            for box in range(_BOXES):
                if mine[box, 1] > mine[box, 0]:
                    _widen(boxes[me, node], box, mine[box, 0], mine[box, 1])
            node //= 2
    return waits, signals


@compiled()
def _widen(boxes: np.ndarray, box: int, low: int, high: int) -> None:
    """Makes a box include [low, high); it is empty where its end is 0."""
    boxes[box, 0] = low if boxes[box, 1] == 0 else min(boxes[box, 0], low)
    boxes[box, 1] = max(boxes[box, 1], high)


@compiled()
def _latest_leaf(boxes: np.ndarray, leaves: int, mine: np.ndarray, most: int, bank_bytes: int) -> int:
    """The last leaf up to number `most` whose boxes may conflict with mine; -1 for none. boxes: of a tree's nodes, node n's children
    are 2 * n and 2 * n + 1."""
    node = leaves + most
    while True:
        if _may_conflict(boxes[node], mine, bank_bytes):
            if node >= leaves:
                return node - leaves
            node = 2 * node + 1
            continue
        while node % 2 == 0:  # nothing on this side, and it is the left one
            node //= 2
        if node <= 1:
            return -1
        node -= 1


@compiled()
def _may_conflict(theirs: np.ndarray, mine: np.ndarray, bank_bytes: int) -> bool:
    """As _conflict, of boxes: number 2 * space + write."""
    for a in range(_BOXES):
        if mine[a, 1] == 0:
            continue
        for b in range(a // 2 * 2, a // 2 * 2 + 2):
            if theirs[b, 1] == 0:
                continue
            low, high = max(mine[a, 0], theirs[b, 0]), min(mine[a, 1], theirs[b, 1])
            if (a % 2 or b % 2) and low < high:
                return True
            if a // 2 == _ACTIVATION and a == b and low // bank_bytes <= (high - 1) // bank_bytes:
                return True
    return False


@compiled()
def _conflict(mine: np.ndarray, theirs: np.ndarray, bank_bytes: int) -> bool:
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
            if (
                max(mine[i, _LOW], theirs[j, _LOW]) // bank_bytes
                <= (min(mine[i, _HIGH], theirs[j, _HIGH]) - 1) // bank_bytes
            ):
                return True
    return False
