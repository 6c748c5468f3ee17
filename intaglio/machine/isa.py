"""The command format: what the mapper writes, the hardware decodes, the simulators execute.

A program is a sequence of commands of 32-bit little-endian words: LOAD and STORE have 8, CONV, ADD, POOL
and DEPTHWISE have 32. Each command runs on one engine, in program order there; engines meet only through tokens
(`wait`, `signal`). All addresses inside the accelerator are byte addresses unless said otherwise; external
addresses are offsets from the base register. Bits that no field names, and fields that are reserved, must be zero.

The meaning of each command and its fields: intaglio/machine/commands, a file each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from intaglio.machine.commands import ELEMENTS, FORMATS, HEADER, OPCODE_BITS
from intaglio.machine.fields import Field, pack, unpack
from intaglio.machine.formats import FORMATS as ELEMENT_FORMATS
from intaglio.machine.formats import wide
from intaglio.machine.opcodes import ENGINE_OF, TRANSFERS, Engine, LocalMemory, Opcode, RoundingCode, token_bit

ADD_LEFT_SHIFT = 20
"""Headroom of ADD's operands, as in TFLite's int8 Add (reference kernels, kLeftShift)."""

WORDS_OF = {opcode: form.words for opcode, form in FORMATS.items()}
"""Length of each command in 32-bit words."""
COMMAND_BITS = 32 * max(WORDS_OF.values())
"""Bits of the longest command."""

CHANNEL_FIELDS = (  # one output channel's record of CHANNEL_RECORD_BYTES, in the channel memory
    Field("bias", 0, 0, 32, True),
    Field("multiplier", 1),
    Field("shift", 2, 0, 8, True),
)


FIELDS = {opcode: form.fields for opcode, form in FORMATS.items()}
FIELDS_BY_NAME = {opcode: {f.name: f for f in fields} for opcode, fields in FIELDS.items()}
_FORMAT_OF = {name: field for field, names in ELEMENTS.items() for name in names}
CHANNEL_FIELDS_BY_NAME = {f.name: f for f in CHANNEL_FIELDS}


def field_of(opcode: Opcode, name: str) -> Field:
    return FIELDS_BY_NAME[opcode][name]


@cache
def built_fields(opcode: Opcode) -> tuple[Field, ...]:
    """The fields that hardware reads: without those that are reserved."""
    return tuple(f for f in FIELDS[opcode] if not f.reserved)


@cache
def zero_bits(opcode: Opcode) -> tuple[int, ...]:
    """For each word of a command, the mask of bits that must be zero: no field names them, or one that is reserved
    does."""
    masks = [0xFFFFFFFF] * WORDS_OF[opcode]
    for f in built_fields(opcode):
        masks[f.word] &= ~(f.mask << f.lsb)
    return tuple(masks)


@dataclass(frozen=True)
class Command:
    """One command: an opcode and its fields by name (header fields included, opcode excluded)."""

    opcode: Opcode
    fields: dict[str, int]

    @property
    def engine(self) -> Engine:
        return ENGINE_OF[self.opcode]

    def words(self) -> list[int]:
        """Encoded; ValueError for a field that does not fit or does not exist."""
        return pack(FIELDS_BY_NAME[self.opcode], {**self.fields, "opcode": int(self.opcode)}, WORDS_OF[self.opcode])

    def __getitem__(self, name: str) -> int:
        return self.fields.get(name, 0)


def element_value(command: Command, name: str) -> int:
    """A zero point or clamp of a command, as its operand's format has it."""
    value, code = wide(command[name], command[f"{name}_high"]), command[_FORMAT_OF[name]]
    return value % (1 << 16) if code < len(ELEMENT_FORMATS) and not ELEMENT_FORMATS[code].signed else value


def conv_pixels(command: Command) -> int:
    """Output pixels of a CONV, of each channel tile."""
    return 1 if command["split"] else conv_rows(command)


def conv_rows(command: Command) -> int:
    """Rows of the array that a CONV's tiles use, in all: output pixels, or with `split` the halves of one."""
    return (command["pixel_tiles"] - 1) * command["rows_per_tile"] + command["last_pixels"]


def decode(words: list[int]) -> list[Command]:
    """Commands of a program. Raises ValueError that names the word where a command is malformed: an unknown
    opcode, a command cut short, or a bit set that no field names or that is reserved."""
    out = []
    at = 0
    while at < len(words):
        code = words[at] & ((1 << OPCODE_BITS) - 1)
        if code not in Opcode._value2member_map_:
            raise ValueError(f"word {at}: unknown opcode {code}")
        opcode = Opcode(code)
        part = words[at : at + WORDS_OF[opcode]]
        if len(part) < WORDS_OF[opcode]:
            raise ValueError(f"word {at}: {opcode.name} is cut short")
        for i, (word, mask) in enumerate(zip(part, zero_bits(opcode), strict=True)):
            if word & mask:
                raise ValueError(f"word {at + i}: {opcode.name} sets bits that are reserved")
        values = unpack(FIELDS_BY_NAME[opcode], part)
        values.pop("opcode")
        out.append(Command(opcode, values))
        at += WORDS_OF[opcode]
    return out


__all__ = [
    "ADD_LEFT_SHIFT",
    "CHANNEL_FIELDS",
    "CHANNEL_FIELDS_BY_NAME",
    "COMMAND_BITS",
    "ELEMENTS",
    "ENGINE_OF",
    "FIELDS",
    "FIELDS_BY_NAME",
    "HEADER",
    "OPCODE_BITS",
    "TRANSFERS",
    "WORDS_OF",
    "Command",
    "Engine",
    "Field",
    "LocalMemory",
    "Opcode",
    "RoundingCode",
    "built_fields",
    "conv_pixels",
    "conv_rows",
    "decode",
    "element_value",
    "field_of",
    "pack",
    "token_bit",
    "unpack",
    "zero_bits",
]
