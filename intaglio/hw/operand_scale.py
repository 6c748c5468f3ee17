"""ADD's operands: multiplied, or summed from tables of multiples, and rounded as intaglio.network.arithmetic does."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.pipeline import Pipeline
from intaglio.hw.product import product
from intaglio.hw.ram import Collision, ram
from intaglio.machine import latency
from intaglio.machine.isa import ADD_LEFT_SHIFT

_DIGIT = 4
"""Bits of a magnitude that one table takes: there are two of them."""
_DROP = 31 - ADD_LEFT_SHIFT
"""Bits of a product behind the point of (product << 20) >> 31."""
_BIAS, _REST = divmod((1 << _DROP - 1) - 1, (1 << _DIGIT) + 1)
"""Beside the multiple each entry of both tables has _BIAS; with _REST the sum of two has half of the point's place less
one."""


class TableWrite(data.Struct):
    """An entry of a table of multiples: digit times the multiplier, plus _BIAS."""

    en: 1
    digit: unsigned(_DIGIT)
    entry: unsigned(31 + _DIGIT)


class Multiples(wiring.Component):
    """Makes the entries of an operand's tables, for all lanes.

    Ports
    -----
    start : In, 1 bit
        A pulse; the last one is at least latency.OPERAND_TABLE cycles behind.
    multiplier : In, unsigned 32
        Below 2**31; stable from start on.
    write : Out, TableWrite
        Digits 0 to 15, one a cycle, the first in the cycle of start.

    No flow control.
    """

    start: In(1)
    multiplier: In(unsigned(32))
    write: Out(TableWrite)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        digit, entry = Signal(_DIGIT), Signal(31 + _DIGIT, init=_BIAS)
        going = self.start | (digit != 0)
        with m.If(going):
            m.d.sync += [digit.eq(digit + 1), entry.eq(Mux(digit.all(), _BIAS, entry + self.multiplier[:31]))]
        m.d.comb += [self.write.en.eq(going), self.write.digit.eq(digit), self.write.entry.eq(entry)]
        return m


class OperandScale(wiring.Component):
    """One operand of ADD: out + up = DOUBLE rounding of ((value - zero_point) << 20) * multiplier * 2**(shift - 31).

    Ports
    -----
    value, zero_point : In, signed 8 each
    multiplier : In, unsigned 32
        Below 2**31; means nothing without multipliers.
    write : In, TableWrite
        The multiplier's multiples, all before the cycle in which the first value is latency.OPERAND_STAGES' "product"; means
        nothing with multipliers.
    shift : In, signed 8
        -31 to 0.
    out, up : Out, signed 29 and 1 bit
        Of the element that entered latency.OPERAND_SCALE cycles ago. Whoever adds what is scaled adds `up` too, where an
        adder's carry is free.

    A pipeline that takes one element every cycle and never stalls; no handshake.
    """

    def __init__(self, multipliers: bool):
        self._multipliers = multipliers
        super().__init__(
            {
                "value": In(signed(8)),
                "zero_point": In(signed(8)),
                "multiplier": In(unsigned(32)),
                "write": In(TableWrite),
                "shift": In(signed(8)),
                "out": Out(signed(29)),
                "up": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports = ("value", "zero_point", "multiplier", "shift")
        pipe = Pipeline(m, latency.OPERAND_STAGES, **{port: getattr(self, port) for port in ports})
        read, make = pipe.read, pipe.make
        # A magnitude: its roundings are half up, but that half of the first is one less where it is negated.
        difference = Signal(signed(9))
        m.d.comb += difference.eq(read("value", "offset") - read("zero_point", "offset"))
        negate = difference < 0
        m.d.sync += [
            make("negate", 1, "offset").eq(negate),
            make("offset", 8, "offset").eq((difference ^ negate.replicate(9)) + negate),
            make("right", 5, "offset").eq(-read("shift", "offset")),
        ]
        if self._multipliers:
            self._product(m, pipe, platform)
        else:
            self._product_of_tables(m, pipe)
        # With a bit behind the point, 0 before the shift.
        shifted: Value = Cat(Const(0, 1), read("sum", "shifted")[_DROP:])
        right, negate = read("right", "shifted"), read("negate", "shifted")
        for step in (16, 8, 4, 2, 1):
            shifted = Mux(right[step.bit_length() - 1], shifted[step:], shifted)
        result = make("result", signed(30), "shifted")
        m.d.sync += result.eq(Cat(shifted ^ negate.replicate(len(shifted)), negate).as_signed())
        m.d.comb += [self.out.eq(result[1:]), self.up.eq(result[0])]  # -x - up = ~x + 1 - up
        return m

    def _product(self, m: Module, pipe: Pipeline, platform: object) -> None:
        """The magnitude's product and the first rounding's half, by multipliers."""
        negate = pipe.read("negate", "product")
        made = product(
            m,
            pipe.read("offset", "product"),
            pipe.read("multiplier", "product")[:31],
            "product",
            stages=pipe.between("product", "sum") + 1,
            plus=Cat(negate.replicate(_DROP - 1), ~negate),
            shape=unsigned(39),
            platform=platform,
        )
        pipe.enter("sum", made, "sum")

    def _product_of_tables(self, m: Module, pipe: Pipeline) -> None:
        """The same as the sum of two of the multiplier's multiples."""
        low, high = (self._multiple(m, pipe, at) for at in (0, _DIGIT))
        with_half = Cat(1, low) + Cat(~pipe.read("negate", "sum"), Const(_REST, _DIGIT), high)
        m.d.sync += pipe.make("sum", 39, "sum").eq(with_half[1:])

    def _multiple(self, m: Module, pipe: Pipeline, at: int) -> Value:
        """The multiple by the magnitude's digit that begins with bit `at`."""
        table = ram(
            m, f"table{at}", shape=31 + _DIGIT, depth=1 << _DIGIT, read_latency=1, collision=Collision.UNDEFINED
        )
        m.d.comb += [
            table.write_en.eq(self.write.en),
            table.write_address.eq(self.write.digit),
            table.write_data.eq(self.write.entry),
            table.read_en.eq(~self.write.en),
            table.read_address.eq(pipe.read("offset", "product")[at : at + _DIGIT]),
        ]
        pipe.enter(f"multiple{at}", table.read_data, "product")
        return Value.cast(pipe.read(f"multiple{at}", "sum"))
