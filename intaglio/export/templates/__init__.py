"""Texts of an export: *.h and *.c as they are, *.in with places to fill."""

from __future__ import annotations

from importlib import resources
from string import Template


def text(name: str) -> str:
    """A file of this folder."""
    return (resources.files(__name__) / name).read_text(encoding="utf-8")


def fill(name: str, /, **values: object) -> str:
    """A file of this folder, $name and ${name} replaced; a name without a value is a KeyError."""
    return Template(text(name)).substitute(values)
