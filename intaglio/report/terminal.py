"""The screen of reports: standard output or standard error, as wide as they are, in characters that they have.

The only way to a terminal for what a report says: `line` and `table` escape what would act on the screen, so a name cannot.
"""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.text import Text

from intaglio.report.table import Table, cleaned
from intaglio.text import encodable, shown

WIDTH_OF_A_FILE = 160
"""Columns where the report goes to no terminal and COLUMNS does not say."""
_MOST_COLUMNS = 10_000


class Terminal:
    """Lines and tables for a person.

    width: in columns: $COLUMNS, else the terminal's; of a file or pipe WIDTH_OF_A_FILE, for tables alone.
    """

    def __init__(self, stderr: bool = False):
        known = _columns() or _size(stderr)
        self.width = known or WIDTH_OF_A_FILE
        self._folds = known is not None
        self._console = plain_console(stderr, self.width)

    def line(self, text: str = "", bold: bool = False) -> None:
        """A line, folded between words where it is wider than the terminal, whole in a file."""
        styled = Text(self._clean(text), style="bold" if bold else "")
        self._console.print(styled, overflow="fold" if self._folds else "ignore", no_wrap=not self._folds, crop=False)

    def table(self, table: Table) -> None:
        ellipsis = encodable("…", self._console.encoding)
        self._console.print(cleaned(table, self._clean).render(self.width, ellipsis), overflow="fold")

    def _clean(self, text: str) -> str:
        return encodable(shown(text), self._console.encoding)


def plain_console(stderr: bool, width: int | None = None) -> Console:
    """rich's, taking text as it is: no markup, no emoji, no colours for what looks like a number."""
    height = (
        None if width is None else 25
    )  # of no meaning, but rich takes a dumb terminal's width only together with it
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width, height=height)


def _size(stderr: bool) -> int | None:
    """Columns of the terminal; None of what is none, or does not know."""
    try:
        return os.get_terminal_size((sys.stderr if stderr else sys.stdout).fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def _columns() -> int | None:
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isdecimal() and 0 < int(text) <= _MOST_COLUMNS else None
