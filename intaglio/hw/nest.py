"""Nested loops: their counters, and the addresses and offsets that are stepped at their ends."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from intaglio.hw.pipeline import delay


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
    restart, this one restarts, or which moves as Nest's `again` says."""

    when: tuple[Flag | str, ...]
    short: Any
    usual: Any


class Walk(NamedTuple):
    """A value that loops step."""

    now: Any
    """Its value in the present turns; from a register."""
    next: Any
    """Its value in the next cycle; of an Ahead, from a register, its value after the next move."""


class Turns:
    """The ends of the turns of a nest's loops, in a cycle of their own or some cycles later, and what is stepped at them."""

    def __init__(
        self, m: Module, name: str, restart: Any, turns: dict[str, Value], ends: Value, last: dict[str, Signal]
    ) -> None:
        """turns: by loop, innermost first."""
        self._m, self._name, self._restart = m, name, Value.cast(restart)
        self._loops = list(turns)
        self.turns, self.ends, self.last = turns, ends, last

    def later(self) -> Turns:
        """The same in the next cycle, from registers: what is walked by it lags, and lies behind no loop's decisions."""
        return Turns(
            self._m,
            f"{self._name}_later",
            delay(self._m, self._restart, 1, f"{self._name}_restart"),
            {loop: delay(self._m, turn, 1, f"{self._name}_{loop}_turns") for loop, turn in self.turns.items()},
            delay(self._m, self.ends, 1, f"{self._name}_ends"),
            {loop: delay(self._m, last, 1, f"{self._name}_{loop}_last") for loop, last in self.last.items()},
        )

    def count(self, loop: str, bits: int) -> Value:
        """Turns of the loop before the present one; from a register."""
        return self.walk(loop, bits, 0, **{loop: 1}).now

    def walk(self, name: str, shape: Any, start: Any, **steps: Any) -> Walk:
        """A value that is `start` in the first turns. steps: by how much a turn of each of these loops steps it; what
        the loops inside of that one added is taken back. A turn of a loop around all of them sets it back to `start`,
        as that is then. start: a value, or a Walk of a nest around this one, in whose every move this one restarts.

        Each loop that steps has a register, with the value at the beginning of its present turn."""
        return self._walk(self._restart, name, shape, start, steps)

    def _walk(self, restart: Value, name: str, shape: Any, start: Any, steps: dict[str, Any]) -> Walk:
        m = self._m
        turns = [*(self.turns[loop] for loop in self._loops), self.ends]
        levels = sorted(self._loops.index(loop) for loop in steps)
        # They mean nothing before the first restart.
        registers = {
            at: Signal(shape, name=f"{self._name}_{name}_of_{self._loops[at]}", reset_less=True) for at in levels
        }
        now = registers[levels[0]]
        following = Signal(shape, name=f"{self._name}_{name}_next")
        m.d.comb += following.eq(now)
        begin = start if isinstance(start, Walk) else Walk(start, start)
        with m.If(restart):
            m.d.comb += following.eq(begin.next)
        with m.Elif(turns[levels[-1] + 1]):
            m.d.comb += following.eq(begin.now)
        for at in reversed(range(levels[0], levels[-1] + 1)):
            base = next(level for level in levels if level >= at)
            with m.Elif(turns[at]):
                m.d.comb += following.eq(registers[base] + (steps[self._loops[at]] if base == at else 0))
        m.d.sync += now.eq(following)
        for at in levels[1:]:
            with m.If(restart | turns[at]):
                m.d.sync += registers[at].eq(following)
        return Walk(now, following)


class Nest(Turns):
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

    def __init__(
        self, m: Module, name: str, advance: Any, restart: Any, settled: bool = True, again: Any = None, **loops: Any
    ):
        """advance, restart: 1 bit each; after restart the first turn of all follows, whether or not the cycle advances.
        Needed before the first turn. again: 1 bit, the moves of a nest around this one after its ends: walks begin anew where
        that one's stand. One whose flags are used moves in the cycle of an end, or in a restart. loops: innermost
        first, each with its number of turns, at least 1, or an Either, or a Last. Numbers are constant from the cycle
        before restart on, or with settled=False from restart on. name: of the registers, with the loop's."""
        last = {loop: Signal(name=f"{name}_last_{loop}") for loop in loops}
        turns: dict[str, Value] = {}
        turn = advance = Value.cast(advance)
        for at, loop in enumerate(loops, 1):
            turns[loop] = turn
            turn = Signal(name=f"{name}_{loop}_ends")
            # Of all loops inside at once: loop by loop the ends would lie behind each other.
            m.d.comb += turn.eq(advance & Cat(list(last.values())[:at]).all())
        super().__init__(m, name, Value.cast(restart) | (0 if again is None else again), turns, turn, last)
        self._settled, self._begins, self._moved_at_end = settled, Value.cast(restart), again is not None
        self.flags: dict[str, Flag] = {}
        self.final = Signal(name=f"{name}_final")
        m.d.comb += self.final.eq(Cat(self.last.values()).all())
        self._first: dict[str, Value] = {}
        self._turned: dict[str, Value] = {}
        for loop in reversed(loops):
            number = loops[loop]
            if isinstance(number, Last):
                m.d.comb += self.last[loop].eq(number.value)
            else:
                self._count_ahead(loop, number)

    def _count_ahead(self, loop: str, turns: Any) -> None:
        """`last` as a register: whether the turn that follows is the last one is found while the present one is under way,
        for each way in which it may follow, so that the loops' ends only choose."""
        m, last, turned = self._m, self.last[loop], self.turns[loop]
        following = self._walk(self._begins, f"{loop}_turn", max(2, _bits(turns)), 2, {loop: 1}).now
        at = self._loops.index(loop)

        def on_restart(flag: Flag | str) -> Value:
            return self._first[flag] if isinstance(flag, str) else flag.moved

        def on_end(flag: Flag | str) -> Value:
            if isinstance(flag, str):
                return self._after(flag, at + 1)
            ends = Cat(self.last[name] for name in self._loops[at + 1 :]).all()
            return Mux(ends, flag.moved, flag.now) if self._moved_at_end else flag.now

        def inside(flag: Flag | str) -> Value:
            return self.last[flag] if isinstance(flag, str) else flag.now

        first, again, later = (Signal(name=f"{self._name}_last_{loop}_{way}") for way in ("first", "again", "later"))
        one = _each(turns, self._is_one)
        m.d.comb += [
            first.eq(_chosen(one, on_restart)),
            again.eq(_chosen(one, on_end)),
            later.eq(_chosen(_each(turns, lambda number: following == self._held(loop, number)), inside)),
        ]
        self._first[loop], self._turned[loop] = first, Mux(last, again, later)
        with m.If(self._begins):
            m.d.sync += last.eq(first)
        with m.Elif(turned):
            m.d.sync += last.eq(self._turned[loop])
        self.flags[loop] = Flag(last, Mux(self._begins, first, self._after(loop, 0)))

    def _held(self, loop: str, turns: Any) -> Value:
        """A number of turns, from a register: constant since the cycle before the first turn."""
        if isinstance(turns, int):
            return Value.cast(turns)
        return delay(self._m, turns, 1, f"{self._name}_{loop}_number", reset_less=True)

    def _is_one(self, turns: Any) -> Value:
        """1 bit: a number of turns is one; from a register where numbers are settled."""
        is_one = Value.cast(turns) == 1
        if isinstance(turns, int) or not self._settled:
            return is_one
        single = Signal(name=f"{self._name}_single")
        self._m.d.sync += single.eq(is_one)
        return single

    def _after(self, loop: str, inner: int) -> Value:
        """The loop's `last` after a turn of the loop numbered `inner`, which is inside of it or the same."""
        between = Cat(self.last[name] for name in self._loops[inner : self._loops.index(loop)])
        return Mux(between.all(), self._turned[loop], self.last[loop])


class Ahead:
    """A nest a move ahead of what it shows: what the next turns will be stands in registers while the present ones last, so
    that a nest inside may restart from it.

    What the caller reads, by the loop's name where it is one of each:

    last, final : 1 bit
        As a Nest's, of the turns that are shown; from registers.
    next_final : 1 bit
        `final` after the next move; from registers.
    flags : Flag
        As last, for nests inside.
    turns, ends : 1 bit
        As a Nest's, of `advance`; in a `begin` low.

    No flow control but begin and advance.
    """

    def __init__(self, m: Module, name: str, prepare: Any, begin: Any, advance: Any, apart: int = 1, **loops: Any):
        """prepare: 1 bit, at least a cycle before `begin`, from which on the loops' numbers are constant. begin: 1 bit; the
        first turns are shown from the next cycle on. advance: 1 bit; the next ones are. apart: of begin and advances, in
        cycles at least: how long the registers take to what comes after the next turns. loops, name: as a Nest's."""
        self._m, self._name = m, name
        self._moves = Value.cast(begin) | advance
        moved = delay(m, self._moves, apart - 1, f"{name}_moved")
        self._next: Turns = (nest := Nest(m, f"{name}_next", moved, prepare, settled=False, **loops))
        self.last = {loop: self._shown(f"last_{loop}", last) for loop, last in nest.last.items()}
        self.final, self.next_final = self._shown("final", nest.final), nest.final
        self.flags = {loop: Flag(last, nest.last[loop]) for loop, last in self.last.items()}
        self.turns: dict[str, Value] = {}
        turn = Value.cast(advance)
        for loop in loops:
            self.turns[loop] = turn
            turn = turn & self.last[loop]
        self.ends = turn

    def walk(self, name: str, shape: Any, start: Any, **steps: Any) -> Walk:
        """As a Nest's, but for `next`."""
        ahead = self._next.walk(name, shape, start, **steps).now
        return Walk(self._shown(name, ahead, reset_less=True), ahead)

    def later(self) -> Ahead:
        """The same in the next cycle, from registers, as Turns.later; without flags."""
        late = copy(self)
        late._name, late._next, late.flags = f"{self._name}_later", self._next.later(), {}
        late._moves = delay(self._m, self._moves, 1, f"{self._name}_moves")
        late.last = {loop: delay(self._m, last, 1, f"{self._name}_{loop}_last") for loop, last in self.last.items()}
        late.turns = {loop: delay(self._m, turn, 1, f"{self._name}_{loop}_turns") for loop, turn in self.turns.items()}
        late.final, late.ends = (
            delay(self._m, value, 1, f"{self._name}_{name}")
            for name, value in (("final", self.final), ("ends", self.ends))
        )
        return late

    def _shown(self, name: str, value: Value, reset_less: bool = False) -> Signal:
        shown = Signal.like(value, name=f"{self._name}_{name}", reset_less=reset_less)
        with self._m.If(self._moves):
            self._m.d.sync += shown.eq(value)
        return shown


def _bits(turns: Any) -> int:
    """Bits that a number of turns needs."""
    if isinstance(turns, Either):
        return max(_bits(turns.short), _bits(turns.usual))
    return turns.bit_length() if isinstance(turns, int) else len(turns)


def _each(turns: Any, found: Callable[[Any], Value]) -> Any:
    """The same numbers and conditions as `turns`, with what is found of each number."""
    if not isinstance(turns, Either):
        return found(turns)
    return Either(turns.when, _each(turns.short, found), _each(turns.usual, found))


def _chosen(values: Any, flag_of: Callable[[Flag | str], Value]) -> Value:
    """The one of the values that holds where the flags are as flag_of says."""
    if not isinstance(values, Either):
        return Value.cast(values)
    when = Cat(flag_of(flag) for flag in values.when).all()
    return Mux(when, _chosen(values.short, flag_of), _chosen(values.usual, flag_of))
