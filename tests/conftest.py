"""What all tests share."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import pytest

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it for its workers, and what a command prints would be folded to it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as behind a shell's &; what tests start would be as deaf
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hardware descriptions and simulators in Amaranth are millions of small objects. With the usual threshold, garbage is looked
# for among them every 700 new ones, a tenth of the time of tests/hw.
gc.set_threshold(500_000, 20, 100)


@pytest.fixture(autouse=True)
def _folder_stays() -> Iterator[None]:
    """A test that leaves the process in another folder would break those behind it."""
    before = os.getcwd()
    yield
    left = os.getcwd()
    os.chdir(before)
    assert left == before
