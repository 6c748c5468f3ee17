"""The register block: what software sees. `python -m intaglio.hw.registers` prints docs/registers.md.

Counting cycles, exactly: let p be the clock edge that performs the write of CONTROL with START. The cycle after p is cycle 0, the
first with `run` high. The end is the first cycle after cycle 0 in which everything is idle, all commands are dispatched and nothing is
outstanding; `counting` is high from cycle 0 up to and without the end, so the counter CYCLES is the number of the
end's cycle, and the last event (a retirement, registered) was in the cycle before.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.axi import OKAY, PAGE, SLVERR, Axi4Lite
from intaglio.hw.config import INSTRUCTION_SET, Config
from intaglio.hw.counters import Counter
from intaglio.hw.faults import FAULT_BITS, Fault
from intaglio.hw.isa import Engine
from intaglio.hw.ledger import COUNTER_BITS

ID_VALUE = int.from_bytes(b"INTG", "little")
VERSION_VALUE = INSTRUCTION_SET
DEFAULT_WATCHDOG = 1 << 20


class Register(enum.IntEnum):
    """Byte offsets; each register has 32 bits."""

    ID = 0x00
    VERSION = 0x04
    HASH_LOW = 0x08
    HASH_HIGH = 0x0C
    CONTROL = 0x10
    STATUS = 0x14
    ERROR_ADDRESS = 0x18
    PROGRAM_ADDRESS = 0x1C
    PROGRAM_SIZE = 0x20
    BASE_ADDRESS = 0x24
    WATCHDOG = 0x28
    RETIRED_LOAD = 0x2C
    RETIRED_COMPUTE = 0x30
    RETIRED_STORE = 0x34
    COUNTERS = 0x80


class Control(enum.IntFlag):
    """Bits of CONTROL."""

    START = 1
    SOFT_RESET = 2
    INTERRUPT_ENABLE = 4
    INTERRUPT_CLEAR = 8


class Status(enum.IntFlag):
    """Bits of STATUS; bits 8 to 15 are a faults.Fault."""

    BUSY = 1
    DONE = 2
    ERROR = 4
    INTERRUPT = 8
    DRAINING = 16


STATUS_FAULT_LSB = 8
_WRITABLE = {Register.PROGRAM_ADDRESS: ~(PAGE - 1) & 0xFFFFFFFF, Register.BASE_ADDRESS: ~(PAGE - 1) & 0xFFFFFFFF}
"""Bits of settings that hold what is written, if not all do."""


@dataclass(frozen=True)
class Entry:
    """One register as software sees it. access: "ro", "rw" or "rw, wo" (some bits read as 0)."""

    name: str
    offset: int
    access: str
    meaning: str


def _table() -> tuple[Entry, ...]:
    r = Register
    entries = [
        Entry("ID", r.ID, "ro", f"0x{ID_VALUE:08X}: the letters INTG, first letter in the lowest byte"),
        Entry("VERSION", r.VERSION, "ro", f"{VERSION_VALUE}: version of the command format and of these registers"),
        Entry("HASH_LOW", r.HASH_LOW, "ro", "Config.hardware_hash(), low half; a Program carries the same"),
        Entry("HASH_HIGH", r.HASH_HIGH, "ro", "its high half"),
        Entry(
            "CONTROL",
            r.CONTROL,
            "rw, wo",
            "bit 0 START (write 1; ignored while BUSY or DRAINING): resets counters, tokens and engines, runs the program. "
            "bit 1 SOFT_RESET (write 1): everything but the settings back to idle, at once, bursts in flight forgotten "
            "(so only with a bus that is reset too, unless DRAINING is 0). "
            "bit 2 INTERRUPT_ENABLE. bit 3 INTERRUPT_CLEAR (write 1)",
        ),
        Entry(
            "STATUS",
            r.STATUS,
            "ro",
            "bit 0 BUSY. bit 1 DONE. bit 2 ERROR. bit 3 INTERRUPT: pending since DONE or ERROR rose. bit 4 DRAINING: bursts are in "
            "flight. bits 8 to 15: the error's code, see below",
        ),
        Entry("ERROR_ADDRESS", r.ERROR_ADDRESS, "ro", "see the codes"),
        Entry(
            "PROGRAM_ADDRESS",
            r.PROGRAM_ADDRESS,
            "rw",
            "external address of the program, a multiple of 4096: bits 0 to 11 stay 0",
        ),
        Entry(
            "PROGRAM_SIZE",
            r.PROGRAM_SIZE,
            "rw",
            "its bytes, a multiple of 32; whole bus words are read, so up to bus_bytes - 32 bytes beyond it",
        ),
        Entry(
            "BASE_ADDRESS",
            r.BASE_ADDRESS,
            "rw",
            "added to every external address in a command, a multiple of 4096: bits 0 to 11 stay 0",
        ),
        Entry(
            "WATCHDOG",
            r.WATCHDOG,
            "rw",
            f"cycles without progress that are an error, {DEFAULT_WATCHDOG} after reset; 0: never. Progress: a beat, response or "
            "request on the bus, a dispatched word, COMPUTE busy, a retirement",
        ),
        Entry("RETIRED_LOAD", r.RETIRED_LOAD, "ro", "LOAD commands complete since START"),
        Entry("RETIRED_COMPUTE", r.RETIRED_COMPUTE, "ro", "compute commands complete since START"),
        Entry("RETIRED_STORE", r.RETIRED_STORE, "ro", "STORE commands complete since START"),
    ]
    for c in Counter:
        low = counter_offset(c)
        entries.append(Entry(f"{c.name}_LOW", low, "ro", f"counter {c.name}, low half; exact once BUSY is 0"))
        entries.append(Entry(f"{c.name}_HIGH", low + 4, "ro", "its high half"))
    return tuple(entries)


def counter_offset(counter: Counter) -> int:
    """Byte offset of a counter's low half; the high half follows."""
    return Register.COUNTERS + 8 * counter


TABLE = _table()
"""Every register, by offset: documentation and headers are made from it."""

FAULT_MEANINGS = {
    Fault.NONE: "no error",
    Fault.READ_RESPONSE: "a read burst was answered with an error; address: the burst's external address",
    Fault.WRITE_RESPONSE: "a write burst was answered with an error; address: the burst's external address",
    Fault.PORT_CONFLICT: "two engines used one memory port in one cycle; address: bytes of program dispatched",
    Fault.TOKEN_OVERFLOW: "more than 255 tokens wait between two engines; address: bytes of program dispatched",
    Fault.BAD_OPCODE: "no such command; address: the command's byte offset in the program",
    Fault.BAD_FIELD: "a bit that no field names, no rows, no bytes, not a multiple of the bus, or no such memory; "
    "address: the command's byte offset",
    Fault.CUT_SHORT: "the program ends inside a command; address: the command's byte offset",
    Fault.WATCHDOG: "no progress for the watchdog's time; address: bytes of program dispatched",
}


def document() -> str:
    """docs/registers.md."""
    lines = [
        "# Registers",
        "AXI4-Lite, 32 bits, made from `intaglio/hw/registers.py` (`python -m intaglio.hw.registers`). Writes take all four bytes "
        "(`wstrb` 15); settings are written while BUSY is 0. A refused write, and an offset that is not here, is answered SLVERR.",
        "",
        "| offset | name | access | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| 0x{e.offset:03X} | {e.name} | {e.access} | {e.meaning} |" for e in TABLE]
    lines += ["", "## Error codes", "| code | name | meaning |", "|---|---|---|"]
    lines += [f"| {int(f)} | {f.name} | {FAULT_MEANINGS[f]} |" for f in Fault]
    lines += ["", "## Counting cycles", (__doc__ or "").split("exactly: ")[1].strip().replace("\n", " ")]
    return "\n".join(lines) + "\n"


class Registers(wiring.Component):
    """The AXI4-Lite slave and the machine's state: idle, running, done, error.

    lite: every output from registers; one write and one read under way at a time.
    clear: one cycle, combinational: resets every engine at its end. begin: the cycle after START, cycle 0 of the count.
    run: from begin on, until done or error; engines begin nothing new without it. counting: see above.
    finished: everything is idle (a level; ignored in cycle 0). fault, fault_address: an error in this cycle; ignored without run.
    in_flight: bursts are. retired: for each engine, a 32-bit count, packed. counters: packed, see Ledger.
    irq: the interrupt, a level; high while enabled and pending.
    """

    def __init__(self, config: Config):
        self._hash = config.hardware_hash()
        super().__init__(
            {
                "lite": In(Axi4Lite()),
                "clear": Out(1),
                "begin": Out(1),
                "run": Out(1),
                "counting": Out(1),
                "finished": In(1),
                "fault": In(FAULT_BITS),
                "fault_address": In(32),
                "in_flight": In(1),
                "program_address": Out(32),
                "program_size": Out(32),
                "base_address": Out(32),
                "watchdog": Out(32, init=DEFAULT_WATCHDOG),
                "retired": In(32 * len(Engine)),
                "counters": In(COUNTER_BITS * len(Counter)),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        done, error, pending, enabled = Signal(), Signal(), Signal(), Signal()
        fault, fault_address = Signal(FAULT_BITS), Signal(32)
        performed, written = Signal(), Signal(32)
        start, reset = Signal(), Signal()
        address = self._writes(m, performed, written)
        settings = {
            Register.PROGRAM_ADDRESS: self.program_address,
            Register.PROGRAM_SIZE: self.program_size,
            Register.BASE_ADDRESS: self.base_address,
            Register.WATCHDOG: self.watchdog,
        }
        wrong = Signal()
        with m.Switch(address):
            with m.Case(Register.CONTROL >> 2), m.If(performed):
                m.d.comb += [
                    reset.eq(written[1]),
                    start.eq(written[0] & ~written[1] & ~self.run & ~self.in_flight),
                ]
                m.d.sync += enabled.eq(written[2])
                with m.If(written[3]):
                    m.d.sync += pending.eq(0)
            for register, value in settings.items():
                with m.Case(register >> 2):
                    m.d.comb += wrong.eq(self.run)
                    with m.If(performed & ~self.run):
                        m.d.sync += value.eq(written & _WRITABLE.get(register, 0xFFFFFFFF))
            with m.Default():
                m.d.comb += wrong.eq(1)
        with m.If(performed):
            m.d.sync += self.lite.bresp.eq(Mux(wrong, SLVERR, OKAY))

        m.d.comb += [
            self.clear.eq(start | reset),
            self.counting.eq(self.run & (self.begin | ~self.finished)),
            self.irq.eq(enabled & pending),
        ]
        m.d.sync += self.begin.eq(start)
        with m.If(reset | start):
            m.d.sync += [
                self.run.eq(start),
                done.eq(0),
                error.eq(0),
                pending.eq(0),
                fault.eq(0),
                fault_address.eq(0),
            ]
        with m.Elif(self.run & (self.fault != 0)):
            m.d.sync += [self.run.eq(0), error.eq(1), pending.eq(1)]
            m.d.sync += [fault.eq(self.fault), fault_address.eq(self.fault_address)]
        with m.Elif(self.run & ~self.counting):
            m.d.sync += [self.run.eq(0), done.eq(1), pending.eq(1)]

        status = Status.BUSY * self.run | Status.DONE * done | Status.ERROR * error | Status.INTERRUPT * pending
        status |= Status.DRAINING * self.in_flight | fault << STATUS_FAULT_LSB
        values = {
            Register.ID: ID_VALUE,
            Register.VERSION: VERSION_VALUE,
            Register.HASH_LOW: self._hash & 0xFFFFFFFF,
            Register.HASH_HIGH: self._hash >> 32,
            Register.CONTROL: Control.INTERRUPT_ENABLE * enabled,
            Register.STATUS: status,
            Register.ERROR_ADDRESS: fault_address,
            **settings,
        }
        for register, engine in (
            (Register.RETIRED_LOAD, Engine.LOAD),
            (Register.RETIRED_COMPUTE, Engine.COMPUTE),
            (Register.RETIRED_STORE, Engine.STORE),
        ):
            values[register] = self.retired.word_select(int(engine), 32)
        reads = {int(register): value for register, value in values.items()}
        for i in range(2 * len(Counter)):
            reads[Register.COUNTERS + 4 * i] = self.counters.word_select(i, 32)
        self._reads(m, reads)
        return m

    def _writes(self, m: Module, performed: Signal, written: Signal) -> Signal:
        """The write channels. Returns the word address that `performed` goes with."""
        lite = self.lite
        address, strobes = Signal(len(lite.awaddr) - 2), Signal(4)
        have_address, have_data = Signal(), Signal()
        m.d.comb += [lite.awready.eq(~have_address), lite.wready.eq(~have_data)]
        with m.If(lite.awvalid & lite.awready):
            m.d.sync += [have_address.eq(1), address.eq(lite.awaddr[2:])]
        with m.If(lite.wvalid & lite.wready):
            m.d.sync += [have_data.eq(1), written.eq(lite.wdata), strobes.eq(lite.wstrb)]
        with m.If(lite.bvalid & lite.bready):
            m.d.sync += lite.bvalid.eq(0)
        both = Signal()
        m.d.comb += [both.eq(have_address & have_data & ~lite.bvalid), performed.eq(both & strobes.all())]
        with m.If(both):
            m.d.sync += [have_address.eq(0), have_data.eq(0), lite.bvalid.eq(1), lite.bresp.eq(SLVERR)]
        return address

    def _reads(self, m: Module, values: dict[int, object]) -> None:
        """The read channels."""
        lite = self.lite
        address, have_address = Signal(len(lite.araddr) - 2), Signal()
        m.d.comb += lite.arready.eq(~have_address)
        with m.If(lite.arvalid & lite.arready):
            m.d.sync += [have_address.eq(1), address.eq(lite.araddr[2:])]
        with m.If(lite.rvalid & lite.rready):
            m.d.sync += lite.rvalid.eq(0)
        with m.If(have_address & ~lite.rvalid):
            m.d.sync += [have_address.eq(0), lite.rvalid.eq(1), lite.rresp.eq(OKAY)]
            with m.Switch(address):
                for offset, value in values.items():
                    with m.Case(offset >> 2):
                        m.d.sync += lite.rdata.eq(value)
                with m.Default():
                    m.d.sync += [lite.rdata.eq(0), lite.rresp.eq(SLVERR)]


if __name__ == "__main__":
    print(document(), end="")
