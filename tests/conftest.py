"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it for its workers, and what a command prints would be folded to it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as behind a shell's &; what tests start would be as deaf
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _folder_stays() -> Iterator[None]:
    """A test that leaves the process in another folder would break those behind it."""
    before = os.getcwd()
    yield
    left = os.getcwd()
    os.chdir(before)
    assert left == before
