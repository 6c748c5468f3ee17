"""Nested loops: their counters, and the addresses and offsets that are stepped at their ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, Value


@dataclass(frozen=True)
class Last:
    """A loop that counts nothing: `value`, 1 bit, is high in its last turn. Never, for one without an end."""

    value: Any = 0


class Flag(NamedTuple):
    """A loop's `last`. now: from a register. moved: its value once the nest has restarted, where it does, or advanced: the
    advance itself plays no part in it, so that it may come late."""

    now: Value
    moved: Value


@dataclass(frozen=True)
class Either:
    """A number of turns that is `short` where all of `when` are high, else `usual`; both may be such numbers again. when:
    flags of loops around that one: of the same nest by their names; of another nest, in whose every move, advance or
    restart, this one restarts."""

    when: tuple[Flag | str, ...]
    short: Any
    usual: Any


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

    last : 1 bit
        The loop's present turn is its last one; from a register, unless it is a Last.
    flags : Flag
        The same, for other nests; not of a Last.
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
        Needed before the first turn. loops: innermost first, each with its number of turns, at least 1, or an Either, or
        a Last. Numbers are constant from restart on. name: of the registers, with the loop's."""
        self._m, self._name, self._restart = m, name, Value.cast(restart)
        self._loops = list(loops)
        self.last = {loop: Signal(name=f"{name}_last_{loop}") for loop in loops}
        self.flags: dict[str, Flag] = {}
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
        self._first: dict[str, Value] = {}
        self._turned: dict[str, Value] = {}
        for loop in reversed(loops):
            turns = loops[loop]
            if isinstance(turns, Last):
                m.d.comb += self.last[loop].eq(turns.value)
            else:
                self._count_ahead(loop, turns)

    def _count_ahead(self, loop: str, turns: Any) -> None:
        """`last` as a register: whether the turn that follows is the last one is found while the present one is under way,
        for each way in which it may follow, so that the loops' ends only choose."""
        m, last, turned = self._m, self.last[loop], self.turns[loop]
        following = self.walk(f"{loop}_turn", max(2, _bits(turns)), 2, **{loop: 1}).now
        at = self._loops.index(loop)

        def on_restart(flag: Flag | str) -> Value:
            return self._first[flag] if isinstance(flag, str) else flag.moved

        def on_end(flag: Flag | str) -> Value:
            return self._after(flag, at + 1) if isinstance(flag, str) else flag.now

        def inside(flag: Flag | str) -> Value:
            return self.last[flag] if isinstance(flag, str) else flag.now

        first, again, later = (Signal(name=f"{self._name}_last_{loop}_{way}") for way in ("first", "again", "later"))
        m.d.comb += [
            first.eq(_is(turns, 1, on_restart)),
            again.eq(_is(turns, 1, on_end)),
            later.eq(_is(turns, following, inside)),
        ]
        self._first[loop], self._turned[loop] = first, Mux(last, again, later)
        with m.If(self._restart):
            m.d.sync += last.eq(first)
        with m.Elif(turned):
            m.d.sync += last.eq(self._turned[loop])
        self.flags[loop] = Flag(last, Mux(self._restart, first, self._after(loop, 0)))

    def _after(self, loop: str, inner: int) -> Value:
        """The loop's `last` after a turn of the loop numbered `inner`, which is inside of it or the same."""
        between = Cat(self.last[name] for name in self._loops[inner : self._loops.index(loop)])
        return Mux(between.all(), self._turned[loop], self.last[loop])

    def count(self, loop: str, bits: int) -> Value:
        """Turns of the loop before the present one; from a register."""
        return self.walk(loop, bits, 0, **{loop: 1}).now

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


def _bits(turns: Any) -> int:
    """Bits that a number of turns needs."""
    if isinstance(turns, Either):
        return max(_bits(turns.short), _bits(turns.usual))
    return turns.bit_length() if isinstance(turns, int) else len(turns)


def _is(turns: Any, turn: Any, flag_of: Callable[[Flag | str], Value]) -> Value:
    """1 bit: the loop has so many turns where the flags are as flag_of says."""
    if not isinstance(turns, Either):
        return Value.cast(turn) == turns
    when = Cat(flag_of(flag) for flag in turns.when).all()
    return Mux(when, _is(turns.short, turn, flag_of), _is(turns.usual, turn, flag_of))
