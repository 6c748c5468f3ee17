"""`map --objective` and `--table`: the document, the printed line, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import intaglio, small_network, validate


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_network(tmp_path_factory.mktemp("model") / "small.tflite")


def mapped(model: Path, *options: str) -> dict:
    done = intaglio("map", model, "--config", "tiny16", "--json", "-", *options)
    assert done.status == 0, done.err
    document = json.loads(done.out)
    validate(document, "map")
    return document


def test_the_document_states_the_objective(model: Path) -> None:
    plain = mapped(model)
    assert plain["objective"] == {"goal": "cycles", "table": None, "energy": None}
    assert mapped(model, "--objective", "cycles") == plain
    for goal in ("energy", "edp"):
        found = mapped(model, "--objective", goal)
        assert found["objective"]["goal"] == goal and found["objective"]["table"] == "horowitz45"
        assert found == mapped(model, "--objective", goal, "--table", "horowitz45")
    ties = mapped(model, "--table", "horowitz45")
    assert ties["objective"]["energy"] >= found["objective"]["energy"] > 0


def test_the_energy_is_what_compare_reports(model: Path) -> None:
    """Of the schedule by cycles, which is the one that compare takes."""
    stated = mapped(model, "--table", "horowitz45")
    compared = json.loads(intaglio("compare", model, "--config", "tiny16", "--json", "-").out)
    assert stated["totals"]["cycles"] == compared["totals"]["int8"]["cycles"]
    assert stated["objective"]["energy"] == pytest.approx(
        compared["totals"]["int8"]["energy"]["total"]["value"], rel=1e-9
    )


def test_the_report_prints_it(model: Path) -> None:
    assert "objective cycles\n" in intaglio("map", model, "--config", "tiny16").out
    done = intaglio("map", model, "--config", "tiny16", "--objective", "energy")
    assert "objective energy: " in done.out and "uJ an inference by horowitz45" in done.out


@pytest.mark.parametrize(
    "options, told",
    [
        (["--objective", "speed"], "'speed' is not one of"),
        (["--objective", "energy", "--table", "none.yaml"], "none.yaml"),
        (["--objective", "energy", "--prove"], "prove: finds the fewest cycles"),
        (["--table", "horowitz45", "--prove"], "prove: finds the fewest cycles"),
    ],
)
def test_refused(model: Path, tmp_path: Path, options: list[str], told: str) -> None:
    target = tmp_path / "m.json"
    done = intaglio("map", model, "--json", target, *options)
    assert done.status == 2 and told in done.err and "Traceback" not in done.err
    assert not target.exists()


def test_a_check_takes_no_objective(tmp_path: Path) -> None:
    done = intaglio("map", "--check", tmp_path / "m.json", "--objective", "energy")
    assert done.status == 2 and "--check takes no other option" in done.err
