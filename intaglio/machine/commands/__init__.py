"""The commands' formats, one file each: what it means, its fields, what is to be known of them."""

from __future__ import annotations

from intaglio.machine.commands.add import ADD
from intaglio.machine.commands.conv import CONV
from intaglio.machine.commands.depthwise import DEPTHWISE
from intaglio.machine.commands.pool import POOL
from intaglio.machine.commands.shape import ELEMENTS, HEADER, OPCODE_BITS, Format
from intaglio.machine.commands.transfer import LOAD, STORE
from intaglio.machine.opcodes import ByOpcode, Opcode

FORMATS: ByOpcode[Format] = ByOpcode(
    "format",
    {
        Opcode.LOAD: LOAD,
        Opcode.STORE: STORE,
        Opcode.CONV: CONV,
        Opcode.ADD: ADD,
        Opcode.POOL: POOL,
        Opcode.DEPTHWISE: DEPTHWISE,
    },
)
"""Formats of the commands, by opcode."""

__all__ = ["ELEMENTS", "FORMATS", "HEADER", "OPCODE_BITS", "Format"]
