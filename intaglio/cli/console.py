"""Where text goes: reports to standard output, progress and everything beside a JSON to standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.status import Status

from intaglio.files import check_writable
from intaglio.report.files import json_text, write_text

STANDARD_OUTPUT = Path("-")


def report_console(json: Path | None) -> Console:
    """Standard output, but standard error where the JSON takes the former. Wide where it is no terminal."""
    console = Console(stderr=json == STANDARD_OUTPUT, highlight=False)
    return console if console.is_terminal else Console(stderr=json == STANDARD_OUTPUT, highlight=False, width=160)


def check_targets(*paths: Path | None) -> None:
    """Refuses files that cannot be written before any work is done."""
    for path in paths:
        if path != STANDARD_OUTPUT:
            check_writable(path)


def write_json(path: Path | None, data: dict[str, Any]) -> None:
    if path == STANDARD_OUTPUT:
        sys.stdout.write(json_text(data))
    elif path is not None:
        write_text(path, json_text(data))


class Progress:
    """Shows on standard error what is being done: a spinner on a terminal, else a line for what takes long."""

    def __init__(self, status: Status | None):
        self._status = status

    def step(self, message: str) -> None:
        """What usually takes less than seconds: shown on a terminal only."""
        if self._status is not None:
            self._status.update(escape(message))

    def long(self, message: str) -> None:
        """What can take minutes."""
        if self._status is not None:
            self._status.console.print(escape(message))
            self._status.update(escape(message))
        else:
            print(message, file=sys.stderr, flush=True)


@contextmanager
def progress() -> Iterator[Progress]:
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Progress(None)
        return
    with console.status("starting") as status:
        yield Progress(status)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yields bar(what, done, of), which shows a bar for each `what` on a terminal and nothing elsewhere."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda what, done, of: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(escape(what), total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield show
