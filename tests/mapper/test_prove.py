"""Certificates: the chosen plan is the best of its space, by timing every plan; bounds are bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mapper_check import check, check_program
from mapper_graphs import MACHINES, SAME, Builder, mixed

from intaglio.machine.config_files import load_config
from intaglio.mapper import map_network, map_proven
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.emit.overlap import overlapped
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.search.prove import _fastest, _least, prove
from intaglio.network.execute import execute, random_inputs
from intaglio.network.tflite.importer import load_tflite
from intaglio.sim.engines import clock_of, cycles_of
from intaglio.sim.functional import execute_program
from intaglio.sim.tensors import values_at
from tests.mapper.test_moves import Mover
from tests.networks import random_network


@pytest.mark.parametrize("machine", range(len(MACHINES)))
def test_no_plan_of_the_space_is_better(machine: int) -> None:
    config = load_config(MACHINES[machine][0], MACHINES[machine][1])
    network = accepted(mixed(1), config)
    schedule = Scheduler(network, config, False).run()
    _, certificates = prove(network, config, schedule, cycles_of)
    for layer, certificate in zip(schedule.layers, certificates, strict=True):
        plans = layer.planner.candidates(layer.setting)
        alone = (replace(schedule, layers=(replace(layer, plan=plan),)) for plan in plans)
        times = [cycles_of(config, overlapped(config, emit(network, config, one))) for one in alone]
        assert len(plans) == certificate.candidates >= certificate.timed
        assert min(times) == certificate.best <= certificate.estimated
        assert certificate.cycles in (certificate.best, certificate.estimated)
        bounds = (_least(replace(layer, plan=plan)) for plan in plans)
        assert all(bound <= cycles for bound, cycles in zip(bounds, times, strict=True))
        assert certificate.bound <= certificate.best and certificate.gap_to_bound >= 0


def test_a_copy_and_its_reader_have_bounds_of_their_own() -> None:
    """A convolution of a part of a concatenated tensor, whose copy without gaps belongs to the same layer."""
    b = Mover(3)
    x = b.conv(b.input(1, 7, 15, 8), 8, (1, 1))
    z = b.concat([x, b.conv(x, 16, (3, 3), padding=SAME)], 3)
    graph = b.graph(b.concat([z, b.conv(z, 12, (1, 1))], 3))
    _, certificates = map_proven(graph, load_config("edge256"), cycles_of)
    assert len({c.tags for c in certificates}) < len(certificates)
    assert all(0 < c.bound <= c.best for c in certificates)


@pytest.mark.parametrize("seed", [301, 302, 303, 304])
def test_proven_programs_compute_the_network(seed: int, tmp_path: Path) -> None:
    graph = load_tflite(random_network(seed, tmp_path / "net.tflite").path)
    for name, overrides in MACHINES:
        print(f"seed {seed} on {name} {overrides}")
        config = load_config(name, overrides)
        program, certificates = map_proven(graph, config, cycles_of)
        assert clock_of(config, program.commands).cycles <= clock_of(config, map_network(graph, config).commands).cycles
        assert [tag for c in certificates for tag in c.tags] == sorted({c["tag"] for c in program.commands})
        wanted = execute(graph, random_inputs(graph, seed))
        result = execute_program(config, program, {n: wanted[n] for n in program.inputs})
        for n in program.outputs:
            assert np.array_equal(values_at(result.memory, program.places[n]).ravel(), wanted[n].ravel())


def test_estimates_are_seldom_far_off() -> None:
    """What the quick way to map costs, on this network and machine: under 3 %."""
    graph, config = mixed(2), load_config("edge64")
    check(graph, config)
    quick = clock_of(config, map_network(graph, config).commands).cycles
    proven = clock_of(config, map_proven(graph, config, cycles_of)[0].commands).cycles
    assert proven <= quick <= proven * 1.03


def test_a_plan_that_is_best_alone_is_taken_where_the_whole_gains() -> None:
    """By names in place of plans: b is slower with B, c gains only where b is as it was, d gains always."""
    saves = {"A": 0, "B": -5, "C": 4, "D": 1}

    def cycles(layers: Sequence[str]) -> int:
        return 100 - sum(saves.get(layer, 0) for layer in layers) + 9 * ("B" in layers and "C" in layers)

    assert _fastest(list("abcd"), list("aBCD"), cycles) == list("abCD")
    assert _fastest(list("ab"), list("aB"), cycles) == list("ab")
    assert _fastest([], [], cycles) == []


def test_an_output_in_its_inputs_place_keeps_it() -> None:
    """Where the input is not fetched whole but comes by pieces, these have other bytes."""
    b = Builder(3)
    x = b.rescale(b.input(1, 65, 1, 1))
    graph = b.graph(b.add(x, x))
    config = load_config("edge64", ["bus_bytes=64", "activation_bytes=8192"])
    program, _ = map_proven(graph, config, cycles_of)
    check_program(graph, config, program, list(program.outputs))
