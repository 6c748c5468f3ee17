"""What makes mapping fast gives what the plain way gives: walks made in part, tokens found in a tree, rows of bands as numbers,
cycles without commands, rules tried once for commands that agree."""

from __future__ import annotations

import gc
import random
from itertools import pairwise

import pytest
from mapper_graphs import MACHINES, SAME, Builder

from intaglio.errors import InputError
from intaglio.machine.commands import FORMATS
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import FIELDS, Command, Engine, LocalMemory, Opcode, token_bit
from intaglio.machine.timing import added_cycles
from intaglio.mapper import map_network
from intaglio.mapper.emit.accesses import Access, Space, accesses
from intaglio.mapper.emit.tokens import tokens_of
from intaglio.mapper.fusion.bands import BandsOf
from intaglio.mapper.fusion.chain import Chain
from intaglio.mapper.fusion.rings import passages, segments
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.schedule.walks import Walk
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.pooling import PoolTask
from intaglio.network.graph import Graph, Padding
from intaglio.program.grid import Grid
from intaglio.program.layout import Region
from intaglio.program.table import table_of
from intaglio.verifier.legality import examine, rules


def residual(seed: int, blocks: int) -> Graph:
    """Blocks with shortcuts, one in three strided, pools between them."""
    b = Builder(seed)
    x = b.conv(b.input(1, 16, 12, 5), 8, (3, 3), padding=SAME)
    for i in range(blocks):
        y = b.conv(x, 8, (3, 3), (2, 2) if i == 1 else (1, 1), padding=SAME, groups=8 if i % 2 else 1)
        y = b.conv(y, 8, (3, 3), padding=SAME)
        x = b.maximum(y, (3, 3), (1, 1)) if i == 1 else b.add(y, x)
    return b.graph(b.conv(x, 6, (1, 1)))


def told(walk: Walk) -> tuple[object, ...]:
    return walk.failed, walk.held, walk.cost, [(x.chain.tasks, x.plan, x.setting, x.fetched) for x in walk.layers]


@pytest.mark.parametrize("machine", MACHINES)
def test_a_walk_made_from_another_is_the_walk(machine: tuple[str, list[str]]) -> None:
    """Random changes of what is kept and of which layers run together, one after another; walks that fail and walks that stop
    among them."""
    draw = random.Random(3)
    config = load_config(*machine)
    network = accepted(residual(1, 6), config)
    scheduler = Scheduler(network, config, False)
    keep = dict.fromkeys(network.values, 0)
    walk, shared = scheduler._walk(keep), 0
    for _ in range(150):
        name = draw.choice(list(keep))
        changed = {**keep, name: draw.randint(0, len(network.values[name].uses))}
        stop = None if walk.failed is None or draw.random() < 0.5 else walk.failed + 1
        at, instead = None, 0
        before = scheduler._spans
        if walk.failed is None and draw.random() < 0.5:
            at = draw.randrange(len(before) - 1)
            spans = scheduler._regrouped(at, 2, range(before[at].start, before[at + 1].stop))
            if len(before[at]) > 1:
                span, cut = before[at], draw.choice(before[at][1:])
                spans, instead = scheduler._regrouped(at, 1, range(span.start, cut), range(cut, span.stop)), 1
            at, instead = (None, 0) if spans is None else (at, instead + 1)
            scheduler._spans = before if spans is None else spans
        trial = scheduler._walk(changed, walk, (name,), stop, at, instead)
        shared += trial._rest is not None
        assert told(trial) == told(scheduler._walk(changed, stop=stop))
        if stop is None and (trial.failed is None or (at is None and draw.random() < 0.2)):
            keep, walk = changed, trial
        else:
            scheduler._spans = before
    assert shared > 3


def plain_tokens(config: Config, commands: list[Command]) -> tuple[list[int], list[int]]:
    """As tokens.py says it: each command waits for the latest earlier one of the other engine that it conflicts with."""

    def conflict(a: Access, b: Access) -> bool:
        low, high = max(a.low, b.low), min(a.high, b.high)
        if a.space != b.space or (a.write == b.write and a.space is not Space.ACTIVATION):
            return a.space == b.space and a.write and low < high
        if (a.write or b.write) and low < high:
            return True
        return (
            a.space is Space.ACTIVATION
            and a.write == b.write
            and low // config.bank_bytes <= (high - 1) // config.bank_bytes
        )

    touched = [accesses(config, command) for command in commands]
    wait, signal = [0] * len(commands), [0] * len(commands)
    known: dict[tuple[Engine, Engine], int] = {}
    for i, command in enumerate(commands):
        for other in (e for e in Engine if e is not command.engine):
            for j in range(i - 1, known.get((command.engine, other), -1), -1):
                if commands[j].engine is other and any(conflict(a, b) for a in touched[i] for b in touched[j]):
                    wait[i] |= 1 << token_bit(command.engine, other)
                    signal[j] |= 1 << token_bit(other, command.engine)
                    known[command.engine, other] = j
                    break
    return wait, signal


@pytest.mark.parametrize("seed", range(6))
def test_tokens_found_in_a_tree(seed: int) -> None:
    config = load_config("tiny16")
    draw = random.Random(seed)
    bus, size = config.bus_bytes, config.activation_bytes
    commands = []
    for _ in range(300):
        opcode = draw.choice([Opcode.LOAD, Opcode.LOAD, Opcode.STORE, Opcode.ADD])
        fields = {f.name: 0 for f in FIELDS[opcode] if f.name != "opcode"} | {
            "rows": 1,
            "row_bytes": bus * draw.randint(1, 9),
        }
        places = ("a_base", "b_base", "out_base") if opcode is Opcode.ADD else ("local",)
        fields |= {name: bus * draw.randrange((size - 9 * bus) // bus) for name in places}
        if opcode is not Opcode.ADD:
            fields["external"] = bus * draw.randrange(4000)
            if opcode is Opcode.LOAD and draw.random() < 0.5:
                fields |= {"memory": int(LocalMemory.WEIGHT), "local": 0}
        commands.append(Command(opcode, fields))
    assert tuple(x.tolist() for x in tokens_of(config, table_of(commands))) == plain_tokens(config, commands)


def chain_graph(seed: int) -> Graph:
    b = Builder(seed)
    x = b.conv(b.input(2, 13, 9, 4), 8, (1, 1))
    y = b.conv(x, 8, (3, 3), padding=SAME, groups=8)
    y = b.add(x, b.conv(y, 8, (5, 3), dilation=(2, 1), padding=Padding(4, 4, 1, 1)))
    y = b.maximum(b.conv(y, 6, (3, 2), (2, 1), padding=Padding(1, 0, 1, 0)), (3, 3), (2, 2))
    return b.graph(b.conv(y, 5, (2, 2)))


def test_rows_of_bands_as_pieces_need_them() -> None:
    """Of every run of layers, every height of bands, without rings and with rings as found."""
    network = accepted(chain_graph(2), load_config("tiny16"))
    for begin in range(len(network.tasks) - 1):
        chain = Chain(tuple(network.tasks[begin:]))
        layout, image = chain.output.layout, chain.cut.image_rows
        bands = BandsOf(chain)
        ringable = tuple(int(i in chain.ringable) for i in range(len(chain.tasks)))
        for band in range(1, image + 1):
            found = bands.measure(band, ringable, parts=False)
            for rings in {(), found.rings(False), found.rings(True)}:
                measured = bands.measure(band, rings)
                parts = list(passages(chain, Grid(layout, image, band, layout.row_elements), rings))
                for i in range(len(chain.inputs)):
                    rows = [needs.inputs[i].rows for needs, _ in parts]
                    assert (measured.inputs[i], measured.all_inputs[i]) == (max(rows), sum(rows))
                for i, task in enumerate(chain.tasks):
                    made = [needs.made[i] for needs, _ in parts]
                    assert measured.made[i] == max(r.rows for r in made)
                    assert measured.all_made[i] == sum(r.rows for r in made)
                    ring = rings[i] if rings else 0
                    runs = [s for needs, turns in parts for s in segments(needs.made[i], ring, turns[i]) if not s.empty]
                    edges = task.out_rows if isinstance(task, PoolTask) else 1
                    kinds: dict[tuple[int, ...], int] = {}
                    for r in runs:
                        kind = r.rows, r.row0 % edges, r.row1 % edges
                        kinds[kind] = kinds.get(kind, 0) + 1
                    assert {(b - a, a % edges, b % edges): n for a, b, n in measured.kinds[i]} == kinds
                    if ring:  # it holds what a piece reads, and what comes next
                        assert all(needs.read[i].rows <= ring for needs, _ in parts)


@pytest.mark.parametrize("machine", [*MACHINES, ("edge256", [])])
def test_cycles_without_commands(machine: tuple[str, list[str]]) -> None:
    """Dense, grouped, depthwise and fully connected layers."""
    config = load_config(*machine)
    b = Builder(4)
    x = b.conv(b.input(1, 11, 9, 6), 24, (3, 3), padding=SAME)
    x = b.conv(x, 24, (3, 3), (1, 2), padding=SAME, groups=24)
    x = b.conv(b.conv(x, 24, (3, 3), padding=SAME, groups=4), 40, (1, 1))
    network = accepted(b.graph(b.dense(b.mean(x), 19)), config)
    draw = random.Random(1)
    count = 0
    for task in (task for task in network.tasks if isinstance(task, ConvTask)):
        g, part = task.geometry, task.geometry.whole_part
        view, out = task.inputs[0].layout.view(0), task.output.layout.view(0)
        for _ in range(20):
            rows, width = draw.randint(1, g.out_rows), draw.randint(1, g.out_cols)
            first = draw.randrange(task.channel_tiles(config))
            tiles = range(first, draw.randint(first + 1, task.channel_tiles(config)))
            region = Region(0, rows, 0, width * g.out_channels)
            commands = task.commands(config, Job(region, (view,), out, None, tiles, part))
            assert task.tile_cycles(config, region, tiles, part) == sum(added_cycles(config, c) for c in commands)
            count += 1
    assert count == 5 * 20


class Watched(Command):
    """A command that notes which fields are looked at."""

    seen: set[str]

    def __getitem__(self, name: str) -> int:
        self.seen.add(name)
        return super().__getitem__(name)


def test_rules_look_at_no_field_that_alike_commands_may_differ_in() -> None:
    config = load_config("edge64")
    commands = map_network(residual(2, 4), config).commands
    seen: dict[Opcode, set[str]] = {}
    for command in commands:
        watched = Watched(command.opcode, command.fields)
        object.__setattr__(watched, "seen", seen.setdefault(command.opcode, set()))
        assert not list(rules(config, watched))
    assert len(seen) == 6
    for opcode, names in seen.items():
        assert names.isdisjoint({*FORMATS[opcode].unseen, "wait", "signal", "tag"})


def test_the_first_illegal_command_is_found_among_many_alike() -> None:
    config = load_config("edge64")
    commands = list(map_network(residual(2, 4), config).commands)
    for opcode, field, value in (
        (Opcode.LOAD, "external", 1),
        (Opcode.CONV, "slot_cycles", 0),
        (Opcode.ADD, "row_bytes", 0),
    ):
        places = [i for i, command in enumerate(commands) if command.opcode is opcode]
        broken = list(commands)
        for i in places[len(places) // 2 :]:
            changed = {"last_slot_cycles": 0} if field == "slot_cycles" else {field: value}
            broken[i] = Command(opcode, {**commands[i].fields, **changed})
        fault = examine(config, broken, 1 << 30)[2]
        assert fault is not None and fault[0] == places[len(places) // 2]


def test_a_long_chain_takes_no_longer_a_layer() -> None:
    """Steps that walks take, not seconds: of a chain twice as long about twice as many, where two tensors do not fit beside each
    other. (Where they do, a change moves the places of all behind it.)"""
    counts = []
    for length in (20, 40, 80, 160):
        b = Builder(5)
        x = b.input(1, 12, 12, 8)
        for _ in range(length):
            x = b.conv(x, 8, (3, 3), padding=SAME)
        config = load_config("tiny16", ["activation_bytes=2048", "activation_banks=4"])
        scheduler = Scheduler(accepted(b.graph(x), config), config, False)
        taken = 0
        step = scheduler._step

        def counted(*args: object, step=step) -> object:  # type: ignore[no-untyped-def]
            nonlocal taken
            taken += 1
            return step(*args)

        scheduler._step = counted  # type: ignore[method-assign, assignment]
        scheduler.run()
        counts.append(taken)
    assert all(b <= 2.5 * a for a, b in pairwise(counts)), counts


def test_the_collector_is_as_it_was() -> None:
    """After a mapping, and after one that was refused."""
    assert gc.isenabled()
    map_network(residual(1, 1), load_config("edge64"))
    assert gc.isenabled()
    with pytest.raises(InputError):
        map_network(Builder(1).graph(), load_config("edge64"))
    assert gc.isenabled()
    gc.disable()
    try:
        map_network(residual(1, 1), load_config("edge64"))
        assert not gc.isenabled()
    finally:
        gc.enable()
