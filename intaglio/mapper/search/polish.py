"""The schedule that the search found by estimates, improved by timing whole programs.

Estimates are wrong where ring buffers of weights, banks' ports or queues hold a transfer back. So for some layers the plans that the
estimate puts next are tried in the network, one layer at a time, and taken where the program then takes fewer cycles. Programs
that are short also begin from the schedules of smaller machines, so that more memory seldom costs cycles; of these beginnings
the more promising half goes on at a time. How much is tried depends on the program's length, and on how many beginnings differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from itertools import combinations, islice
from operator import itemgetter

from intaglio.errors import InputError, RefusedError
from intaglio.machine.config import Config
from intaglio.mapper.fusion.chain_plan import ChainPlan
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.schedule.schedule import Placed, Schedule, Structure
from intaglio.mapper.search.stopwatch import Clock, Stopwatch
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.mapper.tiling.window_plan import expected_commands
from intaglio.program.table import words_of

Found = tuple[int, Schedule]
"""A program's exact cycles, and its schedule."""
BUDGET = 32_000_000
"""The budget of trials: from a beginning of n commands BUDGET / n**2 others are timed: 200 of 400 commands, 8 of 2,000."""
MOST_TRIALS = 400
STARTS = 12
"""Schedules that programs are polished from at most."""
SEARCHES = 2
"""The searches of each machine, where each goes on from the structure that the one before has found."""
WORTH = 7
"""Programs that may be timed, from which on smaller machines are looked at."""
EACH = 8
"""Plans of a layer that are tried."""
AHEAD = (4, 1)
"""Values of Schedule.ahead that are tried, where more than EACH programs are timed."""


def polished(network: Lowered, config: Config, keep_all: bool, clock: Clock) -> Schedule:
    """The fastest schedule that is found from the search's, of no more cycles than that one; and, where programs are short, from
    those that it finds for smaller machines: where more than it needs is there, the estimates may prefer what is slower."""
    scheduler = Scheduler(network, config, keep_all)
    first = scheduler.run()
    if not _trials_of(_expected_commands(config, first.layers)):
        return first
    watch = Stopwatch(network, config, clock)
    table = watch.table(first)
    begins, seen = [(clock(config, table), first)], {words_of(table).tobytes()}
    trials = _trials_of(len(table))
    if trials >= WORTH:
        ones, twos = (
            [Scheduler(network, other, keep_all, like=scheduler) for other in smaller_machines(config, count)]
            for count in (1, 2)
        )
        for start in _starts(scheduler, ones, twos):
            table = watch.table(start)
            words = words_of(table).tobytes()
            if words not in seen:
                seen.add(words)
                begins.append((clock(config, table), start))
        begins = [begins[0], *sorted(begins[1:], key=itemgetter(0))[: STARTS - 1]]
    return _best([_polishing(watch, begin, trials) for begin in begins], trials)


def _starts(scheduler: Scheduler, ones: Sequence[Scheduler], twos: Sequence[Scheduler]) -> Iterator[Schedule]:
    """Schedules that the search finds for one of some machines, with the plans that it prefers on the machine itself or one with half of
    something. ones, twos: for machines with one and with two changes."""
    latency = scheduler.config.memory.cost.latency
    choosing = [scheduler, *(one for one in ones if one.config.memory.cost.latency == latency)]
    structures: list[Structure] = []
    for searched in (scheduler, *ones, *twos):
        with suppress(RefusedError):
            structure: Structure | None = None
            for _ in range(SEARCHES):
                structure = searched.search(structure)
                if structure not in structures:
                    structures.append(structure)
    for structure in structures:
        for planning in choosing:
            found = planning.planned(structure)
            if found is not None:
                yield found if planning is scheduler else scheduler.adopted(found, planning.config)


def _best(polishing: Sequence[Iterator[Found]], trials: int) -> Schedule:
    """The best that several polishings find. Each time the better half of them goes on, as far again as it came; the last ones
    have timed `trials` programs then."""
    found = {one: next(one) for one in polishing}
    on, come = list(found), 0
    while on and come < trials:
        until = min(2 * come, trials) if come else -(-trials // STARTS)
        for one in on:
            for reached in islice(one, until - come):
                found[one] = reached
        come = until
        on = sorted(on, key=lambda one: found[one][0])[: -(-len(on) // 2)]
    return min(found.values(), key=itemgetter(0))[1]


def _polishing(watch: Stopwatch, begin: Found, trials: int) -> Iterator[Found]:
    """The fastest so far, at the beginning and after each program that is timed, of which there may be `trials`: schedules with the
    same tensors on chip, until no change of one layer is better. begin: what to begin with."""
    least, schedule = begin
    yield least, schedule
    for ahead in AHEAD if trials > EACH else ():
        trial = replace(schedule, ahead=ahead)
        cycles = watch.cycles(trial)
        if cycles < least:
            least, schedule = cycles, trial
        yield least, schedule
    start = None
    while start is None or least < start:
        start = least
        for i, other in _trials(schedule.layers):
            trial = schedule.with_layer(i, other)
            cycles = watch.cycles(trial)
            if cycles < least:
                least, schedule = cycles, trial
            yield least, schedule


def smaller_machines(config: Config, count: int) -> Iterator[Config]:
    """With `count` of these changes, as far as there are such machines: half of a memory's bytes, half of the external memory's rate,
    twice its latency."""
    changes: tuple[Callable[[Config], Config], ...] = (
        lambda c: replace(c, weight_bytes=c.weight_bytes // 2),
        lambda c: replace(c, activation_bytes=c.activation_bytes // 2),
        lambda c: replace(c, memory=replace(c.memory, bytes_per_cycle=c.memory.bytes_per_cycle // 2)),
        lambda c: replace(c, memory=replace(c.memory, latency=2 * c.memory.latency)),
    )
    for several in combinations(changes, count):
        with suppress(InputError):
            yield reduce(lambda changed, change: change(changed), several, config)


def _trials_of(commands: int) -> int:
    """Number of programs of so many commands that are timed."""
    return min(MOST_TRIALS, int(BUDGET / max(commands, 1) ** 2))


def _expected_commands(config: Config, layers: Sequence[Placed]) -> int:
    """About: of a layer those of each piece. Of a chain those of its longest layer: with slabs a piece takes the groups one after
    another, and with rings it may have nothing left to compute for a layer."""
    count = 0
    for layer in layers:
        pieces, blocks = len(layer.plan.pieces), layer.plan.blocks if isinstance(layer.plan, LayerPlan) else None
        runs = [
            -(-task.channel_tiles(config) // groups.tiles) * len(groups.parts) for task, groups in layer.convolutions
        ]
        pools = [pool for task in layer.chain.tasks if (pool := task.pooled) is not None]
        if isinstance(layer.plan, ChainPlan):
            count += max([pieces, *runs, *(task.expected_commands(task.whole) for task in pools)])
        elif pools:
            (task,) = pools
            count += (
                sum(map(task.expected_commands, layer.plan.pieces))
                if blocks is None
                else expected_commands(task, blocks)
            )
        else:
            count += pieces * max([1, *runs])
    return count


def _trials(layers: Sequence[Placed]) -> list[tuple[int, Placed]]:
    """Layers, each with another plan: of each layer the best one first, were nothing loaded ahead, by what it may gain."""
    found = []
    for i, layer in enumerate(layers):
        plans = [plan for plan in layer.planner.options(layer.setting) if plan is not layer.plan]
        plans = [plan for plan in plans if plan.cycles.bound < layer.plan.cycles.estimate]
        plans.sort(key=lambda plan: plan.cycles.estimate)
        for rank, plan in enumerate(plans[:EACH]):
            found.append((rank, plan.cycles.estimate - layer.plan.cycles.estimate, i, replace(layer, plan=plan)))
    found.sort(key=lambda trial: trial[:3])
    return [(i, placed) for *_, i, placed in found]
