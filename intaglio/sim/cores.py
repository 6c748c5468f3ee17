"""The host's cores: threads of ours, each with its own matrix products."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController


@cache
def workers() -> ThreadPoolExecutor:
    """A thread for each core, for work that leaves Python's lock."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "intaglio")


def in_parts(run: Callable[[int, int, np.ndarray], None], count: int, parts: int, ledger: np.ndarray) -> None:
    """run(first, last, ledger) over range(count), in at most `parts` parts side by side; each adds to a ledger of its own,
    and those are added to `ledger` (int64)."""
    parts = min(parts, os.cpu_count() or 1, count)
    if parts <= 1:
        run(0, count, ledger)
        return
    bounds = [count * i // parts for i in range(parts + 1)]
    ledgers = np.zeros((parts, ledger.size), np.int64)
    others = [workers().submit(run, bounds[i], bounds[i + 1], ledgers[i]) for i in range(1, parts)]
    try:
        run(0, bounds[1], ledgers[0])
    finally:
        wait(others)
    for other in others:
        other.result()
    ledger += ledgers.sum(axis=0)


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


_lock = threading.Lock()
_limits: list[object] = []
"""One entry for each caller inside single_threaded_products; the first holds the limiter."""


@contextmanager
def single_threaded_products() -> Iterator[None]:
    """While it lasts, a matrix product stays on its own core: numpy's threads would wait for each other, spinning. The
    setting is the process's: callers in several threads share it, and the last one out restores it."""
    with _lock:
        _limits.append(_limits[0] if _limits else _controller().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _lock:
            limiter = _limits.pop()
            if not _limits:
                limiter.restore_original_limits()  # type: ignore[attr-defined]
