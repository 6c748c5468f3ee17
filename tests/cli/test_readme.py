"""What the README prints of the demo is what the demo prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from intaglio.cli import status
from intaglio.data import MODEL

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_report_of_the_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert status(["run", str(MODEL)]) == 0
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    part = README.read_text().split("## What the demo prints\n")[1].split("Accuracy")[0]
    shown = [
        line.strip()
        for line in part.splitlines()
        if re.match(r" +(layer|block|total|stem|pool|classes|[\d,.]+ inferences)", line)
    ]
    assert len(shown) > 14
    for line in shown:
        assert line in printed
