"""A walk over the layers, kept so that another one that differs in a few layers has to be made in these alone.

A walk made from another shares what is before the first change, and what is behind the point from which on both have the same on
chip. Estimates add up as whole parts of a cycle, so that sums do not depend on their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from intaglio.mapper.tiling.estimate import NO_SPARE, Spare

Held = dict[str, tuple[int, int]]
"""Intervals of the values on chip, by name."""
PARTS = 1 << 20
"""Parts of a cycle."""

Layer = TypeVar("Layer")


class State(NamedTuple):
    """The state that a layer meets: the values on chip, and what the layer before leaves for the first weights."""

    held: Held
    spare: Spare

    def same(self, other: State) -> bool:
        """True where layers behind do the same, and choose in the same order."""
        return self.spare == other.spare and self.held == other.held and [*self.held] == [*other.held]


class Step(NamedTuple, Generic[Layer]):
    """One layer, what it meets, and its estimated parts of a cycle."""

    layer: Layer
    before: State
    cost: int


NOTHING = State({}, NO_SPARE)


class Walk(Generic[Layer]):
    """failed: index of the task (or the chain's first) that does not fit, or None. held: values on chip there. after: the state
    behind the last layer placed."""

    def __init__(
        self,
        middle: list[Step[Layer]],
        after: State,
        failed: int | None = None,
        held: tuple[str, ...] = (),
        base: Walk[Layer] | None = None,
        first: int = 0,
        rest: int | None = None,
    ):
        """middle: what was placed. base, first: a walk with which the steps before number `first` are shared; rest: number of its
        first step that follows on the middle, all behind it shared, too; None for none."""
        self.failed, self.held, self.after = failed, held, after
        self._middle, self._base, self._first, self._rest = middle, base, first, rest
        self._cost: int | None = None

    @property
    def steps(self) -> list[Step[Layer]]:
        """All steps, put together once, when another walk begins with this one."""
        if self._base is not None:
            shared, self._cost = self._base.steps, self.cost
            behind = [] if self._rest is None else shared[self._rest :]
            self._middle, self._base = [*shared[: self._first], *self._middle, *behind], None
        return self._middle

    @property
    def layers(self) -> Sequence[Layer]:
        """The layers that are placed."""
        return [step.layer for step in self.steps]

    @property
    def cost(self) -> int:
        """Estimate of the layers placed, in PARTS of a cycle."""
        if self._cost is None:
            own = sum(step.cost for step in self._middle)
            if self._base is not None:
                replaced = self._base.steps[self._first : self._rest]
                own += self._base.cost - sum(step.cost for step in replaced)
            self._cost = own
        return self._cost

    @property
    def cycles(self) -> float:
        """Estimate of the layers placed."""
        return self.cost / PARTS

    def state(self, number: int) -> State:
        """The state that step `number` meets, or would meet where the last one is the one before."""
        return self.steps[number].before if number < len(self.steps) else self.after
