"""Fields of a command's 1024 bits as hardware values."""

from amaranth.hdl import Signal, Value

from intaglio.machine.isa import Opcode, field_of


class CommandView:
    """view[name] is the field of a command of that opcode held in `bits` (word 0 lowest)."""

    def __init__(self, bits: Signal, opcode: Opcode):
        self._bits, self._opcode = bits, opcode

    def __getitem__(self, name: str) -> Value:
        f = field_of(self._opcode, name)
        low = 32 * f.word + f.lsb
        value = self._bits[low : low + f.width]
        return value.as_signed() if f.signed else value
