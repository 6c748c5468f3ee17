"""Documents name what exists: links, headings, files; and the architecture's table of layers is the contract of imports."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md"), *ROOT.glob("*/README.md"))
)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w.-]+(/[\w.-]+)*\.(py|md|yaml|toml|cpp|ipynb|c|h|txt|tflite)")
FOLDER = re.compile(r"[\w.-]+(/[\w.-]+)*/")
MADE = {
    "intaglio.h",
    "intaglio.c",
    "main.c",
    "intaglio_network.h",
    "intaglio_host.h",
    "intaglio_host.c",
    "intaglio_regs.h",
    "intaglio_test.h",
    "intaglio_test.c",
    "testbench.sv",
    "testbench.vh",
}
"""Files of an export, which documents name as they are there."""
PLAN = "docs/plan.md"
"""It names files that are to come."""
PLACES = ("", "intaglio", "intaglio/network", "intaglio/export", "docs", "tests")
"""Folders from which documents name files, beside their own."""
ELSEWHERE = {"README.md", "intaglio.yaml", "C.yaml", "compiled/", "rtl/", "build/mutate"}
"""Names of what a run or an export makes."""


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def without_blocks(text: str) -> str:
    """The text less its fenced and indented blocks of code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    return re.sub(r"(?<=\n\n)(?: {4}.*\n)+", "", text)


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@cache
def names() -> frozenset[str]:
    """Names of all files of the tree."""
    folders = (p for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name != "build")
    return frozenset(path.name for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts)


def exists(name: str, document: str) -> bool:
    if name in MADE | ELSEWHERE:
        return True
    places = (ROOT / place for place in (*PLACES, Path(document).parent.as_posix()))
    if any((place / name).exists() for place in places):
        return True
    return "/" not in name and name in names()


def faults_of(document: str) -> list[str]:
    """Links and names of files that lead nowhere."""
    text, folder = without_blocks(text_of(document)), (ROOT / document).parent
    out = []
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (folder / file) if file else ROOT / document
        if not path.exists():
            out.append(f"link {target}")
        elif anchor and anchor not in anchors(path):
            out.append(f"heading {target}")
    for code in CODE.findall(text):
        named = FILE.fullmatch(code) or FOLDER.fullmatch(code)
        if named and document != PLAN and not exists(code, document):
            out.append(f"file {code}")
    return out


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_files_exist(document: str) -> None:
    assert faults_of(document) == []


def test_faults_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    names.cache_clear()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(
        "# One `two`, three\n[x](b.md) [y](a.md#four) [z](#one-two-three) `sim/no.py` `a.md`\n"
    )
    try:
        assert faults_of("docs/a.md") == ["link b.md", "heading a.md#four", "file sim/no.py"]
    finally:
        names.cache_clear()


LONG = {PLAN, "docs/registers.md"}
"""Not wrapped: the plan, and what is made from the registers' table."""


@pytest.mark.parametrize("document", sorted({"README.md", *DOCUMENTS} - LONG))
def test_lines_can_be_read_in_the_source(document: str) -> None:
    """Of text: tables and blocks of code have lines of their own length."""
    lines = [x for x in without_blocks(text_of(document)).splitlines() if not x.startswith(("|", "    "))]
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize(
    ("document", "container"),
    [("docs/architecture.md", "intaglio"), ("docs/architecture/mapper.md", "intaglio.mapper")],
)
def test_the_table_of_layers_is_the_contract(document: str, container: str) -> None:
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (stated,) = [c["layers"] for c in contracts if c["type"] == "layers" and c["containers"] == [container]]
    table = text_of(document).split("| layers |")[1].split("\n\n")[0].splitlines()[2:]
    assert [set(CODE.findall(row.split("|")[1])) for row in table] == [set(line.split(" | ")) for line in stated]


def test_the_architecture_is_a_page() -> None:
    assert len(text_of("docs/architecture.md").splitlines()) <= 100
