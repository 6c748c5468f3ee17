"""Timing by layers: the table is that of the program that is emitted whole, whatever was timed before."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from mapper_graphs import MACHINES, Builder, mixed

from intaglio.errors import RefusedError
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.emit.overlap import overlapped
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.schedule.schedule import Schedule
from intaglio.mapper.search.stopwatch import Stopwatch
from intaglio.program.table import words_of
from intaglio.sim.engines import cycles_of


def whole(network: Lowered, config: Config, schedule: Schedule) -> tuple[bytes, int]:
    table = overlapped(config, emit(network, config, schedule))
    return words_of(table).tobytes(), cycles_of(config, table)


@pytest.mark.parametrize("field", ["", "activation_bytes", "weight_bytes"])
@pytest.mark.parametrize("machine", range(len(MACHINES)))
@pytest.mark.parametrize("seed", [1, 2])
def test_table_is_that_of_the_whole(seed: int, machine: int, field: str) -> None:
    config, draw = load_config(*MACHINES[machine]), random.Random(seed)
    if field:
        config = replace(config, **{field: getattr(config, field) // 2})
    network = accepted(mixed(seed), config)
    try:
        schedule = Scheduler(network, config, bool(seed % 2)).run()
    except RefusedError:
        pytest.skip("the network does not fit")
    watch = Stopwatch(network, config, cycles_of)
    for turn in range(12):
        schedule = replace(schedule, ahead=draw.choice([1, 2, 4]))
        assert (words_of(watch.table(schedule)).tobytes(), watch.cycles(schedule)) == whole(
            network, config, schedule
        ), turn
        at = draw.randrange(len(schedule.layers))
        layer = schedule.layers[at]
        layer = replace(layer, plan=draw.choice(layer.planner.candidates(layer.setting)))
        one = replace(schedule, layers=(layer,))
        assert watch.alone(schedule, layer) == whole(network, config, one)[1]
        schedule = schedule.with_layer(at, layer)


def test_a_network_of_no_commands() -> None:
    b, config = Builder(1), load_config("tiny16")
    network = accepted(b.graph(b.reshape(b.input(1, 1, 1, 1), 1, 1)), config)
    schedule = Scheduler(network, config, False).run()
    watch = Stopwatch(network, config, cycles_of)
    assert (
        (words_of(watch.table(schedule)).tobytes(), watch.cycles(schedule))
        == whole(network, config, schedule)
        == (b"", 1)
    )
