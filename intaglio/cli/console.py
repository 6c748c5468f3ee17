"""Ways of text: reports to standard output, progress and everything beside a JSON to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.status import Status
from rich.text import Text

from intaglio.errors import InputError
from intaglio.files import check_writable, json_text, resolved, target_of, write_text
from intaglio.report.terminal import Terminal, plain_console
from intaglio.text import shown

STANDARD_OUTPUT = Path("-")


def report_terminal(json: Path | None) -> Terminal:
    """Standard output, but standard error where the JSON takes the former."""
    return Terminal(stderr=json == STANDARD_OUTPUT)


def check_targets(json: Path | None, *others: Path | None, inputs: Sequence[Path | None] = ()) -> None:
    """Refuses files that cannot be written before any work is done, and those that another output or an input is. json: may be
    STANDARD_OUTPUT, the others not."""
    read = {_place(path): path for path in inputs if path is not None and os.path.exists(path)}
    taken: dict[Path, Path] = {}
    for path in (json, *others):
        if path is None or (path is json and path == STANDARD_OUTPUT):
            continue
        if path == STANDARD_OUTPUT:
            raise InputError("-: only --json writes to standard output; give the name of a file")
        check_writable(path)
        target = target_of(path)
        if target.node:
            continue
        if target.place in read:
            raise InputError(f"{path}: is the input {read[target.place]}; choose another name")
        if target.place in taken:
            raise InputError(f"{path}: another option writes {taken[target.place]} there; choose another name")
        taken[target.place] = path


def _place(path: Path) -> Path:
    return resolved(path)


def tell_written(terminal: Terminal, *paths: Path | None) -> None:
    """Names the files that were written, in the report."""
    written = [str(path) for path in paths if path is not None and path != STANDARD_OUTPUT]
    if written:
        terminal.line(f"written: {', '.join(written)}")


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
        """Tells of a step that usually takes less than seconds: shown on a terminal only."""
        if self._status is not None:
            self._status.update(Text(shown(message)))

    def long(self, message: str) -> None:
        """Tells of a step that can take minutes."""
        if self._status is not None:
            self._status.console.print(Text(shown(message)))
            self._status.update(Text(shown(message)))
        else:
            print(shown(message), file=sys.stderr, flush=True)


@contextmanager
def progress() -> Iterator[Progress]:
    console = plain_console(stderr=True)
    if not console.is_terminal:
        yield Progress(None)
        return
    spinner = "line" if console.options.ascii_only else "dots"
    with console.status("starting", spinner=spinner) as status:
        yield Progress(status)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yields bar(what, done, of), which shows a bar for each `what` on a terminal and nothing elsewhere."""
    console = plain_console(stderr=True)
    if not console.is_terminal:
        yield lambda what, done, of: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(shown(what), total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield show
