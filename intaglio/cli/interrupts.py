"""Ctrl-C at any moment: a KeyboardInterrupt where Python can raise it, and an end all the same where it cannot.

Compiled code is not interrupted by an exception, and libraries may swallow one. A thread, woken by the signal itself, ends the
process PATIENCE seconds later if it still runs.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE = 3.0
"""Seconds that clean-up may take."""
_seen = threading.Event()


def interrupted() -> bool:
    """Whether Ctrl-C came, whatever became of its exception."""
    return _seen.is_set()


@contextmanager
def watched() -> Iterator[None]:
    """For the main thread of a process of ours: until the block ends, SIGINT interrupts; then it is ignored, for all is done."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's background job: not to be interrupted
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(woken,), daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _seen.set()
    raise KeyboardInterrupt


def _watch(woken: int) -> None:
    while signal.SIGINT not in os.read(woken, 64):
        pass
    threading.Event().wait(PATIENCE)
    from intaglio.files import discard_unfinished

    discard_unfinished()
    os.write(2, b"intaglio: interrupted\n")
    os._exit(130)
