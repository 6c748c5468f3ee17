"""Objectives by which plans are chosen: cycles, energy or their product; energy is counts of actions times prices that are passed in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.counters import ELEMENTS, Counter
from intaglio.machine.isa import Command

GOALS = ("cycles", "energy", "edp")
"""Fewest cycles, then least energy; least energy, then fewest cycles; least product of the two."""
ACTIONS = frozenset({*(c.name.lower() for c in Counter), *ELEMENTS})
"""Actions that have a price: the ledger's counters, in lower case, and what it does not tell apart (counters.py)."""
FJ_PER_PJ = 1000

Count = Callable[[Config, Sequence[Command]], Mapping[str, int]]
"""Number of each of ACTIONS that commands take together, exact; those of time are 0."""


@dataclass(frozen=True)
class Cost:
    """cycles: estimated or exact. energy: whole fJ, so that what costs the same compares as equal however it is summed."""

    cycles: float
    energy: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cycles + other.cycles, self.energy + other.energy)


@dataclass(frozen=True)
class Objective:
    """goal: of GOALS. prices: pJ of one of each of ACTIONS, 0 for one that is left out; "cycles" is a cycle's leakage and
    clock. count: counts what commands do. Raises InputError for a goal that is none, an action that is none, or a price
    that is negative or not finite."""

    goal: str
    prices: Mapping[str, float]
    count: Count

    def __post_init__(self) -> None:
        check_goal(self.goal)
        for action, price in self.prices.items():
            if action not in ACTIONS:
                known = ", ".join(sorted(ACTIONS))
                raise InputError(f"prices: {action!r} is no action that the hardware counts; the actions are {known}")
            if not (math.isfinite(price) and price >= 0):
                raise InputError(f"prices: {action} = {price}: an action costs a finite number of pJ, 0 or more")

    def price(self, action: str) -> float:
        """pJ."""
        return self.prices.get(action, 0.0)

    def energy(self, config: Config, commands: Sequence[Command], cycles: float) -> float:
        """pJ of commands that take so many cycles."""
        amounts = self.count(config, commands)
        done = sum(amounts[action] * price for action, price in self.prices.items() if action in amounts)
        return done + cycles * self.price("cycles")

    def key(self, cost: Cost) -> tuple[float, float]:
        """Sort key: smaller is better."""
        if self.goal == "energy":
            return cost.energy, cost.cycles
        if self.goal == "edp":
            return cost.energy * cost.cycles, cost.cycles
        return cost.cycles, cost.energy


def check_goal(goal: str) -> None:
    if goal not in GOALS:
        raise InputError(f"objective {goal!r} is none; choose {', '.join(GOALS[:-1])} or {GOALS[-1]}")
