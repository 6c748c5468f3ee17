"""Every cycle has one cause, and elements lead back to the commands that wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from intaglio.analysis.bounds import CAUSES, awaited, bound_by, causes_of_layers
from intaglio.analysis.difference import first_tensor, first_time
from intaglio.analysis.layers import layer_figures, totals
from intaglio.analysis.locate import origin_of
from intaglio.machine.config_files import load_config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Command, Opcode
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.network import load, random_inputs
from intaglio.session import NetworkRun, Session
from tests.networks import random_network

SHAPES = [["rows=4", "cols=4", "requantizers=2"], ["rows=5", "cols=7"], ["rows=8", "cols=32", "requantizers=1"]]


def sessions(tmp_path: Path, keep_all: bool = False) -> list[tuple[Session, NetworkRun]]:
    out = []
    for seed in range(6):
        graph = load(random_network(seed, tmp_path / f"{seed}.tflite").path)
        config = load_config("edge64", [*SHAPES[seed % 3], "memory.latency=60", "memory.bytes_per_cycle=2"])
        session = Session.map(graph, config, keep_all)
        out.append((session, session.run(random_inputs(graph, seed))))
    return out


def test_causes_add_up_to_intervals_and_counters(tmp_path: Path) -> None:
    for session, run in sessions(tmp_path):
        result = run.result
        causes = causes_of_layers(session.config, session.program, result.retire_cycles, result.cycles)
        assert {tag: sum(c.values()) for tag, c in causes.items()} == result.layer_cycles
        assert all(min(c.values()) >= 0 for c in causes.values())
        inside = ("array", "feed", "requantizer", "onchip")
        busy = sum(c[cause] for c in causes.values() for cause in inside)
        assert busy == result.counters[Counter.BUSY]


def test_figures_of_random_networks(tmp_path: Path) -> None:
    for session, run in sessions(tmp_path):
        result = run.result
        layers = layer_figures(session.config, session.program, result.retire_cycles, result.cycles, run.host_seconds)
        summary = totals(session.config, session.program, layers, result.cycles)
        assert sum(layer.cycles or 0 for layer in layers) == result.cycles
        assert summary.network_lower_bound <= result.cycles
        counted = [c for c in Counter if c.name.endswith("_WORDS") and c != Counter.FETCH_WORDS]
        assert summary.external_bytes == session.config.bus_bytes * sum(result.counters[c] for c in counted)


def test_a_slow_memory_bounds_by_external_and_one_requantizer_by_requantizer(tmp_path: Path) -> None:
    """The causes follow the hardware: what is made scarce becomes the bound."""
    from intaglio import data

    graph = load(data.MODEL)

    def bounds(*settings: str) -> dict[str, str | None]:
        session = Session.map(graph, load_config("edge256", settings))
        clock = session.clock()
        figures = layer_figures(session.config, session.program, clock.retire_cycles, clock.cycles)
        return {layer.name: layer.bound_by for layer in figures}

    usual = bounds()
    assert usual["stem"] == "feed" and usual["block1_second"] == "array" and usual["block1_add"] == "onchip"
    assert bounds("memory.bytes_per_cycle=1")["block3_first"] == "external"
    assert bounds("requantizers=1")["block1_shortcut"] == "requantizer"


def test_tokens_are_matched_in_order() -> None:
    load_signals = {"signal": 1}  # LOAD's others: COMPUTE, STORE
    compute_waits = {"wait": 1}  # COMPUTE's others: LOAD, STORE
    commands = [
        Command(Opcode.LOAD, load_signals),
        Command(Opcode.LOAD, load_signals),
        Command(Opcode.ADD, compute_waits),
        Command(Opcode.ADD, {}),
        Command(Opcode.ADD, compute_waits),
    ]
    assert awaited(commands) == [[], [], [0], [], [1]]


def test_the_first_of_equal_causes_bounds() -> None:
    assert bound_by({**dict.fromkeys(CAUSES, 0), "feed": 3, "external": 3}) == "feed"


def test_origins_name_the_layer_that_computes_the_tensor(tmp_path: Path) -> None:
    """For random elements: the command has the tag of the operator that makes the tensor, or of the one behind a
    reshape, and its tile is inside the array."""
    random = np.random.default_rng(0)
    looked_up = 0
    for session, run in sessions(tmp_path, keep_all=True):
        makers = {name: tag for tag, op in enumerate(session.graph.operators) for name in op.outputs}
        tasks = accepted(session.graph, session.config).tasks
        widths = {task.tag: task.tile_width(session.config) for task in tasks if isinstance(task, ConvTask)}
        for name in set(session.program.places) - set(session.program.inputs):
            if session.graph.operators[makers[name]].kind == "Reshape":
                continue
            size = run.tensors[name].size
            for index in {0, size - 1, *random.integers(0, size, 5).tolist()}:
                origin = origin_of(session.config, session.program, name, index)
                assert origin is not None, name
                command = session.program.commands[origin.command]
                assert command["tag"] == makers[name]
                if command.opcode == Opcode.CONV:
                    assert origin.pixel < session.config.rows and origin.channel < session.config.cols
                    assert origin.pixel_tile < command["pixel_tiles"]
                    channel = index % run.tensors[name].shape[-1]
                    assert origin.channel == channel % widths[makers[name]]
                looked_up += 1
    assert looked_up > 20


def test_differences_are_found(tmp_path: Path) -> None:
    session, run = sessions(tmp_path, keep_all=True)[1]
    result = run.result
    assert first_tensor(session, result, "x", ("host", "rtl"), run.tensors, run.tensors) is None
    assert first_time(session, "x", result, result) is None
    name = session.graph.outputs[0]
    other = run.tensors[name].copy()
    other.reshape(-1)[-1] ^= 1
    found = first_tensor(session, result, "x", ("host", "rtl"), run.tensors, {**run.tensors, name: other})
    assert found is not None and found.name == name
    assert found.index == tuple(n - 1 for n in other.shape)
    assert name in str(found) and "on rtl" in str(found)
