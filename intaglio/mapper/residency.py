"""Which tensors stay in the activation memory, for how long, and at which address.

Each value has `keep`, the number of its uses, from the first on, that find it on chip; later uses read it from
outside. A walk over the layers places values and plans each layer in what remains. First every value is kept;
where a layer does not fit, the value whose absence costs least gives way. Then single changes are tried as
long as the estimate falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from intaglio.errors import Refusal, RefusedError
from intaglio.hw.config import Config
from intaglio.mapper.allocate import FreeSpace
from intaglio.mapper.convolution import ConvTask
from intaglio.mapper.lower import Lowered, Value
from intaglio.mapper.plan import LayerPlan, LayerPlanner, Setting

PASSES = 2
"""Rounds of single changes at most."""

Keep = dict[str, int]


@dataclass(frozen=True)
class PlacedLayer:
    """A layer's plan in its setting. fetched: values to load whole before it, with their addresses."""

    plan: LayerPlan
    setting: Setting
    fetched: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Walk:
    """layers: those placed. failed: index of the task that does not fit, or None. held: values on chip there.
    cycles: estimate of the layers placed."""

    layers: tuple[PlacedLayer, ...]
    failed: int | None
    held: tuple[str, ...]
    cycles: float


@dataclass(frozen=True)
class Schedule:
    """layers: one for each task. outside: values that have a place in external memory."""

    layers: tuple[PlacedLayer, ...]
    outside: frozenset[str]
    cycles: float


class Scheduler:
    def __init__(self, network: Lowered, config: Config, keep_all: bool):
        self.network, self.config, self.keep_all = network, config, keep_all
        self.planners = [LayerPlanner(task, config) for task in network.tasks]
        self.required = {network.operands[name].value for name in network.inputs + network.outputs}

    def run(self) -> Schedule:
        """Raises RefusedError with the layers that do not fit and the field that is too small."""
        values = self.network.values.values()
        keep = {v.name: 0 if v.producer is None and len(v.uses) == 1 else len(v.uses) for v in values}
        keep, walk = self._repair(keep)
        keep, walk = self._improve(keep, walk)
        outside = frozenset(v.name for v in values if self._outside(v, keep))
        return Schedule(walk.layers, outside, walk.cycles)

    def _outside(self, value: Value, keep: Keep) -> bool:
        spilled = keep[value.name] < len(value.uses) or not value.uses
        return self.keep_all or spilled or value.name in self.required

    # Search.

    def _repair(self, keep: Keep) -> tuple[Keep, Walk]:
        walk = self._walk(keep)
        while walk.failed is not None:
            best: tuple[tuple[bool, int], Keep, Walk] | None = None
            for name in walk.held:
                value = self.network.values[name]
                fewer = sum(use < walk.failed for use in value.uses)
                if value.producer == walk.failed:
                    fewer = 0
                if fewer >= keep[name]:
                    continue
                changed = {**keep, name: fewer}
                trial = self._walk(changed, walk.failed + 1)
                stuck = trial.failed is not None
                moves = len(value.uses) - fewer + (not self._outside(value, keep))
                score = (stuck, -value.size if stuck else value.size * moves)
                if best is None or score < best[0]:
                    best = score, changed, trial
            if best is None:
                self._refuse(walk)
            keep = best[1]
            walk = self._walk(keep)
        return keep, walk

    def _improve(self, keep: Keep, walk: Walk) -> tuple[Keep, Walk]:
        for _ in range(PASSES):
            before = walk.cycles
            for value in self.network.values.values():
                for count in range(len(value.uses) + 1):
                    if count == keep[value.name]:
                        continue
                    changed = {**keep, value.name: count}
                    trial = self._walk(changed)
                    if trial.failed is None and trial.cycles < walk.cycles:
                        keep, walk = changed, trial
            if walk.cycles >= before:
                break
        return keep, walk

    def _refuse(self, walk: Walk) -> NoReturn:
        """Every layer that does not fit even alone. Where a walk fails with nothing left to put outside, its layer
        is one of them."""
        assert walk.failed is not None
        small = {i for i, planner in enumerate(self.planners) if planner.alone() is None} | {walk.failed}
        named = [(self.network.layers[self.network.tasks[i].tag], self.planners[i]) for i in sorted(small)]
        raise RefusedError(
            f"configuration {self.config.name!r} is too small:",
            [Refusal(layer.name, layer.kind, *planner.shortage()) for layer, planner in named],
        )

    # One walk.

    def _walk(self, keep: Keep, stop: int | None = None) -> Walk:
        """Places the tasks before index `stop` (all by default) in order."""
        held: dict[str, tuple[int, int]] = {}
        layers: list[PlacedLayer] = []
        cycles = 0.0
        for index in range(len(self.network.tasks) if stop is None else stop):
            layer, names = self._place(index, keep, held)
            if layer is None:
                return Walk(tuple(layers), index, names, cycles)
            layers.append(layer)
            cycles += layer.plan.cycles
            for name, _ in layer.fetched:
                size = self.network.values[name].size
                cycles += size / self.config.memory.bytes_per_cycle + self.config.memory.latency
            for name in list(held):
                value = self.network.values[name]
                if value.uses[keep[name] - 1] <= index:
                    del held[name]
        return Walk(tuple(layers), None, (), cycles)

    def _place(
        self, index: int, keep: Keep, held: dict[str, tuple[int, int]]
    ) -> tuple[PlacedLayer | None, tuple[str, ...]]:
        """Places one layer; adds its output and fetched inputs to `held` (name to interval)."""
        task = self.network.tasks[index]
        fetched = []
        for operand in task.inputs:
            value = self.network.values[operand.value]
            wanted = value.uses.index(index) < keep[value.name]
            if wanted and value.name not in held:
                at = self._space(held).take(value.size, set())
                if at is None:
                    return None, (*held, value.name)
                held[value.name] = (at, at + value.size)
                fetched.append((value.name, at))
        inputs = tuple(
            held[x.value][0] if x.value in held and self._kept(x.value, index, keep) else None for x in task.inputs
        )
        output = self.network.values[task.output.value]
        stored = self._outside(output, keep)
        address = None
        if keep[output.name]:
            address = self._output_address(index, keep, held, stored)
            if address is None:
                return None, (*held, output.name)
            held[output.name] = (address, address + output.size)
        setting = Setting((*inputs, address), stored, tuple(self._space(held).free))
        plan = self.planners[index].plan(setting)
        if plan is None:
            return None, tuple(held)
        return PlacedLayer(plan, setting, tuple(fetched)), ()

    def _kept(self, name: str, index: int, keep: Keep) -> bool:
        return self.network.values[name].uses.index(index) < keep[name]

    def _output_address(self, index: int, keep: Keep, held: dict[str, tuple[int, int]], stored: bool) -> int | None:
        """A new block, or the block of an input that is not needed any more (where transfers do not suffer)."""
        task = self.network.tasks[index]
        space = self._space(held)
        size = task.output.layout.size
        mine = [x for x in task.inputs if x.value in held]
        over = None
        if not isinstance(task, ConvTask) and task.in_place:
            for x in mine:
                last = self.network.values[x.value].uses[keep[x.value] - 1]
                if last == index and x.layout == task.output.layout:
                    over = held[x.value][0]
        if over is not None and not stored:
            return over
        avoid = set().union(*(space.banks(held[x.value][0], x.layout.size) for x in mine))
        at = space.take(size, avoid)
        return over if at is None else at

    def _space(self, held: dict[str, tuple[int, int]]) -> FreeSpace:
        return FreeSpace(self.config.activation_bytes, self.config.bank_bytes, held.values())
