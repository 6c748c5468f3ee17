"""Nested loops: their counters, and the addresses and offsets that are stepped at their ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Signal, Value


@dataclass(frozen=True)
class Last:
    """A loop that counts nothing: `value`, 1 bit, is high in its last turn. Never, for one without an end."""

    value: Any = 0


class Walk(NamedTuple):
    """A value that loops step."""

    now: Any
    """Its value in the present turns; from a register."""
    next: Any
    """Its value in the next cycle."""


class Nest:
    """Loops around each other, one innermost turn in every cycle with `advance`; their registers are the caller's
    module's.

    What the caller reads, by the loop's name where it is one of each:

    counts : unsigned, as wide as the loop's number of turns
        Turns before the present one; not of a Last.
    last : 1 bit
        The loop's present turn is its last one.
    turns : 1 bit
        One turn of the loop ends in this cycle, and the last one of every loop inside of it.
    ends : 1 bit
        The last turn of all ends in this cycle; the first turn of all follows.
    final : 1 bit
        The present turns are the last ones of all.

    No flow control but advance. What a turn's end steps is stepped in the next cycle.
    """

    def __init__(self, m: Module, name: str, advance: Any, restart: Any, **loops: Any):
        """advance, restart: 1 bit each; after restart the first turn of all follows, whether or not the cycle advances.
        loops: innermost first, each with its number of turns, at least 1, or a Last. Both may differ from turn to turn
        of the loops around it. name: of the registers, with the loop's."""
        self._m, self._name, self._restart = m, name, Value.cast(restart)
        self._loops = list(loops)
        self.last = {loop: Signal(name=f"{name}_last_{loop}") for loop in loops}
        self.turns: dict[str, Value] = {}
        turn = Value.cast(advance)
        for loop in loops:
            self.turns[loop] = turn
            whole = Signal(name=f"{name}_{loop}_ends")
            m.d.comb += whole.eq(turn & self.last[loop])
            turn = whole
        self.ends = turn
        self.final = Signal(name=f"{name}_final")
        m.d.comb += self.final.eq(Cat(self.last.values()).all())
        self.counts: dict[str, Value] = {}
        for loop, turns in loops.items():
            if isinstance(turns, Last):
                m.d.comb += self.last[loop].eq(turns.value)
            else:
                bits = (turns - 1).bit_length() if isinstance(turns, int) else len(turns)
                count = self.counts[loop] = self.walk(loop, bits, 0, **{loop: 1}).now
                m.d.comb += self.last[loop].eq(count == turns - 1)

    def walk(self, name: str, shape: Any, start: Any, **steps: Any) -> Walk:
        """A value that is `start` in the first turns. steps: by how much a turn of each of these loops steps it; what
        the loops inside of that one added is taken back. A turn of a loop around all of them sets it back to `start`,
        as that is then.

        Each loop that steps has a register, with the value at the beginning of its present turn."""
        m, restart = self._m, self._restart
        turns = [*(self.turns[loop] for loop in self._loops), self.ends]
        levels = sorted(self._loops.index(loop) for loop in steps)
        registers = {at: Signal(shape, name=f"{self._name}_{name}_of_{self._loops[at]}") for at in levels}
        now = registers[levels[0]]
        following = Signal(shape, name=f"{self._name}_{name}_next")
        m.d.comb += following.eq(now)
        with m.If(restart | turns[levels[-1] + 1]):
            m.d.comb += following.eq(start)
        for at in reversed(range(levels[0], levels[-1] + 1)):
            base = next(level for level in levels if level >= at)
            with m.Elif(turns[at]):
                m.d.comb += following.eq(registers[base] + (steps[self._loops[at]] if base == at else 0))
        m.d.sync += now.eq(following)
        for at in levels[1:]:
            with m.If(restart | turns[at]):
                m.d.sync += registers[at].eq(following)
        return Walk(now, following)
