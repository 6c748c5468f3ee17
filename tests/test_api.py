"""`import intaglio`: small, lazy, and the same figures as the command's."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

import intaglio
from intaglio.machine.counters import Counter
from intaglio.network import execute
from tests.cli.command import intaglio as command
from tests.cli.command import small_network


def test_import_is_lazy() -> None:
    code = (
        "import sys, intaglio; heavy = [m for m in ('numpy', 'numba', 'amaranth', 'matplotlib') if m in sys.modules];"
        "assert not heavy, heavy; intaglio.map; assert 'numba' in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_is_there() -> None:
    assert set(dir(intaglio)) == set(intaglio.__all__)
    for name in intaglio.__all__:
        assert getattr(intaglio, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = intaglio.nothing


def test_from_file_to_figures(tmp_path: Path) -> None:
    path = small_network(tmp_path / "small.tflite", softmax=True)
    graph = intaglio.load(path)
    session = intaglio.map(graph, "tiny16", ["memory.latency=50"])
    assert session.config.memory.latency == 50
    inputs = intaglio.random_inputs(graph, 0)
    run = session.run(inputs)
    reference = execute(graph, inputs)
    assert run.outputs.keys() == set(graph.outputs)
    assert all(np.array_equal(run.outputs[name], reference[name]) for name in graph.outputs)
    assert run.counters[Counter.CYCLES] == run.cycles == run.trace.cycles

    done = command("run", path, "--config", "tiny16", "--set", "memory.latency=50", "--json", "-")
    report = json.loads(done.out)
    assert report["totals"]["cycles"] == run.cycles
    assert [layer["cycles"] for layer in report["layers"]] == [layer.cycles for layer in intaglio.layers(run)]
    assert report["counters"] == {counter.name.lower(): run.counters[counter] for counter in Counter}

    compared = json.loads(
        command("compare", path, "--config", "tiny16", "--set", "memory.latency=50", "--json", "-").out
    )
    mine = intaglio.compare(run)
    assert mine.table.name == intaglio.compare(run, intaglio.load_table(mine.table.name)).table.name
    total = compared["totals"] if "totals" in compared else compared["total"]
    assert f"{mine.total.int8.energy.total.value}" in json.dumps(total)


def test_configurations_in_three_forms(tmp_path: Path) -> None:
    graph = intaglio.load(small_network(tmp_path / "small.tflite"))
    config = intaglio.load_config("tiny16")
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    by = [intaglio.map(graph, form) for form in (config, "tiny16", tmp_path / "c.yaml")]
    assert len({session.program.image for session in by}) == 1
    assert intaglio.map(graph, replace(config, clock_mhz=50.0)).config.clock_mhz == 50
    with pytest.raises(intaglio.InputError, match="overrides"):
        intaglio.map(graph, config, ["rows=5"])
    with pytest.raises(intaglio.InputError):
        intaglio.map(graph, "no such configuration")


def test_refusals_are_data(tmp_path: Path) -> None:
    graph = intaglio.load(small_network(tmp_path / "small.tflite"))
    with pytest.raises(intaglio.RefusedError) as caught:
        intaglio.map(graph, "tiny16", ["rounding=[double]"])
    assert {r.layer for r in caught.value.refusals} == {"classes"}
    assert all(isinstance(r, intaglio.Refusal) and r.remedy for r in caught.value.refusals)
