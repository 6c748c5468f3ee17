"""Things of which an interrupted process leaves nothing: files and folders that it is making, and programs that it
waits for.

An interrupt ends the process at once (cli/interrupts.py): an exception could come from within a library's compiled code, which
does not bear one. So what a block would take away at its end is known here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_MEANWHILE = 1.0
"""Seconds between two calls of what is done while a program runs."""
_GRACE = 1.0
"""Seconds that a program may take to end when it is asked to."""
_paths: set[Path] = set()
_processes: set[subprocess.Popen[Any]] = set()
_starting: list[Sequence[str]] = []
"""Programs that run, maybe, but of which nothing is known yet."""
_put_off: list[Callable[[], None]] = []


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A file or folder that is taken away when the block ends, or an interrupt comes before; unless it was moved
    away."""
    _paths.add(path)
    try:
        yield path
    finally:
        _take_away(path)
        _paths.discard(path)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder where temporary files lie, taken away when the block ends."""
    with unfinished(Path(tempfile.mkdtemp(prefix="intaglio."))) as folder:
        yield folder


def run_program(
    arguments: Sequence[str],
    given: bytes | None = None,
    timeout: float | None = None,
    meanwhile: Callable[[], None] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """As subprocess.run does, whatever the exit status. given: on standard input. meanwhile: called once a second as long as
    the program runs; what it raises ends the program. options: of subprocess.Popen.

    The program leads a process group, so that what it starts itself (Verilator's script, make, Yosys) ends with it. Such a group
    may not read a terminal.
    """
    stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
    with _started(arguments, stdin=stdin, process_group=0, **options) as process:
        try:
            while meanwhile is not None and process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(given, _MEANWHILE)
                given = None
                meanwhile()
            out, err = process.communicate(given, timeout)
        except BaseException:
            _signal(process, signal.SIGKILL)
            raise
        finally:
            _processes.discard(process)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _started(arguments: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """The program, which discard_unfinished knows before any signal ends this process."""
    _starting.append(arguments)
    try:
        process = subprocess.Popen(arguments, **options)
        _processes.add(process)
    finally:
        _starting.pop()
        while _put_off and not _starting:
            _put_off.pop()()
    return process


def when_all_is_known(end: Callable[[], None]) -> None:
    """Calls `end`, for a signal's handler: at once, or where the interrupted line is starting a program, behind that."""
    if _starting:
        _put_off.append(end)
    else:
        end()


def discard_unfinished() -> None:
    """Ends the programs and then, when none writes any more, takes the files and folders away; for a process that ends without
    unwinding."""
    running = tuple(_processes)
    for process in running:
        _signal(process, signal.SIGTERM)
    until = time.monotonic() + _GRACE
    while time.monotonic() < until and not all(map(_has_ended, running)):
        time.sleep(0.01)
    for process in running:
        _signal(process, signal.SIGKILL)
    for path in tuple(_paths):
        _take_away(path)


def _signal(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    """To the program and all of its group that are left; to none once its status was asked for, when its number may be another's."""
    if process.returncode is None:
        with suppress(OSError):
            os.killpg(process.pid, number)


def _has_ended(process: subprocess.Popen[Any]) -> bool:
    """True if it has. Popen.poll does not tell where the interrupted line is itself in it."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _take_away(path: Path) -> None:
    """As far as it can be."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
