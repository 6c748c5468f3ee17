"""Schedules: the plans of a network's layers and chains in order, and what a search for one prefers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from intaglio.mapper.fusion.chain import Chain
from intaglio.mapper.fusion.chain_plan import ChainPlan
from intaglio.mapper.fusion.chain_planner import ChainPlanner
from intaglio.mapper.schedule.walks import Walk
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.groups import Groups
from intaglio.mapper.tiling.buffers import Setting
from intaglio.mapper.tiling.estimate import Spare
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.mapper.tiling.layer_planner import LayerPlanner

Keep = dict[str, int]


@dataclass(frozen=True)
class Placed:
    """The plan of a layer, or of a chain of several, in its setting. planner: knows the others. fetched: values to load
    whole before it, with their addresses; left: values in parts, to store whole behind it."""

    chain: Chain
    planner: LayerPlanner | ChainPlanner
    plan: LayerPlan | ChainPlan
    setting: Setting
    fetched: tuple[tuple[str, int], ...]
    left: tuple[tuple[str, int], ...] = ()

    @property
    def convolutions(self) -> list[tuple[ConvTask, Groups]]:
        """Its tasks that have weights."""
        groups = (self.plan.groups,) if isinstance(self.plan, LayerPlan) else self.plan.groups
        pairs = zip(self.chain.tasks, groups, strict=True)
        return [(conv, g) for task, g in pairs if (conv := task.weighted) is not None and g is not None]


@dataclass(frozen=True)
class Schedule:
    """layers: in order, one for each task or chain. outside: values that have a place in external memory. ahead: COMPUTE commands
    that a LOAD passes at most, to be there in time (ahead.py)."""

    layers: tuple[Placed, ...]
    outside: frozenset[str]
    cycles: float
    ahead: int = 2

    def with_layers(self, layers: Sequence[Placed]) -> Schedule:
        """With other plans of its layers."""
        return replace(self, layers=tuple(layers), cycles=sum(layer.plan.cycles.estimate for layer in layers))

    def with_layer(self, i: int, layer: Placed) -> Schedule:
        return self.with_layers((*self.layers[:i], layer, *self.layers[i + 1 :]))


class Structure(NamedTuple):
    """Decisions of a search beside each layer's plan. spans: tasks that run by themselves or as a chain, in order; keep: of each
    value the number of its uses that find it on chip."""

    spans: list[range]
    keep: Keep


class ByCycles:
    """Preference for fewer estimated cycles."""

    def plan(
        self, chain: Chain, planner: LayerPlanner | ChainPlanner, setting: Setting, spare: Spare
    ) -> LayerPlan | ChainPlan | None:
        """The plan of a layer or chain behind one that leaves so much; None where nothing fits."""
        return planner.plan(setting, spare)

    def better(self, walk: Walk[Placed], than: Walk[Placed]) -> bool:
        """True where one of two walks over all layers is better than the other."""
        return walk.cycles < than.cycles
