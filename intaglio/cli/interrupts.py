"""Ctrl-C at any moment: the process ends at once, and leaves nothing that was begun.

No exception is raised: it could come from within a library's compiled code, which may swallow it or crash. Python's handler runs
between two lines of Python; where compiled code keeps it from that, a thread, woken by the signal itself, ends the process
PATIENCE seconds later.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from intaglio.cli.exits import INTERRUPTED
from intaglio.unfinished import discard_unfinished

PATIENCE = 3.0
"""Seconds that compiled code may take."""


@contextmanager
def watched() -> Iterator[None]:
    """For the main thread of a process of ours: until the block ends, SIGINT ends the process; then it is ignored, for all is done."""
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
    _end()


def _watch(woken: int) -> None:
    while signal.SIGINT not in os.read(woken, 64):
        pass
    threading.Event().wait(PATIENCE)
    _end()


def _end() -> None:
    discard_unfinished()
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, b"\x1b[?25h\r\x1b[K")  # the cursor, which a display may have hidden, in an empty line
        os.write(2, b"intaglio: interrupted\n")
    os._exit(INTERRUPTED)
