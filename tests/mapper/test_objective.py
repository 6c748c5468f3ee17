"""Energy as an objective: against the cycles' schedule, by exact counts; single prices; what is refused."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from mapper_graphs import MACHINES, SAME, Builder, mixed

from intaglio.analysis.energy_counts import layer_counts
from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.mapper import map_network
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.schedule.schedule import Placed, Schedule
from intaglio.mapper.search.by_objective import ByObjective
from intaglio.mapper.search.objective import ACTIONS, FJ_PER_PJ, GOALS, Cost, Objective
from intaglio.mapper.tiling.estimate import NO_SPARE, Spare
from intaglio.network import execute, random_inputs
from intaglio.network.tflite.importer import load_tflite
from intaglio.power_model import compare, load_table, prices
from intaglio.program.program import Program
from intaglio.session import Session
from intaglio.sim.engines import clock_of
from intaglio.sim.functional import execute_program
from intaglio.sim.ledger import actions
from intaglio.sim.tensors import values_at
from tests.networks import random_network
from tests.power_model.energy_tables import loaded, with_idle

MOVED = ("load_activation_words", "load_weight_words", "load_channel_words", "store_words")
IDLE = 3.5
"""pJ a cycle, so that estimated cycles count in energy too; no source's."""


def priced(config: Config, goal: str, idle: float = 0.0) -> Objective:
    return Objective(goal, prices(config, load_table()) | {"cycles": idle}, actions)


def cost_of(config: Config, program: Program, objective: Objective) -> Cost:
    cycles = clock_of(config, program.commands).cycles
    return Cost(cycles, round(FJ_PER_PJ * objective.energy(config, program.commands, cycles)))


@pytest.mark.parametrize("machine", range(len(MACHINES)))
@pytest.mark.parametrize("idle", [0.0, IDLE])
def test_each_goal_is_served_best_by_its_own_schedule(machine: int, idle: float) -> None:
    """By exact counts and cycles. The search knows energies of actions exactly but for how commands share bus words (less
    than one of two), and cycles by estimate: those are within 5 % here, which idle energy and the product inherit."""
    config = load_config(MACHINES[machine][0], MACHINES[machine][1])
    graph = mixed(1)
    programs = {goal: map_network(graph, config, objective=priced(config, goal, idle)) for goal in GOALS}
    costs = {goal: cost_of(config, program, priced(config, goal, idle)) for goal, program in programs.items()}
    print(MACHINES[machine], idle, costs)
    shared = round(FJ_PER_PJ * 2 * len(graph.operators) * priced(config, "energy").price("fetch_words"))
    error = 0.05 * IDLE * FJ_PER_PJ * costs["cycles"].cycles if idle else 0
    assert costs["energy"].energy <= costs["cycles"].energy + shared + error
    products = {goal: cost.energy * cost.cycles for goal, cost in costs.items()}
    assert products["edp"] <= 1.05 * min(products["cycles"], products["energy"])


def test_energy_and_cycles_disagree() -> None:
    """Weights that come again for each piece hide behind computing, and cost energy outside."""
    config = load_config("tiny16", ["activation_bytes=4096", "weight_bytes=2048", "memory.latency=4"])
    b = Builder(5)
    x = b.conv(b.input(1, 20, 20, 16), 32, (3, 3), padding=SAME)
    graph = b.graph(b.conv(x, 16, (3, 3), padding=SAME))
    programs = {goal: map_network(graph, config, objective=priced(config, goal)) for goal in GOALS}
    costs = {goal: cost_of(config, program, priced(config, goal)) for goal, program in programs.items()}
    print(costs)
    assert costs["energy"].energy < 0.95 * costs["cycles"].energy
    assert costs["energy"].cycles > costs["cycles"].cycles
    assert costs["energy"].energy <= costs["edp"].energy <= costs["cycles"].energy


def test_the_programs_compute_the_network(tmp_path: Path) -> None:
    for seed, goal in ((401, "energy"), (402, "edp")):
        graph = load_tflite(random_network(seed, tmp_path / "net.tflite").path)
        wanted = execute(graph, random_inputs(graph, seed))
        for name, overrides in MACHINES:
            print(f"seed {seed}, {goal} on {name} {overrides}")
            config = load_config(name, overrides)
            program = map_network(graph, config, objective=priced(config, goal))
            result = execute_program(config, program, {n: wanted[n] for n in program.inputs})
            for n in program.outputs:
                assert np.array_equal(values_at(result.memory, program.places[n]).ravel(), wanted[n].ravel())


@pytest.mark.parametrize("machine", range(len(MACHINES)))
def test_prices_break_ties_of_cycles_only(machine: int) -> None:
    """Without prices the program is what it was; with them no schedule is taken that is estimated slower."""
    config = load_config(MACHINES[machine][0], MACHINES[machine][1])
    network = accepted(mixed(2), config)
    choice = ByObjective(network, config, priced(config, "cycles"))
    plain, chosen = Scheduler(network, config, False).run(), Scheduler(network, config, False, choice).run()
    assert chosen.cycles <= plain.cycles
    free = Objective("cycles", {}, actions)
    assert map_network(mixed(2), config).image == map_network(mixed(2), config, objective=free).image


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("machine", range(len(MACHINES)))
def test_no_plan_that_was_left_out_is_better(machine: int, goal: str) -> None:
    """Of every layer, with random prices: none of its candidates, all counted, costs less than the plan chosen."""
    seed = 10 * machine + GOALS.index(goal)
    print(f"seed {seed}")
    source = random.Random(seed)
    config = load_config(MACHINES[machine][0], MACHINES[machine][1])
    named = {action: source.choice((0.0, 1.0, 1000.0)) * source.random() for action in sorted(ACTIONS)}
    objective = Objective(goal, named, actions)
    network = accepted(mixed(3), config)
    choice = ByObjective(network, config, objective)
    schedule = Scheduler(network, config, False, choice).run()
    spare = NO_SPARE
    for layer in schedule.layers:
        options = [replace(layer, plan=plan, fetched=()) for plan in layer.planner.candidates(layer.setting)]
        least = min(objective.key(by_hand(choice, option, spare)) for option in options)
        assert objective.key(by_hand(choice, replace(layer, fetched=()), spare))[0] <= least[0] * (1 + 1e-9)
        spare = layer.plan.cycles.spare


def by_hand(choice: ByObjective, layer: Placed, spare: Spare) -> Cost:
    """spare: what the layer before leaves."""
    config = choice.config
    commands = emit(choice.network, config, Schedule((layer,), frozenset(choice.network.values), 0.0)).commands
    done = actions(config, commands)
    cycles = layer.plan.cycles.after(spare)
    prices = choice.objective.prices
    energy = sum(done[action] * price for action, price in prices.items()) + cycles * prices["cycles"]
    return Cost(cycles, round(FJ_PER_PJ * energy))


def test_the_price_of_external_words_alone_minimises_them() -> None:
    config = load_config("edge64", ["activation_bytes=4096", "weight_bytes=2048"])
    b = Builder(8)
    graph = b.graph(b.conv(b.input(1, 24, 24, 16), 32, (3, 3), padding=SAME))
    network = accepted(graph, config)
    objective = Objective("energy", dict.fromkeys(MOVED, 1.0), actions)
    (layer,) = Scheduler(network, config, False, ByObjective(network, config, objective)).run().layers
    words = []
    for plan in layer.planner.candidates(layer.setting):
        option = Schedule((replace(layer, plan=plan),), frozenset(network.values), 0.0)
        done = actions(config, emit(network, config, option).commands)
        words.append((sum(done[name] for name in MOVED), plan == layer.plan))
    assert len({n for n, _ in words}) > 3
    assert min(words)[0] == next(n for n, mine in words if mine)


def test_the_stated_energy_is_that_of_compare(tmp_path: Path) -> None:
    """With leakage and clock too."""
    config = load_config("edge64", ["activation_bytes=4096", "weight_bytes=2048"])
    for table in (load_table(), loaded(tmp_path / "idle.yaml", with_idle())):
        session = Session.map(mixed(4), config, goal="energy", table=table)
        compared = compare(config, layer_counts(session), table)
        assert session.energy == pytest.approx(compared.total.int8.energy.total.value, rel=1e-9)
    assert Session.map(mixed(4), config).energy is None


def test_costs_compare_by_the_goal() -> None:
    costs = [Cost(10.0, 50), Cost(20.0, 20), Cost(12.0, 30)]
    best = {goal: min(costs, key=Objective(goal, {}, actions).key) for goal in GOALS}
    assert best == {"cycles": costs[0], "energy": costs[1], "edp": costs[2]}
    for goal in GOALS:
        key = Objective(goal, {}, actions).key
        assert all(key(Cost(a, 5)) < key(Cost(b, 5)) for a, b in pairwise((1.0, 2.0, 3.0)))
    assert Cost(1.0, 2) + Cost(3.0, 4) == Cost(4.0, 6)


@pytest.mark.parametrize(
    "goal, named, message",
    [
        ("speed", {}, "objective 'speed' is none; choose cycles, energy or edp"),
        ("energy", {"mac": 1.0}, "'mac' is no action"),
        ("energy", {"macs": -1.0}, "macs = -1.0"),
        ("energy", {"macs": float("nan")}, "finite"),
    ],
)
def test_refused(goal: str, named: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Objective(goal, named, actions)


def test_a_proof_is_about_cycles() -> None:
    config = load_config("tiny16")
    for goal, table in (("energy", None), ("cycles", load_table())):
        with pytest.raises(InputError, match="prove: finds the fewest cycles"):
            Session.map(mixed(1), config, prove=True, goal=goal, table=table)
