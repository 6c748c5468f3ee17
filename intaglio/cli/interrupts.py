"""Ctrl-C, and a signal to end, at any moment: the process ends at once, and leaves nothing that was begun.

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

from intaglio.unfinished import discard_unfinished, when_all_is_known

PATIENCE = 3.0
"""Seconds that compiled code may take."""
_SIGNALS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by SIGTERM",
    signal.SIGHUP: "ended by SIGHUP",
    signal.SIGQUIT: "ended by SIGQUIT",
}
"""Signals of Ctrl-C; of `kill`, `timeout` and a system that stops; of a terminal that goes away; of Ctrl-\\; and what is said of
each. A terminal sends none of them to the programs that we wait for, which have groups of their own."""


@contextmanager
def watched() -> Iterator[None]:
    """For the main thread of a process of ours: until the block ends, each of the signals ends the process, with 128 and its number as
    the status; then it is ignored, for all is done. One that is ignored already stays so: a shell's background job is not
    to be interrupted, and `nohup` outlives its terminal."""
    heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, _interrupt)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(woken,), daemon=True).start()
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    when_all_is_known(lambda: _end(number))


def _watch(woken: int) -> None:
    while not (heard := set(os.read(woken, 64)) & _SIGNALS.keys()):
        pass
    threading.Event().wait(PATIENCE)
    _end(min(heard))


def _end(number: int) -> None:
    discard_unfinished()
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, b"\x1b[?25h\r\x1b[K")  # the cursor, which a display may have hidden, in an empty line
        os.write(2, f"intaglio: {_SIGNALS[signal.Signals(number)]}\n".encode())
    os._exit(128 + number)
