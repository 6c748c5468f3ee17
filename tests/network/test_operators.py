"""The list of operators: the importers' rules, docs/operators.md and the tests that it names agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intaglio.network.operators import OPERATORS, document
from tests.cli.command import intaglio, validate

ROOT = Path(__file__).resolve().parents[2]


EDGES = ("QuantizeLinear", "DequantizeLinear")


def listed(form: str) -> list[str]:
    return [name for known in OPERATORS for name in getattr(known, form)]


def test_every_rule_of_tflite_is_listed_once() -> None:
    pytest.importorskip("ai_edge_litert")
    from intaglio.network.tflite.ops import RULES

    assert sorted(listed("tflite")) == sorted(RULES)


def test_every_rule_of_onnx_is_listed_once() -> None:
    pytest.importorskip("onnx")
    from intaglio.network.onnx.functions import OF_ONE, OF_SEVERAL
    from intaglio.network.onnx.moves import MOVES
    from intaglio.network.onnx.nodes import RULES
    from intaglio.network.onnx.ops import RULES as BETWEEN
    from intaglio.network.onnx.places import ALONG_AXES

    assert sorted(listed("onnx")) == sorted({*RULES, *BETWEEN, *MOVES, *ALONG_AXES, *OF_ONE, *OF_SEVERAL, *EDGES})


def test_the_document() -> None:
    assert (ROOT / "docs/operators.md").read_text() == document(), (
        "python -m intaglio.network.operators > docs/operators.md"
    )


def test_the_tests_exist() -> None:
    for known in OPERATORS:
        assert known.tests and all((ROOT / "tests" / test).is_file() for test in known.tests), known.name


@pytest.mark.parametrize("columns", ["60", "200"])
def test_the_command(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done = intaglio("operators")
    assert done.status == 0 and "CONV_2D" in done.out and "HARD_SWISH" in done.out
    done = intaglio("operators", "--json", "-")
    found = json.loads(done.out)
    validate(found, "operators")
    assert [known["name"] for known in found["operators"]] == [known.name for known in OPERATORS]
