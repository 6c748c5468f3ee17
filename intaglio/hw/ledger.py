"""The counters, and the one function that says what each cycle was spent on."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.pipeline import delay
from intaglio.hw.ram import Collision, ram
from intaglio.hw.widths import index_bits
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Engine, token_bit
from intaglio.machine.limits import COUNTER_BITS, COUNTER_ROUND

_WORD = COUNTER_BITS // 2
CAUSES = (Counter.BUSY, Counter.WAIT_LOAD, Counter.WAIT_STORE, Counter.WAIT_COMMAND, Counter.FINISHING)


class StallCause(wiring.Component):
    """COMPUTE's activity of this cycle.

    Ports
    -----
    busy : In, 1 bit
        A command runs, its first and last cycles included.
    staged : In, 1 bit
        A whole command waits at COMPUTE.
    waits, available : In, 2 bits each
        The tokens that it waits for and those that are there (isa.token_bit).
    dispatched : In, 1 bit
        No command is left in the program.
    causes : Out, 1 bit for each of CAUSES, in their order
        Exactly one is high, in the same cycle (combinational).
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "busy": In(1),
                "staged": In(1),
                "waits": In(2),
                "available": In(2),
                "dispatched": In(1),
                "causes": Out(len(CAUSES)),  # in the order of CAUSES
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        missing = self.waits & ~self.available
        with m.If(self.busy):
            m.d.comb += self.causes[CAUSES.index(Counter.BUSY)].eq(1)
        with m.Elif(self.staged & missing[token_bit(Engine.COMPUTE, Engine.LOAD)]):
            m.d.comb += self.causes[CAUSES.index(Counter.WAIT_LOAD)].eq(1)
        with m.Elif(self.staged):
            m.d.comb += self.causes[CAUSES.index(Counter.WAIT_STORE)].eq(1)
        with m.Elif(self.dispatched):
            m.d.comb += self.causes[CAUSES.index(Counter.FINISHING)].eq(1)
        with m.Else():
            m.d.comb += self.causes[CAUSES.index(Counter.WAIT_COMMAND)].eq(1)
        return m


class Ledger(wiring.Component):
    """A counter of COUNTER_BITS for each member of Counter: a narrow one counts, and one adder for all moves what it has to
    the counter's two words in a memory, in turn: every COUNTER_ROUND cycles, in which no narrow one overflows.

    Ports
    -----
    increments : In, packed, widths[c] bits for counter c, in order
        What this cycle adds.
    run : In, 1 bit
        High while words may change; low for a cycle at least before it rises again, with a reset in between.
    asked : In, 1 bit
        `wanted` is to be shown, and stands until it is.
    wanted : In, index_bits(WORDS) bits
        The number of a word, that of 32 bits of the counters, lowest first: below WORDS.
    shown : Out, 1 bit
        One cycle: `word` is the one asked for. While run, 3 or 4 cycles after it was asked; otherwise only once a whole
        round has begun and ended after run fell, at most LONGEST cycles later.
    word : Out, 32 bits
        With shown: while run, as counted COUNTER_ROUND + 6 cycles ago or later, 0 before that; otherwise with all that was counted
        up to the cycle before run fell.
    """

    WORDS = 2 * len(Counter)
    LONGEST = 2 * COUNTER_ROUND + 9

    def __init__(self, widths: dict[Counter, int]):
        self._layout = data.StructLayout({c.name.lower(): widths[c] for c in Counter})
        super().__init__(
            {
                "increments": In(self._layout),
                "run": In(1),
                "asked": In(1),
                "wanted": In(index_bits(self.WORDS)),
                "shown": Out(1),
                "word": Out(_WORD),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Each step is two cycles, for the memory's words in turn: its port shows a word to the adder in the second of
        # the next step's, and in the first of them one to the reader.
        second, at, first_round = Signal(), Signal(index_bits(self.WORDS)), Signal(init=1)
        ends = second & (at == self.WORDS - 1)
        m.d.sync += second.eq(~second)
        with m.If(second):
            m.d.sync += at.eq(at + 1)
        with m.If(ends):
            m.d.sync += [at.eq(0), first_round.eq(0)]
        total, addend = Signal(_WORD + 1), Signal(_WORD)
        collected = self._collected(m, second & ~at[0], at[1:])
        with m.If(second):
            m.d.sync += addend.eq(Mux(at[0], total[_WORD], collected))

        words = ram(m, "words", shape=_WORD, depth=1 << len(at), read_latency=1, collision=Collision.UNDEFINED)
        old = Signal(_WORD)  # 0 instead of what an earlier run left
        m.d.sync += old.eq(Mux(first_round, 0, words.read_data))
        with m.If(~second):
            m.d.sync += total.eq(old + addend)
        written = [Cat(1, at)]
        for step in range(2):
            written.append(Signal(1 + len(at), name=f"written{step}"))
            with m.If(second):
                m.d.sync += written[-1].eq(written[-2])
        m.d.comb += [
            words.read_en.eq(1),
            words.read_address.eq(Mux(second, self.wanted, at)),
            words.write_en.eq(~second & written[-1][0]),
            words.write_address.eq(written[-1][1:]),
            words.write_data.eq(total),
            self.word.eq(old),
        ]
        self._show(m, second, ends)
        return m

    def _collected(self, m: Module, taken: Value, which: Value) -> Value:
        """The narrow counter of that number, which begins anew in a cycle with `taken`."""
        held = Signal(self._layout)
        m.d.sync += held.eq(self.increments)
        narrow = []
        for c in Counter:
            increment = held[c.name.lower()]
            most = COUNTER_ROUND * ((1 << len(increment)) - 1)
            assert most < 1 << _WORD, f"{c.name} would not fit a word"
            count = Signal(range(most + 1), name=c.name.lower())
            m.d.sync += count.eq(count + increment)
            with m.If(taken & (which == c)):
                m.d.sync += count.eq(increment)
            narrow.append(count)
        collected = Signal(max(len(count) for count in narrow))
        with m.Switch(which):
            for c in Counter:
                with m.Case(c):
                    m.d.comb += collected.eq(narrow[c])
        return collected

    def _show(self, m: Module, second: Value, ends: Value) -> None:
        """The reader's turn, which comes once nothing is left in the narrow counters, or while they run."""
        quiet, settled, asked = Signal(), Signal(), Signal()
        with m.If(self.run):
            m.d.sync += [quiet.eq(0), settled.eq(0)]
        with m.Elif(ends):
            m.d.sync += [quiet.eq(1), settled.eq(quiet)]
        ready = self.run | delay(m, settled, 4, "settled")  # the round's last words are written
        with m.If(second):
            m.d.sync += asked.eq(self.asked & ready & ~self.shown)
        m.d.comb += self.shown.eq(second & asked)


class Watchdog(wiring.Component):
    """Bounds every wait.

    Ports
    -----
    run, progress : In, 1 bit each
    limit : In, 32 bits
        Cycles; 0 never expires. Stable from the cycle before run on.
    expired : Out, 1 bit
        High in the `limit`th cycle in a row with run and without progress (combinational).
    """

    def __init__(self) -> None:
        super().__init__({"run": In(1), "progress": In(1), "limit": In(32), "expired": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        idle, last, bounded = Signal(32), Signal(32), Signal()
        m.d.sync += [last.eq(self.limit - 1), bounded.eq(self.limit != 0)]
        m.d.comb += self.expired.eq(self.run & ~self.progress & bounded & (idle == last))
        with m.If(self.progress | ~self.run):
            m.d.sync += idle.eq(0)
        with m.Else():
            m.d.sync += idle.eq(idle + 1)
        return m
