"""The best plan of each layer's space under exact timing, what shows that it is the best, and a schedule of such plans.

Each layer, or chain of layers, is timed by itself as it stands in the network: with what stays on chip there, the rest
outside, and its commands alone on the machine. What the schedule loads whole before a layer, though nothing else reads it, may also
come with the layer's pieces. A plan whose bound is no lower than the best cycles found cannot be better, so
only the others are timed, those with the lowest bounds first.

What is best alone may be worse in the network, where layers overlap. So whole schedules are timed too, and a layer takes its
best plan only where the whole gains: the schedule found is never slower than the one begun with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from intaglio.machine.config import CHANNEL_RECORD_BYTES, Config
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.schedule.schedule import Placed, Schedule
from intaglio.mapper.search.stopwatch import Clock, Stopwatch
from intaglio.mapper.tiling.allocate import FreeSpace
from intaglio.mapper.tiling.buffers import Setting
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.mapper.tiling.layer_planner import LayerPlanner

MOST_ROUNDS = 3
"""Times that each layer's plan is tried in the whole."""


@dataclass(frozen=True)
class Certificate:
    """For one layer or chain, alone on the machine. tags: of its layers. candidates: plans of the space, and the one begun
    with, which may be none of them; timed: those that the clock was asked for, the others' bounds being no lower than the cycles found. estimated: cycles of the plan that the
    estimate prefers; best: the fewest of the space; cycles: of the plan in the schedule, which may be another where layers overlap.
    bound: of compute and bytes that no schedule of these layers avoids: each array element busy, each weight and record loaded
    once, and what is outside here loaded or stored once."""

    tags: tuple[int, ...]
    candidates: int
    timed: int
    estimated: int
    best: int
    cycles: int
    bound: int

    @property
    def gap_to_best(self) -> float:
        """Gap of the plan in the schedule to the best of the space, 0 where they are equal."""
        return self.cycles / max(self.best, 1) - 1

    @property
    def gap_to_bound(self) -> float:
        """Gap of the best plan to the bound, 0 where they are equal."""
        return self.best / max(self.bound, 1) - 1


def prove(network: Lowered, config: Config, schedule: Schedule, clock: Clock) -> tuple[Schedule, list[Certificate]]:
    """A schedule that takes no more cycles, in which layers and chains have the best plan of their space, each in its setting,
    wherever that makes the whole faster; and the certificates, in order."""
    watch = Stopwatch(network, config, clock)
    found = [_prove(watch, schedule, layer) for layer in schedule.layers]

    def cycles_of(layers: Sequence[Placed]) -> int:
        return watch.cycles(schedule.with_layers(layers))

    used = _fastest(schedule.layers, [best for best, _ in found], cycles_of)
    certificates = [
        replace(certificate, cycles=certificate.estimated if layer is before else certificate.best)
        for layer, before, (_, certificate) in zip(used, schedule.layers, found, strict=True)
    ]
    return schedule.with_layers(used), certificates


def _fastest(
    before: Sequence[Placed], best: Sequence[Placed], cycles_of: Callable[[Sequence[Placed]], int]
) -> list[Placed]:
    """A choice of one of two plans for each layer: the whole that is faster, then plan by plan as long as the whole gains."""
    differ = [i for i, (a, b) in enumerate(zip(before, best, strict=True)) if a is not b]
    used, least = list(before), cycles_of(before)
    if differ and (all_best := cycles_of(best)) < least:
        used, least = list(best), all_best
    for _ in range(MOST_ROUNDS):
        start = least
        for i in differ:
            trial = [*used[:i], before[i] if used[i] is best[i] else best[i], *used[i + 1 :]]
            cycles = cycles_of(trial)
            if cycles < least:
                used, least = trial, cycles
        if least == start:
            break
    return used


def _prove(watch: Stopwatch, schedule: Schedule, layer: Placed) -> tuple[Placed, Certificate]:
    network, config = watch.network, watch.config
    options = [
        replace(place, plan=plan)
        for place in _places(network, config, layer)
        for plan in place.planner.candidates(place.setting)
    ]
    options.sort(key=_least)
    first = watch.alone(schedule, layer)
    best, least, timed = layer, first, 1
    for option in options:
        if _least(option) >= least:
            break
        if option == layer:
            continue
        cycles = watch.alone(schedule, option)
        assert cycles >= _least(option)
        timed += 1
        if cycles < least:
            best, least = option, cycles
    tags = tuple(task.tag for task in layer.chain.tasks)
    candidates = len(options) + (layer not in options)
    bound = max(_bounds(network, config, layer))
    return best, Certificate(tags, candidates, timed, first, least, least, bound)


def _least(option: Placed) -> float:
    """Cycles that the plan takes at least."""
    plan, planner = option.plan, option.planner
    if isinstance(plan, LayerPlan) and isinstance(planner, LayerPlanner):
        return max(plan.cycles.bound, planner.holding_cycles(plan))
    return plan.cycles.bound


def _places(network: Lowered, config: Config, layer: Placed) -> Iterator[Placed]:
    """The layer as it stands; and with those of its inputs that nothing else reads not fetched before it."""
    yield layer
    free = _read_here_alone(network, layer)
    if free:
        held = [(at, at + network.values[name].size) for name, at in layer.fetched if name in free]
        taken = layer.setting.taken(config, held)
        output = layer.setting.resident[-1]
        if output is not None:  # it may lie in an input's place
            taken.append((output, output + network.values[layer.chain.output.value].size))
        space = FreeSpace(config.activation_bytes, config.bank_bytes, taken)
        inputs = zip(layer.chain.inputs, layer.setting.resident[:-1], strict=True)
        resident = tuple(None if x.value in free else at for x, at in inputs)
        setting = Setting((*resident, layer.setting.resident[-1]), layer.setting.stored, tuple(space.free))
        yield replace(layer, setting=setting, fetched=tuple(x for x in layer.fetched if x[0] not in free))


def _read_here_alone(network: Lowered, layer: Placed) -> list[str]:
    """Values that are fetched before the layer and that nothing else reads."""
    mine = {i for i, task in enumerate(network.tasks) if task in layer.chain.tasks}
    return [name for name, _ in layer.fetched if mine.issuperset(network.values[name].uses)]


def _bounds(network: Lowered, config: Config, layer: Placed) -> Iterator[int]:
    """Cycles of computing, then of bytes."""
    yield sum(task.least_cycles(config, network.need_of(task)) for task in layer.chain.tasks)
    free = _read_here_alone(network, layer)
    moved = sum(
        network.needs[name].elements if name in free else network.values[name].size for name, _ in layer.fetched
    )
    for task, _ in layer.convolutions:
        moved += task.geometry.out_channels * (task.geometry.used_steps + CHANNEL_RECORD_BYTES)
    for i, at in enumerate(layer.setting.resident[:-1]):
        if at is None:
            readers = zip(layer.chain.tasks, layer.chain.sources, strict=True)
            needs = ((of, task.needs(network.need_of(task))) for task, of in readers)
            reads = (n.elements for of, each in needs for source, n in zip(of, each, strict=True) if source == i)
            moved += max(reads, default=0)  # an operand twice is read once
    moved += layer.chain.output.layout.elements if layer.setting.stored else 0
    yield config.memory.cost.least_cycles(moved)
