"""A session's work by layer: it adds up to the ledger and follows from the graph; the FP32 clock moves more bytes."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from intaglio import data
from intaglio.analysis.energy_counts import fp32_clock, layer_counts
from intaglio.machine.config_files import load_config, shipped_names
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Engine, LocalMemory, Opcode
from intaglio.machine.timing import lead_cycles
from intaglio.network import load, random_inputs
from intaglio.network.graph import Add, AveragePool2D, Conv2D, FullyConnected, Mean
from intaglio.network.tflite.write import TfliteBuilder
from intaglio.power_model.counts import ACTIONS
from intaglio.session import Session
from intaglio.sim.ledger import fetch_words
from tests.networks import random_network

SHARED = Path(__file__).resolve().parents[3] / "shared" / "models"
MODELS = {"shipped": data.MODEL, **{n: SHARED / f"mlptiny_{n}_int8.tflite" for n in ("ad", "ic_resnet8")}}
LARGE = [
    pytest.param(
        name,
        marks=[]
        if path.is_file() and name == "shipped"
        else [
            pytest.mark.conformance,
            pytest.mark.skipif(not path.exists(), reason=f"{path} (conformance data) is missing"),
        ],
    )
    for name, path in MODELS.items()
]
SHAPES = [["rows=4", "cols=4", "requantizers=2"], ["rows=5", "cols=7", "bus_bytes=32"], ["cols=32", "requantizers=1"]]


@cache
def network(name: str):  # type: ignore[no-untyped-def]
    return load(MODELS[name])


def adds_up(session: Session, seed: int) -> None:
    result = session.run(random_inputs(session.graph, seed)).result
    found = layer_counts(session)
    assert len(found) == len(session.graph.operators)
    for counter in ACTIONS:
        assert sum(layer.actions[counter] for layer in found) == result.counters[counter], counter.name
    assert {tag: layer.cycles for tag, layer in enumerate(found) if layer.cycles} == result.layer_cycles
    elements = sum(layer.array_outputs + layer.add_elements + layer.pool_outputs for layer in found)
    assert elements == result.counters[Counter.REQUANTIZATIONS]
    for layer in found:
        if layer.where == "host":
            assert not any(layer.actions.values()) and not layer.cycles and not layer.macs


@pytest.mark.parametrize("config", shipped_names())
@pytest.mark.parametrize("name", LARGE)
def test_layers_add_up_to_the_ledger(name: str, config: str) -> None:
    adds_up(Session.map(network(name), load_config(config)), 0)


@pytest.mark.parametrize("seed", range(6))
def test_layers_of_random_networks_add_up(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    graph = load(random_network(seed, tmp_path / "n.tflite", edges=seed % 2 == 0).path)
    adds_up(Session.map(graph, load_config("edge64", SHAPES[seed % 3])), seed)


def test_elements_follow_from_the_graph() -> None:
    """On a machine that holds every layer of the shipped network nothing is computed twice."""
    graph = network("shipped")
    session = Session.map(graph, load_config("edge1024"))
    kinds = set()
    for op, layer in zip(graph.operators, layer_counts(session), strict=True):
        outputs = math.prod(graph.tensors[op.outputs[0]].shape)
        kinds.add(type(op))
        if isinstance(op, Conv2D | FullyConnected):
            weights = op.weights.size // op.weights.shape[0]
            assert layer.macs == layer.actions[Counter.MACS] == outputs * weights
            assert (layer.array_outputs, layer.add_elements, layer.pool_outputs) == (outputs, 0, 0)
        elif isinstance(op, Add):
            assert (layer.array_outputs, layer.add_elements, layer.pool_outputs) == (0, outputs, 0)
        elif isinstance(op, AveragePool2D | Mean):
            inputs = math.prod(graph.tensors[op.inputs[0]].shape)
            assert (layer.pool_elements, layer.pool_outputs, layer.pool_averages) == (inputs, outputs, outputs)
    assert {Conv2D, FullyConnected, Add, AveragePool2D} <= kinds


@pytest.mark.parametrize("overrides", [[], ["activation_bytes=256", "activation_banks=1"]])
def test_maxima_are_no_averages(tmp_path: Path, overrides: list[str]) -> None:
    """Whole windows, and windows in parts of which the last have one element."""
    builder = TfliteBuilder("maxima")
    x = builder.input((1, 9, 9, 3), 0.1, 3)
    pools = [builder.max_pool(x, (9, 9), (1, 1)), builder.average_pool(x, (9, 9), (1, 1))]
    builder.write(tmp_path / "m.tflite", pools)
    session = Session.map(load(tmp_path / "m.tflite"), load_config("tiny16", overrides))
    held = sum(c["hold"] for c in session.program.commands if c.opcode is Opcode.POOL)
    assert bool(held) == bool(overrides)
    found = [(layer.pool_elements, layer.pool_outputs, layer.pool_averages) for layer in layer_counts(session)]
    assert found == [(9 * 9 * 3, 3, 0), (9 * 9 * 3, 3, 3)]


def test_host_seconds_stay_with_their_operators() -> None:
    session = Session.map(network("shipped"), load_config("edge64"))
    run = session.run(random_inputs(session.graph, 0))
    for tag, layer in enumerate(layer_counts(session, run.host_seconds)):
        assert layer.host_seconds == run.host_seconds.get(tag)
        assert (layer.host_seconds is not None) == (layer.where == "host")


@pytest.mark.parametrize("bus", [4, 8, 64, 7])
def test_fetched_words_have_one_owner(bus: int) -> None:
    program = Session.map(network("shipped"), load_config("tiny16")).program
    words = fetch_words(program.commands, bus)
    assert sum(words) == -(-4 * len(program.words()) // bus)
    assert all(0 <= n <= 128 // bus + 1 for n in words)


@pytest.mark.parametrize("config", ["tiny16", "edge64", "edge1024"])
def test_the_fp32_clock_moves_four_times_the_operands(config: str) -> None:
    session = Session.map(network("shipped"), load_config(config))
    int8, fp32 = session.clock().counters, fp32_clock(session).counters
    for counter in (Counter.LOAD_ACTIVATION_WORDS, Counter.LOAD_WEIGHT_WORDS, Counter.STORE_WORDS):
        assert fp32[counter] == 4 * int8[counter] > 0
    bus = session.config.bus_bytes
    records = [c for c in session.program.commands if c.opcode == Opcode.LOAD and c["memory"] == LocalMemory.CHANNEL]
    assert fp32[Counter.LOAD_CHANNEL_WORDS] == sum(c["rows"] * -(-c["row_bytes"] // 4 // bus) for c in records)
    for counter in (Counter.FETCH_WORDS, Counter.COMMANDS):
        assert fp32[counter] == int8[counter]
    # Where one waits longer for its operands, fewer commands begin beside the end of the one before.
    commands = [c for c in session.program.commands if c.engine == Engine.COMPUTE]
    leads = sum(lead_cycles(session.config, *pair) for pair in pairwise(commands))
    assert int8[Counter.BUSY] <= fp32[Counter.BUSY] <= int8[Counter.BUSY] + leads
    assert fp32[Counter.CYCLES] >= int8[Counter.CYCLES]


def test_the_fp32_clock_of_a_network_bound_outside(tmp_path: Path) -> None:
    """With a memory of one byte a cycle, time is bytes: about four times as many."""
    session = Session.map(network("shipped"), load_config("edge64", ["memory.bytes_per_cycle=1"]))
    fp32 = fp32_clock(session)
    counters = fp32.counters
    words = [c for c in Counter if c.name.endswith("_WORDS")]
    moved = session.config.bus_bytes * sum(counters[c] for c in words)
    assert moved <= fp32.cycles <= 1.1 * moved
    assert np.all(fp32.retire_cycles >= 0)
