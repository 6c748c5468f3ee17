"""The tool that changes the hardware: what it covers and what it draws."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from tests.mutation.blocks import BLOCKS

ROOT = Path(__file__).resolve().parents[2]


def test_every_file_has_tests() -> None:
    files = {path.stem for folder in ("hw", "machine") for path in (ROOT / "intaglio" / folder).glob("*.py")} - {
        "__init__"
    }
    assert set(BLOCKS) == files
    for tests in BLOCKS.values():
        assert tests and all((ROOT / test.split()[0]).is_file() for test in tests)


def test_equivalents_name_lines_that_exist() -> None:
    for entry in yaml.safe_load((ROOT / "tests" / "mutation" / "equivalent.yaml").read_text()) or []:
        assert set(entry) == {"file", "definition", "line", "operator", "nth", "reason"} and len(entry["reason"]) > 20
        assert entry["line"] in [line.strip() for line in (ROOT / entry["file"]).read_text().splitlines()], entry


def test_assignments_are_left_out() -> None:
    cosmic_ray = pytest.importorskip("cosmic_ray.mutating")
    from tests.mutation.assignments import RemoveAssignment

    for example in RemoveAssignment.examples():
        assert (
            cosmic_ray.mutate_code(example.pre_mutation_code, RemoveAssignment(), example.occurrence)
            == example.post_mutation_code
        )
    nested = "with m.If(x):\n    m.d.sync += y.eq(0)\nwith m.Else():\n    pass\n"
    assert ast.unparse(ast.parse(cosmic_ray.mutate_code(nested, RemoveAssignment(), 0))) == ast.unparse(
        ast.parse(nested.replace("m.d.sync += y.eq(0)", "pass"))
    )


def test_a_seed_draws_the_same_changes() -> None:
    pytest.importorskip("cosmic_ray")
    from tests.mutation.mutants import draw

    mutants = draw(ROOT, 40, 3)
    assert mutants == draw(ROOT, 40, 3) and len({mutant.key for mutant in mutants}) == 40
    assert len({mutant.file for mutant in mutants}) > 10
    for mutant in mutants:
        ast.parse(mutant.code)
        assert mutant.code != mutant.before == (ROOT / mutant.file).read_text()
