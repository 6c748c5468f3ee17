"""The schedule that the search found by estimates, improved by timing whole programs.

Estimates are wrong where ring buffers of weights, banks' ports or queues hold a transfer back. So for some layers the plans that the
estimate puts next are tried in the network, one layer at a time, and taken where the program then takes fewer cycles. How many
are tried depends on the program's length alone, so that it costs a part of the search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from intaglio.hw.config import Config
from intaglio.hw.isa import Command
from intaglio.mapper.emit import emit
from intaglio.mapper.fused import ChainPlan
from intaglio.mapper.lower import Lowered
from intaglio.mapper.residency import Placed, Schedule
from intaglio.mapper.tokens import put_tokens

Clock = Callable[[Config, Sequence[Command]], int]
"""The cycles of commands on a configuration, exact."""
MOST_COMMANDS = 10_000
"""Commands of all programs that are timed."""
MOST_TRIALS = 100
EACH = 4
"""Plans of a layer that are tried."""


def whole_cycles(network: Lowered, config: Config, schedule: Schedule, layers: Sequence[Placed], clock: Clock) -> tuple[int, int]:
    """Exact cycles, and commands, of the whole program with other plans of its layers."""
    commands = emit(network, config, replace(schedule, layers=tuple(layers))).commands
    put_tokens(config, commands)
    return clock(config, commands), len(commands)


def polish(network: Lowered, config: Config, schedule: Schedule, clock: Clock) -> Schedule:
    """A schedule of no more cycles, with the same tensors on chip."""
    used = list(schedule.layers)
    trials = [] if _expected_commands(config, used) > MOST_COMMANDS else _trials(used)
    if not trials:
        return schedule
    least, commands = whole_cycles(network, config, schedule, used, clock)
    left = min(MOST_TRIALS, MOST_COMMANDS // max(commands, 1))
    while trials:
        start = least
        for i, other in trials[:left]:
            trial = [*used[:i], other, *used[i + 1 :]]
            cycles, _ = whole_cycles(network, config, schedule, trial, clock)
            if cycles < least:
                used, least = trial, cycles
        left -= len(trials[:left])
        trials = _trials(used) if left and least < start else []
    return replace(schedule, layers=tuple(used), cycles=sum(layer.plan.cycles.estimate for layer in used))


def _expected_commands(config: Config, layers: Sequence[Placed]) -> int:
    """About: one for each piece, group of channel tiles and part. Above MOST_COMMANDS nothing would be tried."""
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
