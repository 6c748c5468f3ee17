"""README and guide show what the command prints, and name its commands and options as they are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from intaglio.cli import status
from intaglio.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
REPORT = re.compile(r" +(layer|block|total|stem|pool|classes|[\d,.]+ inferences)")
"""Beginnings of a report's lines in which no time is measured."""
SAID_ONCE = {"--set", "--help", "--output"}
"""Options of several commands, which the guide explains below its table or names by their short form."""


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def commands_of(name: str) -> list[list[str]]:
    """Arguments of the calls of `intaglio` in the document's blocks of code, less their comments."""
    lines = re.findall(r"^ {4}(?:\.venv/bin/)?intaglio (.*)$", text_of(name), re.M)
    return [shlex.split(line, comments=True) for line in lines]


def shown_in(name: str) -> list[str]:
    return [line.strip() for line in text_of(name).split("Accuracy\n")[0].splitlines() if REPORT.match(line)]


def test_the_report_of_the_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """README's command, as it stands there, prints the lines that README and guide show."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(ROOT)
    (command,) = commands_of("README.md")
    assert status(command) == 0
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    guide, readme = shown_in("docs/guide.md"), shown_in("README.md")
    assert len(guide) > 14 and len(readme) > 5
    for line in guide + readme:
        assert line in printed


def options() -> dict[str, set[str]]:
    """Of each command the options that it has."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return {
        name: {
            option for given in command.params for option in (*given.opts, *given.secondary_opts) if option[0] == "-"
        }
        for name, command in commands.items()
    }


def test_the_guide_names_every_command_and_option() -> None:
    said: dict[str, set[str]] = {}
    for call in re.findall(r"^\| `intaglio (.*?)` \|", text_of("docs/guide.md"), re.M):
        name, _, rest = call.partition(" ")
        said.setdefault(name, set()).update(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", rest))
    have = options()
    assert said.keys() == have.keys()
    for name, found in have.items():
        assert said[name] <= found, name
        assert {option for option in found if option.startswith("--")} - said[name] <= SAID_ONCE, name


def test_make_has_the_targets_that_documents_name() -> None:
    makefiles = ("Makefile", "intaglio/export/templates/Makefile")
    targets = {target for name in makefiles for target in re.findall(r"^([a-z-]+):", text_of(name), re.M)}
    documents = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    named = {
        word for path in documents for word in re.findall(r"(?:`|^    )make ([a-z-]+)", path.read_text(), re.M) if word
    }
    assert named and named <= targets
