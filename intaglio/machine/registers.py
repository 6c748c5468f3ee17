"""The register map: what software sees. `python -m intaglio.machine.registers` prints docs/registers.md."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from intaglio.machine import latency
from intaglio.machine.config import INSTRUCTION_SET
from intaglio.machine.counters import Counter
from intaglio.machine.faults import Fault
from intaglio.machine.limits import COUNTER_ROUND, DEFAULT_WATCHDOG, MOST_TOKENS

ID_VALUE = int.from_bytes(b"INTG", "little")
VERSION_VALUE = INSTRUCTION_SET


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
    STOP = 16


class Status(enum.IntFlag):
    """Bits of STATUS; bits 8 to 15 are a faults.Fault."""

    BUSY = 1
    DONE = 2
    ERROR = 4
    INTERRUPT = 8
    DRAINING = 16


STATUS_FAULT_LSB = 8
COUNTING = (
    f"Let p be the clock edge that performs the write of CONTROL with START. Cycle {latency.CLEAR + 1} after p is cycle 0 of the count, the "
    "first with `run` high. The end is the first cycle after cycle 0 in which everything is idle, all commands are dispatched "
    "and nothing is outstanding; `counting` is high from cycle 0 up to and without the end, so the counter CYCLES is the number of "
    "the end's cycle, and the last event (a retirement, registered) was in the cycle before."
)
"""Definition of the counter CYCLES."""
READING = (
    f"While BUSY is 1 a counter shows what was counted up to {COUNTER_ROUND + 8} cycles ago. Once BUSY is 0 it shows all that was counted while "
    f"BUSY was 1; the answer to a read comes up to {2 * COUNTER_ROUND + 12} cycles later for that, in the first {2 * COUNTER_ROUND} cycles "
    "after the end, else in about 6. Engines that an error stopped amid a command, and beats of bursts in flight, are counted on, and shown "
    f"up to {COUNTER_ROUND + 8} cycles later. In hardware whose configuration has `counters: false` all counters are 0."
)
"""Meaning of a counter's value at a time."""


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
            "bit 2 INTERRUPT_ENABLE. bit 3 INTERRUPT_CLEAR (write 1). "
            "bit 4 STOP (write 1; ignored unless BUSY): ends the run with the error STOPPED, nothing new is issued, bursts in flight go on "
            "to their end, up to which DRAINING is 1; a run that ends in the same cycle is DONE",
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
        entries.append(
            Entry(f"{c.name}_LOW", low, "ro", f"counter {c.name}, low half; exact once BUSY is 0, see below")
        )
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
    Fault.TOKEN_OVERFLOW: f"more than {MOST_TOKENS} tokens wait between two engines; address: bytes of program dispatched",
    Fault.BAD_OPCODE: "no such command; address: the command's byte offset in the program",
    Fault.BAD_FIELD: "a bit that no field names, no rows, no bytes, not a multiple of the bus, or no such memory; "
    "address: the command's byte offset",
    Fault.CUT_SHORT: "the program ends inside a command; address: the command's byte offset",
    Fault.WATCHDOG: "no progress for the watchdog's time; address: bytes of program dispatched",
    Fault.STOPPED: "software stopped the run by STOP; address: 0",
}


def document() -> str:
    """docs/registers.md."""
    lines = [
        "# Registers",
        "AXI4-Lite, 32 bits, made from `intaglio/machine/registers.py` (`python -m intaglio.machine.registers`). Writes take all four bytes "
        "(`wstrb` 15); settings are written while BUSY is 0. A refused write, and an offset that is not here, is answered SLVERR.",
        "",
        "| offset | name | access | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| 0x{e.offset:03X} | {e.name} | {e.access} | {e.meaning} |" for e in TABLE]
    lines += ["", "## Error codes", "| code | name | meaning |", "|---|---|---|"]
    lines += [f"| {int(f)} | {f.name} | {FAULT_MEANINGS[f]} |" for f in Fault]
    lines += ["", "## Counting cycles", COUNTING, "", "## Reading counters", READING]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
