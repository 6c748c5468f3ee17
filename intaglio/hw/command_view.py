"""Fields of a command's 1024 bits as hardware values."""

from amaranth.hdl import Signal, Value

from intaglio.machine.isa import ENGINE_OF, Engine, Opcode, field_of

_KIND_BITS = max(int(code) for code in Opcode if ENGINE_OF[code] is Engine.COMPUTE).bit_length()
"""Lowest bits of the opcode, in which those of COMPUTE differ."""


def runs(command: Value, opcode: Opcode) -> Value:
    """1 bit: a command that COMPUTE has taken is of that opcode. Dispatch lets no other opcodes pass than those that are
    built in, so that a few bits tell."""
    return command[:_KIND_BITS] == int(opcode)


class CommandView:
    """view[name] is the field of a command of that opcode held in `bits` (word 0 lowest)."""

    def __init__(self, bits: Signal, opcode: Opcode):
        self._bits, self._opcode = bits, opcode

    def __getitem__(self, name: str) -> Value:
        f = field_of(self._opcode, name)
        low = 32 * f.word + f.lsb
        value = self._bits[low : low + f.width]
        return value.as_signed() if f.signed else value
