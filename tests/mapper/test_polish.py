"""Polishing: never slower than what the search found, and faster where its estimates were wrong."""

from __future__ import annotations

import pytest
from mapper_check import check_program
from mapper_graphs import MACHINES, SAME, Builder, mixed

from intaglio.errors import RefusedError
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.mapper import map_network, map_proven
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.search.polish import BUDGET, MOST_TRIALS, STARTS, _expected_commands, polished, smaller_machines
from intaglio.network.graph import Graph, Padding
from intaglio.program.table import Table
from intaglio.sim.engines import clock_of, cycles_of


@pytest.mark.parametrize("machine", range(len(MACHINES)))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_never_slower(seed: int, machine: int) -> None:
    config = load_config(*MACHINES[machine])
    graph = mixed(seed)
    plain, polished = map_network(graph, config), map_network(graph, config, clock=cycles_of)
    assert clock_of(config, polished.commands).cycles <= clock_of(config, plain.commands).cycles
    check_program(graph, config, polished, list(polished.outputs), seed)
    proven, _ = map_proven(graph, config, cycles_of)
    assert clock_of(config, proven.commands).cycles <= clock_of(config, polished.commands).cycles


def late_weights() -> Graph:
    """A layer whose weights fill two thirds of the memory behind one of a third: the estimate has them come ahead as one block,
    but the ring of weights has no run of that length free."""
    b = Builder(4)
    x = b.conv(b.input(1, 16, 16, 16), 32, (3, 3), (2, 2), padding=SAME)
    x = b.conv(x, 64, (3, 3), padding=SAME)
    return b.graph(b.conv(x, 64, (3, 3), padding=SAME))


def test_weights_that_cannot_come_ahead() -> None:
    config = load_config("edge64", ["weight_bytes=55296"])
    plain, polished = (
        clock_of(config, map_network(late_weights(), config, clock=c).commands).cycles for c in (None, cycles_of)
    )
    assert polished < 0.99 * plain


def test_the_clock_is_asked_for_so_many_programs_at_most() -> None:
    config, asked = load_config("tiny16"), []

    def clock(config: Config, table: Table) -> int:
        asked.append(len(table))
        return cycles_of(config, table)

    polished(accepted(mixed(1), config), config, False, clock)
    assert 3 < len(asked) <= STARTS * (1 + min(MOST_TRIALS, BUDGET / min(asked) ** 2))


@pytest.mark.parametrize("machine", range(len(MACHINES)))
@pytest.mark.parametrize("seed", [4, 5])
def test_what_planners_share_changes_nothing(seed: int, machine: int) -> None:
    """A search for a smaller machine finds the same with what the planners of the larger one know as without."""
    config = load_config(*MACHINES[machine])
    network = accepted(mixed(seed), config)
    known = Scheduler(network, config, False)
    known.run()
    for other in (*smaller_machines(config, 1), *smaller_machines(config, 2)):
        commands = []
        for like in (known, None):
            try:
                schedule = Scheduler(network, other, False, like=like).run()
                commands.append([command.words() for command in emit(network, other, schedule).commands])
            except RefusedError as error:
                commands.append(str(error))
        assert commands[0] == commands[1]


def test_a_depthwise_layer_whose_weights_fit_this_machine_alone() -> None:
    """Half of the weight memory holds no channel tile's weights, and a depthwise reduction has no parts."""
    machine = "rows=3 cols=4 requantizers=2 weight_lanes=1 weight_bytes=112 activation_bytes=512 activation_banks=1 bus_bytes=4"
    rest = "memory.bytes_per_cycle=4 memory.latency=20 depthwise_delay=2 channel_bytes=1024"
    config = load_config("tiny16", f"{machine} {rest}".split())
    b = Builder(1)
    graph = b.graph(b.conv(b.input(1, 1, 9, 4), 4, (5, 5), padding=Padding(2, 2, 2, 2), groups=4))
    program = map_network(graph, config, clock=cycles_of)
    check_program(graph, config, program, list(program.outputs), 1)


@pytest.mark.parametrize("activation_bytes", [512, 65536])
def test_commands_of_windows_are_foreseen(activation_bytes: int) -> None:
    """Of windows in blocks, and of rectangles whose windows have different sizes: a long program is not timed."""
    config = load_config("tiny16", [f"activation_bytes={activation_bytes}", "weight_bytes=1024", "channel_bytes=256"])
    b = Builder(1)
    x = b.input(1, 40, 41, 9)
    network = accepted(b.graph(b.maximum(x, (31, 29), (1, 1), Padding(15, 15, 14, 14))), config)
    schedule = Scheduler(network, config, False).run()
    (layer,) = schedule.layers
    assert (layer.plan.blocks is not None) == (activation_bytes == 512)
    commands = len(emit(network, config, schedule).commands)
    assert commands > 900
    assert 0.5 * commands < _expected_commands(config, schedule.layers) < 2 * commands
