"""The schedule that the search found by estimates, improved by timing whole programs.

Estimates are wrong where ring buffers of weights, banks' ports or queues hold a transfer back. So for some layers the plans that the
estimate puts next are tried in the network, one layer at a time, and taken where the program then takes fewer cycles. Programs
that are short also begin from the schedules of smaller machines, so that more memory seldom costs cycles. How much is tried
depends on the program's length alone, so that it costs a part of the search, of short programs some times the search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from intaglio.errors import InputError, RefusedError
from intaglio.hw.config import Config
from intaglio.mapper.emission import Emission
from intaglio.mapper.emit import emit
from intaglio.mapper.fused import ChainPlan
from intaglio.mapper.lower import Lowered
from intaglio.mapper.overlap import overlapped
from intaglio.mapper.residency import Placed, Schedule, Scheduler
from intaglio.mapper.table import Table

Clock = Callable[[Config, Table], int]
"""The cycles of a program's table of commands on a configuration, exact."""
BUDGET = 16_000_000
"""Of a program of n commands BUDGET / n**2 others are timed: 100 of 400 commands, 4 of 2,000."""
MOST_TRIALS = 200
STARTS = 5
"""Schedules that programs are polished from at most."""
WORTH = 4
"""Programs that may be timed, from which on smaller machines are looked at."""
EACH = 8
"""Plans of a layer that are tried."""
AHEAD = (4, 1)
"""Values of Schedule.ahead that are tried, where more than EACH programs are timed."""


def whole(network: Lowered, config: Config, schedule: Schedule, layers: Sequence[Placed], clock: Clock) -> tuple[int, Emission]:
    """Exact cycles of the whole program with other plans of its layers, and the program."""
    emitted = emit(network, config, replace(schedule, layers=tuple(layers), cycles=sum(x.plan.cycles.estimate for x in layers)))
    return clock(config, overlapped(config, emitted)), emitted


def polished(network: Lowered, config: Config, keep_all: bool, clock: Clock) -> Emission:
    """The fastest program that is found from the search's schedule, of no more cycles than that one's; and, where programs are short,
    from the schedules that it finds for smaller machines: where more than it needs is there, the estimates may prefer what
    is slower."""
    scheduler = Scheduler(network, config, keep_all)
    first = scheduler.run()
    if not _trials_of(_expected_commands(config, first.layers)):
        return emit(network, config, first)
    begun = [whole(network, config, first, first.layers, clock)]
    best = _polished(network, config, begun[0], clock)
    for other in _smaller(config) if _trials_of(len(best[1].commands)) >= WORTH else ():
        with suppress(RefusedError):
            smaller = Scheduler(network, other, keep_all)
            structure = smaller.search()
            found = smaller.planned(structure)
            assert found is not None
            again = scheduler.planned(structure) if other.bank_bytes != config.bank_bytes else None  # whose banks are others
            for start in (scheduler.adopted(found, other), again):
                if start is not None:
                    begin = whole(network, config, start, start.layers, clock)
                    if all(begin[0] != cycles or begin[1].commands != same.commands for cycles, same in begun):
                        begun.append(begin)
                        best = min(best, _polished(network, config, begin, clock), key=lambda found: found[0])
    return best[1]


def _polished(network: Lowered, config: Config, begin: tuple[int, Emission], clock: Clock) -> tuple[int, Emission]:
    """Cycles and program of a schedule with the same tensors on chip. begin: those of the schedule that it begins with."""
    least, best = begin
    schedule = best.schedule
    used = list(schedule.layers)
    left = _trials_of(len(best.commands))
    for ahead in AHEAD if left > EACH else ():
        cycles, emitted = whole(network, config, replace(schedule, ahead=ahead), used, clock)
        left -= 1
        if cycles < least:
            schedule, least, best = emitted.schedule, cycles, emitted
    trials = _trials(used)
    while trials:
        start = least
        for i, other in trials[:left]:
            trial = [*used[:i], other, *used[i + 1 :]]
            cycles, emitted = whole(network, config, schedule, trial, clock)
            if cycles < least:
                used, least, best = trial, cycles, emitted
        left -= len(trials[:left])
        trials = _trials(used) if left and least < start else []
    return least, best


def _smaller(config: Config) -> Iterator[Config]:
    """With half of a memory's bytes, or of the external memory's rate, as far as there are such machines."""
    for change in (
        {"weight_bytes": config.weight_bytes // 2}, {"activation_bytes": config.activation_bytes // 2},
        {"memory": replace(config.memory, bytes_per_cycle=config.memory.bytes_per_cycle // 2)},
    ):  # fmt: skip
        with suppress(InputError):
            yield replace(config, **change)


def _trials_of(commands: int) -> int:
    """How many programs of so many commands are timed."""
    return min(MOST_TRIALS, int(BUDGET / max(commands, 1) ** 2))


def _expected_commands(config: Config, layers: Sequence[Placed]) -> int:
    """About: one for each piece, group of channel tiles and part. Where it is too many, nothing is tried."""
    count = 0
    for layer in layers:
        runs = [-(-task.channel_tiles(config) // groups.tiles) * len(groups.parts) for task, groups in layer.convolutions]
        pieces = len(layer.plan.pieces)
        # With slabs a piece takes them one after another, and with rings it may have nothing left to compute for a layer.
        count += max([pieces, *runs]) if isinstance(layer.plan, ChainPlan) else pieces * max([1, *runs])
    return count


def _trials(layers: Sequence[Placed]) -> list[tuple[int, Placed]]:
    """Which layer, and with which plan: of each layer the best one first, were nothing loaded ahead, by what it may gain."""
    found = []
    for i, layer in enumerate(layers):
        plans = [plan for plan in layer.planner.options(layer.setting) if plan is not layer.plan]
        plans = [plan for plan in plans if plan.cycles.bound < layer.plan.cycles.estimate]
        plans.sort(key=lambda plan: plan.cycles.estimate)
        for rank, plan in enumerate(plans[:EACH]):
            found.append((rank, plan.cycles.estimate - layer.plan.cycles.estimate, i, replace(layer, plan=plan)))
    found.sort(key=lambda trial: trial[:3])
    return [(i, placed) for *_, i, placed in found]
