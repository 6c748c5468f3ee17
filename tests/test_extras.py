"""Advice on what to install works wherever Intaglio came from."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from intaglio import extras

ROOT = Path(__file__).parent.parent
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", extras.PACKAGES)
def test_the_packages_are_the_declared_ones(extra: str) -> None:
    assert tuple(re.match(r"[\w-]+", line)[0] for line in DECLARED[extra]) == extras.PACKAGES[extra]


def test_an_installed_intaglio_gives_its_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "numpy>=2",
        "onnx-tool>=3; extra == 'onnx'",
        'onnx<2,>=1.19; extra == "onnx"',
        "onnx==9; extra == 'other'",
        "onnxruntime>=1.28; python_version >= '3' and extra == 'onnx'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    words = shlex.split(extras.install("onnx"))
    assert words == [sys.executable, "-m", "pip", "install", "onnx<2,>=1.19", "onnxruntime>=1.28"]


def test_a_checkout_on_the_path_gives_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert extras.install("litert").endswith(" -m pip install ai-edge-litert")


def test_nothing_tells_to_install_intaglio_from_an_index() -> None:
    """It is on none, so `pip install intaglio[...]` would fail or bring something else."""
    texts = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.ipynb"),
        *(ROOT / "intaglio").rglob("*.py"),
        *(path for path in (ROOT / "intaglio" / "export").rglob("templates/*") if path.is_file()),
    ]
    assert len(texts) > 100
    wrong = re.compile(r"pip install ['\"]?intaglio\b(?!-)")
    assert [str(path) for path in texts if wrong.search(path.read_text(encoding="utf-8"))] == []
