"""The one kind of table: it fits the terminal, and no number in it is ever cut.

Where the width lacks, in this order: texts fold, headers fold, names are shortened with a sign (…), columns are left out by
their `leave`, which a line below the table says; and where even that is too wide, each row becomes some lines of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

GAP = 2
"""Columns of the terminal between two of the table."""
LONGEST_NAME = 44
SHORTEST_NAME = 18
NARROWEST_TEXT = 20
LONGEST_TOKEN = 44
"""Characters of a word in a text: a longer one is shortened as a name."""


_CODE = re.compile(r"(.*?)( x[\d,]+)?", re.DOTALL)
"""An operator's kind, and how many there are."""


class Kind(Enum):
    """The content of a column. NUMBER: to the right, never shortened. WORD: never shortened. NAME: its end is kept. CODE: an
    operator's kind; its beginning is kept, and a number as in "Add x12". TEXT: words that fold."""

    NUMBER = 0
    WORD = 1
    NAME = 2
    CODE = 3
    TEXT = 4


@dataclass(frozen=True)
class Column:
    """leave: the column of the least is left out first; 0 stays."""

    header: str
    kind: Kind = Kind.NUMBER
    leave: int = 0


@dataclass
class Table:
    """Rows of text under columns. where: what has the columns that are left out, '--json has them'."""

    columns: Sequence[Column]
    where: str = "--json has them"
    rows: list[tuple[str, ...]] = field(default_factory=list)
    sections: set[int] = field(default_factory=set)

    def add(self, *cells: str) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)

    def section(self) -> None:
        """An empty line before the next row."""
        self.sections.add(len(self.rows))

    def render(self, width: int, ellipsis: str = "…") -> RenderableType:
        """For a terminal of so many columns. The cells must be printable (text.shown)."""
        kept = self._kept(width)
        if kept is None:
            return Group(*self._upright(ellipsis))
        widths = self._widths(kept, width)
        out = RichTable(show_edge=False, pad_edge=False, box=None, header_style="bold")
        for i, columns in zip(kept, widths, strict=True):
            column = self.columns[i]
            out.add_column(
                Text(column.header),
                justify="right" if column.kind == Kind.NUMBER else "left",
                width=columns,
                overflow="fold",
            )
        for number, row in enumerate(self.rows):
            if number in self.sections:
                out.add_section()
            out.add_row(
                *(Text(fitted(row[i], self.columns[i].kind, w, ellipsis)) for i, w in zip(kept, widths, strict=True))
            )
        gone = [c.header for i, c in enumerate(self.columns) if i not in kept]
        if not gone:
            return out
        return Group(out, Text(f"not shown at {width} columns: {', '.join(gone)}; {self.where}"))

    def _kept(self, width: int) -> list[int] | None:
        """Indices of the columns that fit; None where those that must stay do not."""
        kept = list(range(len(self.columns)))
        while self._sum([self._least(i) for i in kept]) > width:
            candidates = [i for i in kept if self.columns[i].leave]
            if not candidates:
                return None
            kept.remove(min(candidates, key=lambda i: self.columns[i].leave))
        return kept

    def _widths(self, kept: Sequence[int], width: int) -> list[int]:
        """Widths of the kept columns, whose least ones fit: as wide as they like, less what lacks."""
        widths = [self._wanted(i) for i in kept]
        least = [self._least(i) for i in kept]
        for kinds in ({Kind.TEXT}, {Kind.NUMBER, Kind.WORD}, {Kind.NAME, Kind.CODE}):
            for at, i in enumerate(kept):
                if self.columns[i].kind in kinds:
                    lacking = max(self._sum(widths) - width, 0)
                    widths[at] = max(least[at], widths[at] - lacking)
        return widths

    @staticmethod
    def _sum(widths: Sequence[int]) -> int:
        return sum(widths) + GAP * (len(widths) - 1)

    def _cells(self, index: int) -> list[str]:
        return [row[index] for row in self.rows]

    def _wanted(self, index: int) -> int:
        column = self.columns[index]
        longest = max(map(cell_len, self._cells(index)), default=0)
        if column.kind in (Kind.NAME, Kind.CODE):
            longest = min(longest, LONGEST_NAME)
        return max(longest, cell_len(column.header))

    def _least(self, index: int) -> int:
        column = self.columns[index]
        longest = max(map(cell_len, self._cells(index)), default=0)
        if column.kind in (Kind.NAME, Kind.CODE):
            longest = min(longest, SHORTEST_NAME)
        elif column.kind == Kind.TEXT:
            numbers = [cell_len(word) for cell in self._cells(index) for word in cell.split() if re.search(r"\d", word)]
            longest = min(longest, max(NARROWEST_TEXT, min(max(numbers, default=0), LONGEST_TOKEN)))
        return max(longest, max(map(cell_len, column.header.split()), default=1), 1)

    def _upright(self, ellipsis: str) -> list[Text]:
        """Some lines for each row: its first cell, then the others that hold something under their headers."""
        out = []
        for row in self.rows:
            head, *others = row
            out.append(Text(fitted(head, self.columns[0].kind, LONGEST_NAME, ellipsis), style="bold"))
            for column, cell in zip(self.columns[1:], others, strict=True):
                if cell:
                    label = f"{column.header}: " if column.header else ""
                    out.append(Text(f"  {label}{cell}"))
        return out


def fitted(text: str, kind: Kind, width: int, ellipsis: str = "…") -> str:
    """A cell for `width` columns: names and over-long words with a sign for what is left out."""
    if kind == Kind.TEXT:
        return " ".join(shortened(word, max(width, 1), ellipsis) for word in text.split(" "))
    if kind == Kind.NAME:
        return shortened(text, width, ellipsis)
    if kind == Kind.CODE:
        name, times = _CODE.fullmatch(text).groups("")  # type: ignore[union-attr]
        return shortened(name[::-1], width - len(times), ellipsis[::-1])[::-1] + times
    return text


def shortened(text: str, width: int, ellipsis: str = "…") -> str:
    """The end of a text that is longer than `width` columns, after the sign."""
    if cell_len(text) <= width:
        return text
    kept = text[-width:]
    while kept and cell_len(ellipsis) + cell_len(kept) > width:
        kept = kept[1:]
    return ellipsis + kept


def cleaned(table: Table, clean: object) -> Table:
    """The table with clean(text) for each cell and header."""
    assert callable(clean)
    return replace(
        table,
        columns=[replace(c, header=clean(c.header)) for c in table.columns],
        rows=[tuple(clean(cell) for cell in row) for row in table.rows],
    )


def grouped(names: Sequence[str], most: int = 3) -> str:
    """Names for a sentence: all where they are few, else the first ones and how many more."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return ", ".join(names[:most]) + f" and {len(names) - most:,} more"
