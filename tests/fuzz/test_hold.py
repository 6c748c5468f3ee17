"""The fuzzer notices: each thing that it holds, broken on purpose, is a failure of its kind, is stored, replayed and shrunk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio.mapper
from intaglio.errors import Refusal, RefusedError
from intaglio.machine.config_files import load_config
from intaglio.session import Session
from tests.fuzz import command, hold
from tests.fuzz.case import Case, draw_case, read_case
from tests.fuzz.hold import Failure, Held
from tests.fuzz.recipe import Layer, Recipe, total_macs
from tests.fuzz.shrink import shrunk
from tests.fuzz.state import State

EDGE64 = load_config("edge64").to_dict()


def conv(name: str, source: str, outputs: int, kernel: int = 3, stride: int = 1) -> Layer:
    options = {
        "outputs": outputs,
        "kernel": (kernel, kernel),
        "stride": (stride, stride),
        "dilation": (1, 1),
        "padding": "SAME",
        "groups": 1,
    }
    return Layer(name, "conv", (source,), options)


RECIPE = Recipe(
    7,
    "tflite",
    {"x": (1, 12, 12, 8)},
    (
        conv("a", "x", 16, 3, 2),
        conv("b", "a", 16),
        conv("c", "x", 16, 1, 2),
        Layer("d", "add", ("b", "c"), {}),
        Layer("e", "mean", ("d",), {"keep": False}),
        Layer("f", "dense", ("e",), {"outputs": 10, "pixels": False}),
    ),
    ("f", "b"),
)
CASE = Case("1", EDGE64, RECIPE, "cycles", "graph", False)


def kind_of(case: Case, folder: Path) -> str | None:
    result = hold.hold(case, folder)
    return result.kind if isinstance(result, Failure) else None


@pytest.mark.parametrize("way", ["cycles", "energy", "edp"])
@pytest.mark.parametrize(
    "form, style",
    [
        ("graph", "tflite"),
        ("graph", "uint8"),
        ("graph", "onnx"),
        ("tflite", "tflite"),
        ("tflite", "uint8"),
        ("onnx", "onnx"),
    ],
)
def test_a_residual_network_holds(way: str, form: str, style: str, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, style=style)
    result = hold.hold(dataclasses.replace(CASE, recipe=recipe, way=way, form=form), tmp_path)
    assert isinstance(result, Held), result
    assert result.rechecked and result.commands and result.cycles and not result.refused


def test_refused_by_both(tmp_path: Path) -> None:
    machine = {**EDGE64, "rounding": ["single"]}
    assert hold.hold(dataclasses.replace(CASE, machine=machine), tmp_path) == Held(True)


@pytest.mark.parametrize("form", ["graph", "onnx"])
def test_refused_whichever_form_it_has(form: str, tmp_path: Path) -> None:
    """A window that lies in its padding alone: refused at import where the network is a file."""
    options = {"kernel": (2, 1), "stride": (1, 1), "dilation": (2, 1), "padding": (1, 1, 0, 0)}
    recipe = Recipe(3, "onnx", {"x": (1, 1, 5, 8)}, (Layer("m", "maximum", ("x",), options), conv("a", "m", 8)), ("a",))
    assert hold.hold(dataclasses.replace(CASE, recipe=recipe, form=form), tmp_path) == Held(True)


def test_what_the_importer_alone_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hold.surveyed
    refusal = Refusal("b", "Conv2D", "whatever", "")
    monkeypatch.setattr(hold, "surveyed", lambda *a: dataclasses.replace(real(*a), refusals=(refusal,)))
    assert kind_of(CASE, tmp_path) == "import: refused: Conv2D whatever"


def test_wrong_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hold.execute
    monkeypatch.setattr(
        hold, "execute", lambda graph, inputs: {n: v + (n == "f") for n, v in real(graph, inputs).items()}
    )
    assert kind_of(CASE, tmp_path) == "host: outputs differ from the reference"


def test_a_reference_of_the_file_that_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hold.oracle_of

    class Other:
        name = "LiteRT"

        def __init__(self, path: Path, graph: Any):
            self.one = real(path, graph)

        def run(self, inputs: Any, given: Any) -> dict[str, np.ndarray]:
            return {n: v ^ np.int8(n == "b") for n, v in self.one.run(inputs, given).items()}

    monkeypatch.setattr(hold, "oracle_of", Other)
    assert (
        kind_of(dataclasses.replace(CASE, form="tflite"), tmp_path)
        == "reference beside LiteRT: outputs differ from the reference"
    )


def test_check_says_would_run_and_map_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Session:
        raise RefusedError("no", [Refusal("b", "Conv2D", "it is 7 too large", "less")])

    monkeypatch.setattr(Session, "map", refuse)
    assert kind_of(CASE, tmp_path) == "check: WOULD RUN, map refuses: Conv2D it is too large"
    # check refuses another layer than that
    machine = {**EDGE64, "rounding": ["double"]}
    assert (kind_of(dataclasses.replace(CASE, machine=machine), tmp_path) or "").startswith(
        "check and map refuse differently"
    )


def test_check_refuses_and_map_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hold.check_survey
    refusal = Refusal("b", "Conv2D", "whatever", "")
    monkeypatch.setattr(hold, "check_survey", lambda *a: dataclasses.replace(real(*a), refusals=(refusal,)))
    assert kind_of(CASE, tmp_path) == "check refuses, map succeeds: Conv2D whatever"


def test_cycles_that_the_stepping_clock_does_not_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hold.document_of

    def other(*arguments: Any) -> dict[str, Any]:
        document = real(*arguments)
        document["totals"]["cycles"] += 1
        return document

    monkeypatch.setattr(hold, "document_of", other)
    assert kind_of(CASE, tmp_path) == "map --check: states cycles its commands give"


def test_prove_slower_than_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Session.map(hold.surveyed(CASE, tmp_path).graph, CASE.config)
    slower = dataclasses.replace(CASE.config, memory=dataclasses.replace(CASE.config.memory, latency=500))
    real = hold.mapped
    monkeypatch.setattr(hold, "mapped", lambda *how: dataclasses.replace(real(*how), config=slower))
    assert plain.clock().cycles
    assert kind_of(dataclasses.replace(CASE, way="prove"), tmp_path) == "prove: slower than without"


def test_any_other_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intaglio.mapper, "program_of", lambda *a: {}["a tensor"])
    assert kind_of(CASE, tmp_path) == "map: KeyError in fuzz/test_hold.py:<lambda>"


def test_a_failing_pair_is_kept_told_and_made_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Mapping that fails for every Add of 10 channels or more, on machines of more than 3 rows."""
    real = Session.map

    def fails(graph: Any, config: Any, *rest: Any, **more: Any) -> Session:
        wide = any(op.kind == "Add" and graph.tensors[op.outputs[0]].shape[-1] >= 10 for op in graph.operators)
        if wide and config.rows > 3:
            raise ZeroDivisionError
        return real(graph, config, *rest, **more)

    def tried_here(
        work: Callable[[Any, Path], Any], jobs: Iterable[Any], *limits: float
    ) -> Iterator[tuple[Any, Any, float]]:
        """As run_jobs, in this process, where mapping fails."""
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        for job in jobs:
            yield job, work(job, folder), 0.0

    monkeypatch.setattr(Session, "map", fails)
    monkeypatch.setattr(command, "run_jobs", tried_here)
    names = [str(seed) for seed in range(40)]
    assert command.main(["--seed", "0", "--count", "40", "--jobs", "2", "--state", str(tmp_path)]) == 1
    state = State(tmp_path)
    assert state.lines.keys() == set(names)
    failed = [
        line.name for line in state.lines.values() if line.kind == "map: ZeroDivisionError in fuzz/test_hold.py:fails"
    ]
    assert failed
    for name in failed:
        assert read_case(tmp_path / "failures" / f"{name}.json").to_json() == draw_case(name).to_json()
    (smallest,) = (tmp_path / "failures").glob("*_small.json")
    small = read_case(smallest)
    assert [layer.kind for layer in small.recipe.layers] == ["add"] and small.way == "cycles" and small.form == "graph"
    # Which pair is made smaller depends on how long each took; sizes are halved as long as 10 channels are left.
    assert all(10 <= shape[-1] < 20 and set(shape[:-1]) == {1} for shape in small.recipe.inputs.values())
    assert f"--replay {smallest}" in capsys.readouterr().out
    assert command.main(["--replay", str(smallest), "--no-shrink"]) == 1
    # A run that goes on tries nothing again.
    monkeypatch.setattr(Session, "map", real)
    assert command.main(["--seed", "0", "--count", "40", "--state", str(tmp_path), "--no-shrink"]) == 1
    assert command.main(["--replay", str(smallest), "--no-shrink"]) == 0


def test_shrinking_reaches_the_least(tmp_path: Path) -> None:
    """What fails for a convolution of stride 2 and 6 columns or more alone is nothing else in the end."""

    def fails(case: Case) -> bool:
        strided = any(x.kind == "conv" and x["stride"][0] >= 2 for x in case.recipe.layers)
        return strided and case.machine["cols"] >= 6 and case.machine["memory"]["latency"] > 20

    machine = {
        **EDGE64,
        "cols": 100,
        "rows": 40,
        "feed_bytes": 256,
        "partial_bytes": 1 << 20,
        "weight_bytes": 1 << 16,
        "requantizers": 4,
        "channel_bytes": 1 << 14,
    }
    small = shrunk(dataclasses.replace(CASE, machine=machine, way="prove"), fails, 60)
    assert len(small.recipe.layers) == 1 and total_macs(small.recipe) == 1 and small.way == "cycles"
    assert small.machine == EDGE64


def test_shrinking_changes_the_machine_field_by_field() -> None:
    """Where edge64 itself does not fail: here what fails needs 100 columns and one bank."""

    def fails(case: Case) -> bool:
        return case.machine["cols"] >= 100 and case.machine["activation_banks"] == 1

    case = next(case for case in map(draw_case, map(str, range(2000))) if fails(case))
    small = shrunk(case, fails, 60)
    follows = {
        "cols": small.machine["cols"],
        "activation_banks": 1,
        "channel_bytes": small.machine["channel_bytes"],
        "partial_bytes": small.machine["partial_bytes"],
        "requantizers": small.machine["requantizers"],
        "weight_bytes": small.machine["weight_bytes"],
        "name": small.machine["name"],
    }
    assert small.machine == {**EDGE64, **follows}
    assert len(small.recipe.layers) == 1


def test_a_state_survives_half_a_line(tmp_path: Path) -> None:
    assert command.fuzz(["1"], State(tmp_path), 1, tell=lambda text: None) is not None
    path = tmp_path / "results.jsonl"
    path.write_text(path.read_text() + '{"name": "2", "sec')
    assert State(tmp_path).lines.keys() == {"1"}


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "failed").glob("*.json")), ids=lambda path: path.stem)
def test_pairs_that_failed_once(path: Path, tmp_path: Path) -> None:
    assert isinstance(hold.hold(read_case(path), tmp_path), Held)
