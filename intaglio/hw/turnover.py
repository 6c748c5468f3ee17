"""The turn from one command to the next: when COMPUTE takes a command, and when it ends."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.isa import OPCODE_BITS, Opcode
from intaglio.machine.timing import head_cycles


class Turnover(wiring.Component):
    """Lets a command begin so long before the one that runs ends that its first read comes in the cycle after that end.

    Ports
    -----
    valid : In, 1 bit
        A command waits.
    opcode : In, OPCODE_BITS
        Its opcode.
    ready : Out, 1 bit
        It may begin: no command runs, or one alone does that ends in fewer cycles than this one's head takes. From
        registers and opcode.
    busy : Out, 1 bit
        A command runs, the cycle of its start left out; from a register.
    second : Out, 1 bit
        Two do; from a register.
    writes : In, 1 bit
        The last pass that is written enters the requantizers.
    keeps : In, 1 bit
        The last pass that is kept is read from the drain memory.
    holds : In, 1 bit
        The last element of a window whose sums stay is added in the next cycle.
    table : In, 1 bit; only with tables
        The command that writes has one, with writes.
    retire : Out, 1 bit
        The command's last cycle: latency.write_end(rounding, table) cycles after writes, KEEP_END after keeps, HOLD_END after
        holds. From a register.
    """

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "valid": In(1),
                "opcode": In(OPCODE_BITS),
                "ready": Out(1),
                "busy": Out(1),
                "second": Out(1),
                "writes": In(1),
                **({"table": In(1)} if config.tables else {}),
                "keeps": In(1),
                "holds": In(1),
                "retire": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        write_end = latency.write_end(self._config.rounding)
        longest = latency.write_end(self._config.rounding, table=self._config.tables > 0)
        left, following = (Signal(range(max(longest, latency.KEEP_END, latency.HOLD_END) + 1)) for _ in range(2))
        m.d.comb += following.eq(Mux(left == 0, 0, left - 1))
        for event, cycles in (
            (self.writes, write_end),
            (self.keeps, latency.KEEP_END),
            (self.holds, latency.HOLD_END),
        ):
            with m.If(event):
                m.d.comb += following.eq(cycles)
        if self._config.tables:
            with m.If(self.writes & self.table):
                m.d.comb += following.eq(longest)
        begins, may = Signal(), Signal()
        heads = {opcode: head_cycles(opcode) for opcode in Opcode if opcode not in (Opcode.LOAD, Opcode.STORE)}
        for head in sorted(set(heads.values())):
            soon = Signal(name=f"ends_in_{head}")
            m.d.sync += soon.eq((following != 0) & (following <= head))
            mine = Cat(self.opcode == opcode for opcode, cycles in heads.items() if cycles == head).any()
            with m.If(mine):
                m.d.comb += may.eq(soon)
        m.d.comb += [
            self.ready.eq(~self.busy | (may & ~self.second)),
            begins.eq(self.valid & self.ready),
            self.retire.eq(left == 1),
        ]
        m.d.sync += [
            left.eq(following),
            self.busy.eq(begins | self.second | (self.busy & ~self.retire)),
            self.second.eq((self.second | (begins & self.busy)) & ~self.retire),
        ]
        return m
