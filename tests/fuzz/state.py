"""What a run has done, in a folder: results.jsonl, a line a pair, and failures/, a file for each pair that failed.

A run that goes on in the folder leaves out the pairs that have a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.case import Case

RESULTS = "results.jsonl"


@dataclass(frozen=True)
class Line:
    """name: of the pair. seconds: of the processor. kind: of its failure, None without. figures: of hold.Held."""

    name: str
    seconds: float
    kind: str | None
    figures: dict[str, Any]


class State:
    """folder None: nothing is kept."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self.lines: dict[str, Line] = {}
        if folder is not None:
            (folder / "failures").mkdir(parents=True, exist_ok=True)
            self.lines = {line.name: line for line in self._read()}

    def _read(self) -> Iterator[Line]:
        assert self.folder is not None
        path = self.folder / RESULTS
        for text in path.read_text().splitlines() if path.exists() else []:
            try:
                found = json.loads(text)
            except ValueError:  # half a line, of an interrupted run
                continue
            yield Line(found["name"], found["seconds"], found["kind"], found["figures"])

    def add(self, line: Line) -> None:
        self.lines[line.name] = line
        if self.folder is not None:
            with (self.folder / RESULTS).open("a") as file:
                document = {
                    "name": line.name,
                    "seconds": round(line.seconds, 3),
                    "kind": line.kind,
                    "figures": line.figures,
                }
                file.write(json.dumps(document) + "\n")

    def save_case(self, case: Case, kind: str, text: str, name: str) -> Path | None:
        """A file that --replay reads; None without a folder."""
        if self.folder is None:
            return None
        path = self.folder / "failures" / f"{name}.json"
        path.write_text(json.dumps({"kind": kind, "text": text.splitlines()[-60:], **case.to_json()}, indent=1) + "\n")
        return path
