"""LOADs placed ahead of COMPUTE and STORE commands that they do not depend on.

Dispatch is in order: a LOAD behind a COMPUTE command is not even seen before COMPUTE's queue has room for that one. So what a
layer loads while it computes has to stand some commands before its use. The order of each engine's own commands stays, and
with it what a program computes; tokens are put on afterwards.
"""

from __future__ import annotations

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.config import Config
from intaglio.machine.isa import Engine
from intaglio.machine.limits import QUEUE_DEPTHS
from intaglio.mapper.emit.accesses import Space, accesses_of
from intaglio.program.table import Table
from intaglio.verifier.liveness import engines_of

_ACTIVATION = int(Space.ACTIVATION)
_LOAD, _COMPUTE = int(Engine.LOAD), int(Engine.COMPUTE)


def load_order(config: Config, table: Table, most: int) -> np.ndarray:
    """The order of commands, int64 [commands], where a LOAD passes `most` COMPUTE commands at most. table: of commands in
    sequential order, their tokens of no account."""
    touched, count = accesses_of(config, table)
    return _order(touched, count, engines_of(table), config.bank_bytes, most, QUEUE_DEPTHS[Engine.LOAD])


@compiled()
def _order(
    touched: np.ndarray, count: np.ndarray, engines: np.ndarray, bank_bytes: int, most: int, queue: int
) -> np.ndarray:
    """int64 [commands]: which command comes when. touched, count: as of accesses_of. most: as above. queue: LOADs in a row that
    dispatch can take before the first of them has begun."""
    out = np.empty(len(engines), np.int64)
    for size in range(len(engines)):
        at = size
        if engines[size] == _LOAD:
            passed = 0
            while (
                at > 0
                and engines[out[at - 1]] != _LOAD
                and not _conflict(touched, count, size, out[at - 1], bank_bytes)
            ):
                if engines[out[at - 1]] == _COMPUTE:
                    passed += 1
                    if passed > most:
                        break
                at -= 1
            loads = 0
            while loads < at and engines[out[at - 1 - loads]] == _LOAD:
                loads += 1
            if loads >= queue:
                at = size
        for i in range(size, at, -1):
            out[i] = out[i - 1]
        out[at] = size
    return out


@compiled()
def _conflict(touched: np.ndarray, count: np.ndarray, one: int, two: int, bank_bytes: int) -> bool:
    """True where two commands touch a byte that one of them writes, or the same port of an activation bank."""
    for a in range(count[one]):
        for b in range(count[two]):
            space, low, high, write = touched[one, a]
            other, least, most, writes = touched[two, b]
            if space != other:
                continue
            if (write or writes) and low < most and least < high:
                return True
            same_port = space == _ACTIVATION and write == writes
            if (
                same_port
                and low // bank_bytes <= (most - 1) // bank_bytes
                and least // bank_bytes <= (high - 1) // bank_bytes
            ):
                return True
    return False
