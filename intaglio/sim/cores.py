"""The host's cores: work in parts, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache


@cache
def workers() -> ThreadPoolExecutor:
    """A thread for each core, for work that leaves Python's lock."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "intaglio")


def in_parts(run: Callable[[int, int], None], count: int, parts: int) -> None:
    """run(first, last) over range(count), in at most `parts` parts side by side."""
    if parts > 1:  # asking for the cores takes as long as a small command
        parts = min(parts, os.cpu_count() or 1, count)
    if parts <= 1:
        run(0, count)
        return
    bounds = [count * i // parts for i in range(parts + 1)]
    others = [workers().submit(run, bounds[i], bounds[i + 1]) for i in range(1, parts)]
    try:
        run(0, bounds[1])
    finally:
        wait(others)
    for other in others:
        other.result()
