"""The host's cores: threads of ours, each with its own matrix products."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def workers() -> ThreadPoolExecutor:
    """A thread for each core, for work that leaves Python's lock."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "intaglio")


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def single_threaded_products() -> AbstractContextManager[object]:
    """While it lasts, a matrix product stays on its own core: numpy's threads would wait for each other, spinning."""
    return _controller().limit(limits=1, user_api="blas")
