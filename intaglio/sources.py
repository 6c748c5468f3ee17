"""The source text behind a module of this package: its own and that of all modules that it imports, directly or not."""

from __future__ import annotations

import re
from functools import cache as memoized
from pathlib import Path

_ROOT = Path(__file__).parent
_IMPORT = re.compile(r"^(?:import +(intaglio[\w.]*)|from +(intaglio[\w.]*) +import +(\([^)]*\)|[^\n]*))", re.MULTILINE)
"""At the start of a line: what a function imports when it is called is no part of what it was compiled from."""


def texts_behind(module: str) -> tuple[str, ...] | None:
    """Names and texts, in order of names. None where they cannot be read."""
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        try:
            seen[name], imported = _read(name)
        except OSError:
            return None
        waiting += imported
    return tuple(part for name in sorted(seen) for part in (name, seen[name]))


@memoized
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """A module's text, and the modules that it imports at its top."""
    path = _file(module)
    if path is None:
        raise FileNotFoundError(module)
    text = path.read_text(encoding="utf-8")
    imported = set()
    for plain, package, names in _IMPORT.findall(text):
        imported.add(plain or package)
        imported.update(f"{package}.{name}" for name in re.findall(r"\w+", names) if package)
    return text, tuple(sorted(name for name in imported if _file(name) is not None))


@memoized
def _file(module: str) -> Path | None:
    """The file of a module of this package; None if there is no such module."""
    parts = module.split(".")[1:]
    for path in (_ROOT.joinpath(*parts, "__init__.py"), _ROOT.joinpath(*parts).with_suffix(".py") if parts else _ROOT):
        if path.is_file():
            return path
    return None
