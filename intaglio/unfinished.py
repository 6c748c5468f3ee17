"""Things of which an interrupted process leaves nothing: files and folders that it is making, and programs that it
waits for.

An interrupt ends the process at once (cli/interrupts.py): an exception could come from within a library's compiled code, which
does not bear one. So what a block would take away at its end is known here.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_MEANWHILE = 1.0
"""Seconds between two calls of what is done while a program runs."""
_paths: set[Path] = set()
_processes: set[subprocess.Popen[Any]] = set()


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
    the program runs; what it raises ends the program. options: of subprocess.Popen."""
    with subprocess.Popen(arguments, stdin=None if given is None else subprocess.PIPE, **options) as process:
        _processes.add(process)
        try:
            while meanwhile is not None and process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(given, _MEANWHILE)
                given = None
                meanwhile()
            out, err = process.communicate(given, timeout)
        except BaseException:
            process.kill()
            raise
        finally:
            _processes.discard(process)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def discard_unfinished() -> None:
    """Ends the programs and takes the files and folders away; for a process that ends without unwinding."""
    for process in tuple(_processes):
        with suppress(OSError):
            process.terminate()
    for path in tuple(_paths):
        _take_away(path)


def _take_away(path: Path) -> None:
    """As far as it can be."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
