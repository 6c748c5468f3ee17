"""Docstrings begin with a noun phrase or a sentence, not with a fragment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "intaglio"
FRAGMENTS = {"What", "Of", "Whether", "How", "Where", "By", "Those", "From", "Such", "Which", "That", "When"}
"""First words of clauses that have no subject, or hang on a name above them."""


def docstrings(code: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every string that stands by itself: of modules, classes, functions, fields and constants."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def fragments(path: Path) -> list[str]:
    found = docstrings(path.read_text())
    return [
        f"{path}:{line}: {text[:60]}" for line, text in found if text.split(maxsplit=1)[0].strip(",:;.") in FRAGMENTS
    ]


def test_docstrings_begin_with_a_noun_phrase_or_a_sentence() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100
    assert [fault for path in files for fault in fragments(path)] == []


def test_every_module_has_a_docstring() -> None:
    without = [path for path in sorted(PACKAGE.rglob("*.py")) if not ast.get_docstring(ast.parse(path.read_text()))]
    assert without == []


def test_fragments_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text('"""A module."""\nN = 1\n"""Of something."""\ndef f():\n    """How much."""\n')
    assert [fault.split(": ")[1] for fault in fragments(path)] == ["Of something.", "How much."]
