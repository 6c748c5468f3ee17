"""The register block (machine.registers has the map)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.axi import OKAY, SLVERR, Axi4Lite
from intaglio.hw.pipeline import delay
from intaglio.hw.widths import index_bits
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.faults import FAULT_BITS, Fault
from intaglio.machine.isa import Engine
from intaglio.machine.limits import DEFAULT_WATCHDOG, PAGE
from intaglio.machine.registers import ID_VALUE, STATUS_FAULT_LSB, VERSION_VALUE, Control, Register, Status

_WRITABLE: dict[int, int] = {
    Register.PROGRAM_ADDRESS: ~(PAGE - 1) & 0xFFFFFFFF,
    Register.BASE_ADDRESS: ~(PAGE - 1) & 0xFFFFFFFF,
}
"""Bits of settings that hold what is written, if not all do."""
_GROUP_BITS = 4
"""Lowest bits of a register's number, which a read looks at first."""
_COUNTER_WORDS = 2 * len(Counter)


class Registers(wiring.Component):
    """The AXI4-Lite slave and the machine's state: idle, running, done, error.

    Ports
    -----
    lite : In, Axi4Lite (a slave)
        Every output from registers, but that nothing is taken in a `reset`, which ends later within than at the port; one write
        and one read under way at a time. A write is answered latency.WRITE_ANSWER cycles after it is performed at the
        earliest: of what a STOP lets out, one burst's request at most is not on the bus before its answer.
    reset : In, 1 bit
        From a register; together with all registers of this block, which it resets, one cycle at least.
    clear : Out, 1 bit
        One cycle, latency.CLEAR cycles after the write is performed, and each cycle after one of `reset`: resets every engine at
        its end. From a register.
    begin : Out, 1 bit
        The cycle after a START's clear, cycle 0 of the count.
    run : Out, 1 bit
        From begin on, until done or error; engines begin nothing new without it.
    counting : Out, 1 bit
        This cycle counts: those of run up to the one before everything is idle.
    finished : In, 1 bit
        Everything is idle (a level; ignored in cycle 0).
    failed, fault, fault_address : In, 1, FAULT_BITS (machine.faults.Fault) and 32 bits
        An error, and which; ignored without run.
    in_flight : In, 1 bit
        Bursts are.
    program_address, program_size, base_address, watchdog : Out, 32 bits each
        Settings, as written; stable while run.
    retired : In, 32 bits for each engine, packed
        Commands retired.
    asked, wanted : Out, 1 and 6 bits; only with counters
        A counter's word is read, and which: see Ledger.
    shown, word : In, 1 and 32 bits; only with counters
        The answer.
    irq : Out, 1 bit
        The interrupt, a level; high while enabled and pending.
    """

    def __init__(self, config: Config):
        self._config = config
        ledger = {
            "asked": Out(1),
            "wanted": Out(unsigned(index_bits(_COUNTER_WORDS))),
            "shown": In(1),
            "word": In(32),
        }
        super().__init__(
            {
                "lite": In(Axi4Lite()),
                "reset": In(1),
                "clear": Out(1),
                "begin": Out(1),
                "run": Out(1),
                "counting": Out(1),
                "finished": In(1),
                "failed": In(1),
                "fault": In(FAULT_BITS),
                "fault_address": In(32),
                "in_flight": In(1),
                "program_address": Out(32),
                "program_size": Out(32),
                "base_address": Out(32),
                "watchdog": Out(32, init=DEFAULT_WATCHDOG),
                "retired": In(32 * len(Engine)),
                **(ledger if config.counters else {}),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        done, error, pending, enabled = Signal(), Signal(), Signal(), Signal()
        fault, fault_address = Signal(FAULT_BITS), Signal(32)
        asked = Signal()  # a START or SOFT_RESET on its way
        stop = Signal()  # a STOP that has not ended the run yet
        start, reset = self._written(m, asked, enabled, pending, stop)
        way = Signal(latency.CLEAR)
        m.d.comb += asked.eq(way.any())
        m.d.sync += way.eq(Cat(start | reset, way))
        clear = Signal(reset_less=True)  # the end of the way, and the reset's
        m.d.sync += clear.eq(Cat(start | reset, way)[latency.CLEAR - 1] | self.reset)
        m.d.comb += self.clear.eq(clear)
        start, reset = delay(m, start, latency.CLEAR, "start"), delay(m, reset, latency.CLEAR, "reset")
        m.d.comb += [
            self.counting.eq(self.run & (self.begin | ~self.finished)),
            self.irq.eq(enabled & pending),
        ]
        m.d.sync += self.begin.eq(start)
        with m.If(way[-1]):
            m.d.sync += [
                self.run.eq(start),
                done.eq(0),
                error.eq(0),
                pending.eq(0),
                fault.eq(0),
                fault_address.eq(0),
            ]
        with m.Elif(self.run & self.failed):
            m.d.sync += [self.run.eq(0), error.eq(1), pending.eq(1)]
            m.d.sync += [fault.eq(self.fault), fault_address.eq(self.fault_address)]
        with m.Elif(self.run & ~self.counting):
            m.d.sync += [self.run.eq(0), done.eq(1), pending.eq(1)]
        with m.Elif(self.run & stop):
            m.d.sync += [self.run.eq(0), error.eq(1), pending.eq(1), fault.eq(Fault.STOPPED), fault_address.eq(0)]
        # A STOP stands from START's write on, and ends with the run.
        with m.If(reset | (~self.run & ~asked & ~start)):
            m.d.sync += stop.eq(0)

        status = (
            Status.BUSY * (self.run | asked) | Status.DONE * done | Status.ERROR * error | Status.INTERRUPT * pending
        )
        status |= Status.DRAINING * self.in_flight | fault << STATUS_FAULT_LSB
        self._reads(m, self._values(status, fault_address, enabled))
        return m

    def _settings(self) -> dict[int, Signal]:
        """Registers that hold what is written."""
        return {
            Register.PROGRAM_ADDRESS: self.program_address,
            Register.PROGRAM_SIZE: self.program_size,
            Register.BASE_ADDRESS: self.base_address,
            Register.WATCHDOG: self.watchdog,
        }

    def _written(
        self, m: Module, asked: Signal, enabled: Signal, pending: Signal, stop: Signal
    ) -> tuple[Signal, Signal]:
        """Effects of a write, on settings, to the interrupt and to a run. Returns START and SOFT_RESET, in the cycle in which it
        is performed."""
        performed, written = Signal(), Signal(32)
        start, reset, wrong = Signal(), Signal(), Signal()
        address = self._writes(m, performed, written)
        with m.Switch(address):
            with m.Case(Register.CONTROL >> 2), m.If(performed):
                m.d.comb += [
                    reset.eq(written[1]),
                    start.eq(written[0] & ~written[1] & ~self.run & ~asked & ~self.in_flight),
                ]
                m.d.sync += enabled.eq(written[2])
                with m.If(written[3]):
                    m.d.sync += pending.eq(0)
                with m.If(written[4]):
                    m.d.sync += stop.eq(1)
            for register, value in self._settings().items():
                with m.Case(register >> 2):
                    m.d.comb += wrong.eq(self.run | asked)
                    with m.If(performed & ~wrong):
                        m.d.sync += value.eq(written & _WRITABLE.get(register, 0xFFFFFFFF))
            with m.Default():
                m.d.comb += wrong.eq(1)
        with m.If(performed):
            m.d.sync += self.lite.bresp.eq(Mux(wrong, SLVERR, OKAY))
        return start, reset

    def _values(self, status: Value, fault_address: Signal, enabled: Signal) -> dict[int, Value | int]:
        """Values that registers read as."""
        shown = self._config.hardware_hash()
        values: dict[int, Value | int] = {
            Register.ID: ID_VALUE,
            Register.VERSION: VERSION_VALUE,
            Register.HASH_LOW: shown & 0xFFFFFFFF,
            Register.HASH_HIGH: shown >> 32,
            Register.CONTROL: Control.INTERRUPT_ENABLE * enabled,
            Register.STATUS: status,
            Register.ERROR_ADDRESS: fault_address,
            **self._settings(),
        }
        for register, engine in (
            (Register.RETIRED_LOAD, Engine.LOAD),
            (Register.RETIRED_COMPUTE, Engine.COMPUTE),
            (Register.RETIRED_STORE, Engine.STORE),
        ):
            values[register] = self.retired.word_select(int(engine), 32)
        if not self._config.counters:
            values |= {Register.COUNTERS + 4 * i: 0 for i in range(_COUNTER_WORDS)}
        return {int(register): value for register, value in values.items()}

    def _writes(self, m: Module, performed: Signal, written: Signal) -> Signal:
        """The write channels. Returns the word address that `performed` goes with."""
        lite = self.lite
        address, strobes = Signal(len(lite.awaddr) - 2), Signal(4)
        have_address, have_data = Signal(), Signal()
        m.d.comb += [lite.awready.eq(~have_address & ~self.reset), lite.wready.eq(~have_data & ~self.reset)]
        with m.If(lite.awvalid & lite.awready):
            m.d.sync += [have_address.eq(1), address.eq(lite.awaddr[2:])]
        with m.If(lite.wvalid & lite.wready):
            m.d.sync += [have_data.eq(1), written.eq(lite.wdata), strobes.eq(lite.wstrb)]
        with m.If(lite.bvalid & lite.bready):
            m.d.sync += lite.bvalid.eq(0)
        both, answers = Signal(), Signal(latency.WRITE_ANSWER - 1)
        m.d.comb += [
            both.eq(have_address & have_data & ~answers.any() & ~lite.bvalid),
            performed.eq(both & strobes.all()),
        ]
        m.d.sync += answers.eq(Cat(both, answers))
        with m.If(answers[-1]):
            m.d.sync += lite.bvalid.eq(1)
        with m.If(both):
            m.d.sync += [have_address.eq(0), have_data.eq(0), lite.bresp.eq(SLVERR)]
        return address

    def _reads(self, m: Module, values: dict[int, Value | int]) -> None:
        """The read channels."""
        lite = self.lite
        address, have_address, found = Signal(len(lite.araddr) - 2), Signal(), Signal()
        m.d.comb += lite.arready.eq(~have_address & ~self.reset)
        # In one cycle a word of each group, in the next one the group.
        groups: dict[int, Signal] = {}
        for group in sorted({offset >> 2 + _GROUP_BITS for offset in values}):
            groups[group] = word = Signal(33, name=f"group{group}")
            m.d.sync += word.eq(0)
            with m.Switch(address[:_GROUP_BITS]):
                for offset, value in values.items():
                    if offset >> 2 + _GROUP_BITS == group:
                        with m.Case(offset >> 2 & (1 << _GROUP_BITS) - 1):
                            m.d.sync += word.eq(Cat(Value.cast(value) | Const(0, 32), 1))
        with m.If(lite.arvalid & lite.arready):
            m.d.sync += [have_address.eq(1), address.eq(lite.araddr[2:])]
        with m.If(lite.rvalid & lite.rready):
            m.d.sync += lite.rvalid.eq(0)
        plain = have_address & ~lite.rvalid
        ends = found
        if self._config.counters:
            # A counter's word is elsewhere, and comes when it is right.
            number = address - (Register.COUNTERS >> 2)
            counter = (address >= Register.COUNTERS >> 2) & (number < _COUNTER_WORDS)
            m.d.comb += [self.asked.eq(plain & counter), self.wanted.eq(number)]
            plain, ends = plain & ~counter, found | self.shown
        with m.If(plain):
            m.d.sync += found.eq(1)
        with m.If(ends):
            m.d.sync += [found.eq(0), have_address.eq(0), lite.rvalid.eq(1), lite.rdata.eq(0), lite.rresp.eq(SLVERR)]
            with m.Switch(address >> _GROUP_BITS):
                for group, word in groups.items():
                    with m.Case(group):
                        m.d.sync += [lite.rdata.eq(word[:32]), lite.rresp.eq(Mux(word[32], OKAY, SLVERR))]
        if self._config.counters:
            with m.If(self.shown):
                m.d.sync += [lite.rdata.eq(self.word), lite.rresp.eq(OKAY)]
