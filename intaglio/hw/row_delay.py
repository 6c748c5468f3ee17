"""Delay lines between the array's rows: DEPTHWISE's weights and control take programmed cycles from row to row."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.pipeline import delay
from intaglio.hw.ram import Collision, ram
from intaglio.hw.widths import index_bits
from intaglio.machine.isa import COMMAND_BITS, Opcode


class LinkDelay(data.StructLayout):
    """One link, row r to r + 1: `through` where it adds no cycle, else the address of the word that leaves the line
    now; `fresh` is low while that word is older than the command. Where `through` is high, so is fresh."""

    def __init__(self, depth: int):
        super().__init__({"through": 1, "fresh": 1, "address": unsigned(index_bits(depth))})


class DelaySchedule(data.StructLayout):
    """The state that all delay lines share in a cycle: whether a word enters them and where, and links[r] of row r to r + 1 (one
    that means nothing where there is one row)."""

    def __init__(self, rows: int, depth: int):
        links = data.ArrayLayout(LinkDelay(depth), max(1, rows - 1))
        super().__init__({"write": 1, "address": unsigned(index_bits(depth)), "links": links})


class RowDelays(wiring.Component):
    """Gives the schedule of a DEPTHWISE command's delays.

    Ports
    -----
    command : In, 1024 bits
        Stable while active; the schedule is the command's from the second cycle after it came.
    active : In, 1 bit
        A DEPTHWISE runs; low for a cycle at least between two.
    schedule : Out, DelaySchedule
        Every link is `through` while not active. Of `active` in the cycle before; from registers.

    Beside the register of the row above a link takes tap_delay - 1 cycles, or patch_delay - 1 where a row of the patch
    ends: 0 to depth, a power of two of at least 2. No flow control.
    """

    def __init__(self, rows: int, depth: int):
        self.rows, self.depth = rows, depth
        super().__init__({"command": In(COMMAND_BITS), "active": In(1), "schedule": Out(DelaySchedule(rows, depth))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        f = CommandView(self.command, Opcode.DEPTHWISE)
        at = Signal(ceil_log2(self.depth))
        age = Signal(range(self.depth + 1))  # words that entered since the command began
        active = delay(m, self.active, 1, "active")
        next_at, next_age = Signal.like(at), Signal.like(age)
        m.d.comb += next_at.eq(at + active)
        with m.If(active):
            m.d.comb += next_age.eq(Mux(age == self.depth, age, age + 1))
        m.d.sync += [at.eq(next_at), age.eq(next_age)]
        m.d.comb += [self.schedule.write.eq(active), self.schedule.address.eq(at)]

        choices = {}
        for name in ("tap_delay", "patch_delay"):
            choice = Signal(LinkDelay(self.depth), name=name)
            more = Signal.like(age, name=f"{name}_more")
            m.d.comb += [
                more.eq(f[name] - 1),
                choice.through.eq(~self.active | (f[name] == 1)),
                choice.fresh.eq(~self.active | (next_age >= more)),
                choice.address.eq(next_at - more),
            ]
            choices[name] = choice.as_value()
        for r in range(self.rows - 1):
            # Row r + 1 begins a row of the patch where patch_cols divides it.
            divisors = [d for d in range(1, r + 2) if (r + 1) % d == 0]
            boundary = Signal(name=f"boundary{r + 1}")
            m.d.sync += boundary.eq(Cat(f["patch_cols"] == d for d in divisors).any())
            link = Signal(LinkDelay(self.depth), name=f"link{r}", init={"through": 1, "fresh": 1})
            m.d.sync += link.eq(Mux(boundary, choices["patch_delay"], choices["tap_delay"]))
            m.d.comb += self.schedule.links[r].eq(link)
        return m


class DelayLine(wiring.Component):
    """The delay line of one link: one memory for all parts of its word.

    Ports
    -----
    word : In, `parts` of `width` bits
        Every cycle.
    schedule : In, DelaySchedule
    out : Out, `parts` of `width` bits
        What entered as many cycles ago as schedule.links[link] says, which where `fresh` is low an older command left
        there; combinational where that is none.

    No flow control.
    """

    def __init__(self, width: int, parts: int, rows: int, depth: int, link: int):
        self._parts, self._depth, self._link = parts, depth, link
        super().__init__(
            {
                "word": In(width).array(parts),
                "schedule": In(DelaySchedule(rows, depth)),
                "out": Out(width).array(parts),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link = self.schedule.links[self._link]
        width = len(self.word[0])
        shape = unsigned(width * self._parts)
        mem = ram(m, "memory", shape=shape, depth=self._depth, read_latency=0, collision=Collision.OLD)
        m.d.comb += [
            mem.write_en.eq(self.schedule.write),
            mem.write_address.eq(self.schedule.address),
            mem.write_data.eq(Cat(self.word)),
            mem.read_address.eq(link.address),
        ]
        for part in range(self._parts):
            old = mem.read_data.word_select(part, width)
            m.d.comb += self.out[part].eq(Mux(link.through, self.word[part], old))
        return m
