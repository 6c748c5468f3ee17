"""LOADs ahead of other commands: each engine's own order stays, and no dependence is turned round."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mapper_graphs import MACHINES, mixed

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Command, Engine, LocalMemory, Opcode
from intaglio.mapper.emit.accesses import accesses
from intaglio.mapper.emit.ahead import load_order
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.emit.overlap import overlapped
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.program.table import table_of
from intaglio.sim.engines import cycles_of

CONFIG = load_config("edge64")


def load(local: int, size: int = 64, memory: LocalMemory = LocalMemory.WEIGHT) -> Command:
    return Command(Opcode.LOAD, {"memory": memory, "local": local, "row_bytes": size, "rows": 1})


def add(source: int, target: int) -> Command:
    return Command(Opcode.ADD, {"a_base": source, "b_base": source, "out_base": target, "row_bytes": 8, "rows": 1})


def load_ahead(config: Config, commands: list[Command], most: int) -> list[Command]:
    return [commands[i] for i in load_order(config, table_of(commands), most)]


def depends(config: Config, one: Command, two: Command) -> bool:
    return any(
        a.space == b.space and (a.write or b.write) and a.low < b.high and b.low < a.high
        for a in accesses(config, one)
        for b in accesses(config, two)
    )


@pytest.mark.parametrize("most", [0, 1, 2, 5])
@pytest.mark.parametrize("machine", range(len(MACHINES)))
def test_what_depends_stays_in_order(machine: int, most: int) -> None:
    config = load_config(*MACHINES[machine])
    network = accepted(mixed(machine), config)
    schedule = Scheduler(network, config, False).run()
    before = emit(network, config, schedule).commands
    after = load_ahead(config, before, most)
    assert sorted(map(id, after)) == sorted(map(id, before)) and (most == 0 or after != before)
    for engine in Engine:
        assert [id(c) for c in after if c.engine == engine] == [id(c) for c in before if c.engine == engine]
    place = {id(command): i for i, command in enumerate(before)}
    for i, command in enumerate(after):
        for later in after[i + 1 :]:
            if place[id(later)] < place[id(command)]:
                assert command.engine == Engine.LOAD and not depends(config, later, command)
        passed = [c for c in after[i + 1 :] if place[id(c)] < place[id(command)] and c.engine == Engine.COMPUTE]
        assert len(passed) <= most


def test_a_load_stops_at_what_reads_its_place_and_at_its_port() -> None:
    bank = CONFIG.bank_bytes
    free, used = load(64), load(0, 64, LocalMemory.ACTIVATION)
    reads, elsewhere = add(0, 2 * bank), add(bank, 3 * bank)
    assert load_ahead(CONFIG, [reads, elsewhere, free], 2) == [free, reads, elsewhere]
    assert load_ahead(CONFIG, [reads, elsewhere, free], 1) == [reads, free, elsewhere]
    assert load_ahead(CONFIG, [reads, elsewhere, used], 2) == [reads, used, elsewhere]
    same_port = load(bank - 64, 64, LocalMemory.ACTIVATION), add(2 * bank, 64)
    assert load_ahead(CONFIG, [*same_port[1:], same_port[0]], 2) == [same_port[1], same_port[0]]


def test_no_more_loads_in_a_row_than_dispatch_takes() -> None:
    loads = [load(64 * i) for i in range(6)]
    compute = add(0, 64)
    assert load_ahead(CONFIG, [compute, *loads], 2) == [*loads[:4], compute, *loads[4:]]


def test_inputs_of_chains_come_in_time() -> None:
    """A chain whose last layers are short: its next input was loaded only beside these."""
    config = load_config("edge256")
    network = accepted(mixed(2), config)
    schedule = Scheduler(network, config, False).run()
    cycles = []
    for ahead in (0, 2):
        emitted = emit(network, config, replace(schedule, ahead=ahead))
        cycles.append(cycles_of(config, overlapped(config, emitted)))
    assert cycles[1] < cycles[0]
