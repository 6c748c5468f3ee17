"""The host's cores: threads of ours, each with its own matrix products."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def workers() -> ThreadPoolExecutor:
    """A thread for each core, for work that leaves Python's lock."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "intaglio")


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
