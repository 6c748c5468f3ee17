"""Quantized ONNX networks on the host engine, on the RTL and in onnxruntime: tensors, cycles and counts equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from intaglio.machine.config_files import load_config
from intaglio.network import Graph, execute, load, random_inputs
from intaglio.network.onnx.oracle import OnnxOracle
from intaglio.session import NetworkRun, Session
from intaglio.verify import verify
from tests.onnx_networks import random_onnx_network

MODELS = Path(__file__).resolve().parents[2].parent / "shared" / "models"
MACHINES = ["tiny16", "edge64", "edge256", "wide"]


def assert_equal_to_onnxruntime(
    graph: Graph, oracle: OnnxOracle, run: NetworkRun, inputs: dict[str, np.ndarray]
) -> None:
    everything = {**execute(graph, inputs), **run.tensors}
    expected = oracle.run(inputs, everything)
    for name in run.tensors.keys() & expected.keys():
        ours, theirs = run.tensors[name], expected[name]
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, name
        if name in graph.inexact:
            assert np.abs(ours.astype(np.int64) - theirs).max() <= 1, name
        else:
            assert np.array_equal(ours, theirs), name


@pytest.mark.parametrize("first", range(0, 12, 6))
def test_every_tensor_of_the_host_equals_onnxruntime(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + 6):
        network = random_onnx_network(seed, tmp_path / "net.onnx")
        print(network.description)
        graph = load(network.path)
        oracle = OnnxOracle(network.path, graph.inexact)
        for name in MACHINES:
            session = Session.map(graph, load_config(name), keep_all=True)
            for number in range(2):
                inputs = random_inputs(graph, number)
                run = session.run(inputs)
                assert set(graph.outputs) <= run.tensors.keys()
                assert_equal_to_onnxruntime(graph, oracle, run, inputs)


@pytest.mark.parametrize("seed", [2, 4, 6, 9])
def test_rtl_equals_host_and_onnxruntime(seed: int, tmp_path: Path) -> None:
    """Both forms, signed and unsigned types; seeds 2 and 4 are QDQ and QOperator."""
    network = random_onnx_network(seed, tmp_path / "net.onnx")
    print(network.description)
    graph = load(network.path)
    oracle = OnnxOracle(network.path, graph.inexact)
    for keep_all in (False, True):
        session = Session.map(graph, load_config("tiny16"), keep_all)
        for number in range(2):
            inputs = random_inputs(graph, number)
            host, rtl = session.run(inputs), session.run(inputs, "rtl")
            assert all(np.array_equal(value, rtl.tensors[name]) for name, value in host.tensors.items())
            assert host.result.cycles == rtl.result.cycles and host.result.counters == rtl.result.counters
            assert host.result.retire_cycles.tolist() == rtl.result.retire_cycles.tolist()
            assert_equal_to_onnxruntime(graph, oracle, rtl, inputs)


@pytest.mark.slow
@pytest.mark.conformance
@pytest.mark.skipif(not MODELS.is_dir(), reason=f"{MODELS} (conformance data) is missing")
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", sorted(p.stem for p in MODELS.glob("*.onnx") if not p.stem.startswith("qonnx_")))
def test_real_networks_on_host_and_rtl(name: str, machine: str) -> None:
    """Two inputs: every tensor against onnxruntime's, the RTL's tensors, cycles and counters against the host's."""
    path = MODELS / f"{name}.onnx"
    graph = load(path)
    found = verify(path, graph, load_config(machine), 2, 0, lambda text: None, lambda text: None)
    assert found.difference is None and found.reference == "onnxruntime"


def test_outputs_for_many_inputs_are_in_the_file_s_form(tmp_path: Path) -> None:
    graph = load(random_onnx_network(1, tmp_path / "net.onnx").path)
    session = Session.map(graph, load_config("tiny16"))
    inputs = random_inputs(graph, 0)
    expected = execute(graph, inputs)
    for name, value in session.outputs(inputs).items():
        assert value.shape == graph.tensors[name].file_shape
        assert np.array_equal(value, expected[name])


def test_verify_against_onnxruntime(tmp_path: Path) -> None:
    """A network with averages that may be ties: those are counted, all else is equal."""
    path = tmp_path / "net.onnx"
    graph = next(graph for seed in range(40) if (graph := load(random_onnx_network(seed, path).path)).inexact)
    found = verify(path, graph, load_config("tiny16"), 2, 0, lambda text: None, lambda text: None)
    assert found.difference is None and found.reference == "onnxruntime" and found.tensors > 2


def test_verify_finds_a_wrong_network(tmp_path: Path) -> None:
    """A graph of other weights than the file's: the first difference is named, with its place in the file's form."""
    import dataclasses

    path = random_onnx_network(2, tmp_path / "net.onnx").path
    graph = load(path)
    index = next(i for i, op in enumerate(graph.operators) if op.kind == "Conv2D")
    op = graph.operators[index]
    graph.operators[index] = dataclasses.replace(op, bias=op.bias + 4000)
    found = verify(path, graph, load_config("tiny16"), 1, 0, lambda text: None, lambda text: None)
    assert found.difference is not None and found.difference.name == op.outputs[0]
    assert found.difference.engines == ("host", "onnxruntime") and found.difference.origin is not None
    expected = OnnxOracle(path).run(random_inputs(load(path), 0))[op.outputs[0]]
    assert found.difference.values[1] == expected[found.difference.index]
