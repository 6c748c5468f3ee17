"""intaglio_regs.h: the register map, made from hw/registers.py."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from intaglio.export.templates import fill
from intaglio.machine.config import Config
from intaglio.machine.faults import Fault
from intaglio.machine.limits import DEFAULT_WATCHDOG
from intaglio.machine.registers import (
    FAULT_MEANINGS,
    ID_VALUE,
    STATUS_FAULT_LSB,
    TABLE,
    VERSION_VALUE,
    Control,
    Status,
)


def registers_header(config: Config) -> str:
    names = [(f"REG_{e.name}", f"0x{e.offset:03X}u", f"{e.access}: {e.meaning}") for e in TABLE]
    faults = [(f"ERROR_{f.name}", f"{int(f)}u", FAULT_MEANINGS[f]) for f in Fault]
    return fill(
        "intaglio_regs.h.in",
        id=f"0x{ID_VALUE:08X}",
        version=VERSION_VALUE,
        watchdog=DEFAULT_WATCHDOG,
        counters=int(config.counters),
        registers=_defines(names),
        control=_bits("CONTROL", Control),
        status=_bits("STATUS", Status),
        fault_shift=STATUS_FAULT_LSB,
        fault_mask=f"0x{0xFF << STATUS_FAULT_LSB:X}",
        faults=_defines(faults),
    )


def _bits(register: str, flags: Iterable[enum.IntFlag]) -> str:
    return "\n".join(f"#define INTAGLIO_{register}_{bit.name} 0x{int(bit):02X}u" for bit in flags)


def _defines(rows: Iterable[tuple[str, str, str]]) -> str:
    return "\n".join(f"#define INTAGLIO_{name} {value} /* {meaning} */" for name, value, meaning in rows)
