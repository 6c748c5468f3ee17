"""Dispatch, queues and tokens without time: whether a program's commands all complete, and what each can rely on.

Any amount of time may pass between two events. Commands are numbers here: of each its engine, and whether it waits for, or
signals, tokens of each other engine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.isa import ENGINE_OF, Engine, token_bit
from intaglio.machine.limits import MOST_TOKENS, QUEUE_DEPTHS
from intaglio.program.table import Table

_DEPTHS = np.array([QUEUE_DEPTHS[engine] for engine in Engine])
_NOBODY = -1


class Links(NamedTuple):
    """engines: [commands]. waits, signals: int64 [commands, engines], 1 for tokens from and to these."""

    engines: np.ndarray
    waits: np.ndarray
    signals: np.ndarray


def engines_of(table: Table) -> np.ndarray:
    """int64 [commands]: the engine of each."""
    engines = np.zeros(len(table), np.int64)
    for opcode, at in table.at.items():
        engines[at] = ENGINE_OF[opcode]
    return engines


def links_of(table: Table) -> Links:
    engines = engines_of(table)
    links = Links(engines, *(np.zeros((len(table), len(Engine)), np.int64) for _ in range(2)))
    for me in Engine:
        mine = engines == me
        for other in (e for e in Engine if e != me):
            bit = token_bit(me, other)
            links.waits[mine, other] = table.header["wait"][mine] >> bit & 1
            links.signals[mine, other] = table.header["signal"][mine] >> bit & 1
    return links


def order_of(links: Links) -> tuple[np.ndarray, tuple[int, str] | None]:
    """An order in which the commands can complete; and (index, reason) of a command that stops the program or may let a
    counter of tokens overflow: tokens pile up as high as they ever may where one engine moves only when nothing else can."""
    order, *fault = _run(links, _NOBODY, _DEPTHS)
    for late in Engine:
        if fault[0] < 0:
            _, *fault = _run(links, int(late), _DEPTHS + 1)  # beside its queue an engine may have begun one
    index, overflow = fault
    if index < 0:
        return order, None
    if overflow < 0:
        return order, (index, "waits for a token that never comes")
    return order, (index, f"may leave more than {MOST_TOKENS} tokens for {Engine(overflow).name}")


@compiled()
def clocks(links: Links, order: np.ndarray) -> np.ndarray:
    """int64 [commands, engines]: of each engine the greatest index of its commands known to be complete when a command
    starts, -1 for none. order: one in which all complete."""
    engines = links.waits.shape[1]
    started = np.zeros(links.waits.shape, np.int64)
    last = np.full((engines, engines), -1, np.int64)  # what is known when an engine's last command is complete
    signals = np.zeros(
        (engines, engines, len(order)), np.int64
    )  # who sent the tokens from one engine to another, in order
    sent, taken = np.zeros((engines, engines), np.int64), np.zeros((engines, engines), np.int64)
    for index in order:
        me = links.engines[index]
        for other in range(engines):
            if links.waits[index, other]:
                sender = signals[other, me, taken[other, me]]
                taken[other, me] += 1
                for engine in range(engines):
                    last[me, engine] = max(last[me, engine], started[sender, engine])
                last[me, other] = max(last[me, other], sender)
        for other in range(engines):
            started[index, other] = last[me, other]
        last[me, me] = index
        for other in range(engines):
            if links.signals[index, other]:
                signals[me, other, sent[me, other]] = index
                sent[me, other] += 1
    return started


@compiled()
def _run(links: Links, late: int, depths: np.ndarray) -> tuple[np.ndarray, int, int]:
    """(order, index, engine): the command that waits for ever (engine -1), or leaves too many tokens for an engine; index is -1
    where all complete. depths: of each engine as many commands may be dispatched and not complete."""
    count, engines = links.waits.shape
    queues = np.zeros(
        (engines, count), np.int64
    )  # each engine's commands, dispatched up to `filled`, complete up to `done`
    filled, done = np.zeros(engines, np.int64), np.zeros(engines, np.int64)
    tokens = np.zeros((engines, engines), np.int64)
    order = np.zeros(count, np.int64)
    next_one = complete = 0
    while complete < count:
        moved = False
        while next_one < count:
            engine = links.engines[next_one]
            if filled[engine] - done[engine] == depths[engine]:
                break
            queues[engine, filled[engine]] = next_one
            filled[engine] += 1
            next_one += 1
            moved = True
        for turn in range(engines + 1):
            engine = turn if turn < engines else late
            if engine < 0 or (engine == late and (turn < engines or moved)):
                continue
            while done[engine] < filled[engine]:
                index = queues[engine, done[engine]]
                ready = True
                for other in range(engines):
                    ready &= tokens[other, engine] >= links.waits[index, other]
                if not ready:
                    break
                for other in range(engines):
                    tokens[other, engine] -= links.waits[index, other]
                    tokens[engine, other] += links.signals[index, other]
                    if tokens[engine, other] > MOST_TOKENS:
                        return order, index, other
                done[engine] += 1
                order[complete] = index
                complete += 1
                moved = True
                if engine == late:
                    break
        if not moved:
            first = count
            for engine in range(engines):
                if done[engine] < filled[engine]:
                    first = min(first, queues[engine, done[engine]])
            return order, first, -1
    return order, -1, -1
