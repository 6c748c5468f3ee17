"""Registers in a row: the one way in which modules delay a value to meet another."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal


def delay(m: Module, value: Any, cycles: int, name: str, reset_less: bool = False) -> Any:
    """value (a Value or a data.View) as it was `cycles` >= 0 cycles ago; 0 before the first. reset_less: for what means
    nothing by itself, without a valid bit beside it; a reset leaves it alone. Not inside of an If, which would hold the
    registers."""
    assert not (cycles and m.domain._depth), f"{name} would be delayed only where a condition holds"
    for i in range(cycles):
        register = Signal(value.shape(), name=f"{name}_d{i + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value


def register(m: Module, port: Any, value: Any, cycles: int, name: str, reset_less: bool = False) -> None:
    """Makes port, a Signal, show value as it was `cycles` >= 1 cycles ago; port is the last register."""
    m.d.sync += port.eq(delay(m, value, cycles - 1, name, reset_less))


class Pipeline:
    """Registers in named stages, one cycle each; a value follows by itself from the stage that made it to the one that
    reads it.

    A stage that makes nothing delays all that pass it, so a pipeline is lengthened where its stages are listed.
    """

    def __init__(self, m: Module, stages: Sequence[str], **entering: Any):
        """entering: values by name, as they are before the first stage."""
        # A module of their own, so that a value that is read inside of an If is delayed outside of it.
        m.submodules.delays = self._delays = Module()
        self._at = {stage: at for at, stage in enumerate(stages, 1)}
        self._made = {name: (0, [value]) for name, value in entering.items()}

    def read(self, name: str, stage: str) -> Any:
        """A value, as the logic before the registers of `stage` sees it. KeyError for a name that nothing made;
        ValueError for one that is made in this stage or a later one."""
        made, copies = self._made[name]
        if self._at[stage] <= made:
            raise ValueError(f"{name} is made in stage {made}, the logic before {stage} comes earlier")
        for at in range(made + len(copies), self._at[stage]):
            copies.append(delay(self._delays, copies[-1], 1, f"{name}_{at}", reset_less=True))
        return copies[self._at[stage] - 1 - made]

    def make(self, name: str, shape: Any, stage: str) -> Any:
        """A value's register in `stage`, for the caller to drive; from there on `read` gives it for that name."""
        register = Signal(shape, name=name if name not in self._made else f"{name}_{stage}", reset_less=True)
        self.enter(name, register, stage)
        return register

    def enter(self, name: str, value: Any, stage: str) -> None:
        """value, whose registers the caller has, is `name` from those of `stage` on."""
        self._made[name] = (self._at[stage], [value])

    def between(self, first: str, last: str) -> int:
        """Cycles from the registers of one stage to those of a later one."""
        return self._at[last] - self._at[first]
