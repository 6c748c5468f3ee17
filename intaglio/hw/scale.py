"""Requantizer arithmetic: 32-bit sums to 8-bit outputs, and ADD's operands to 32 bits.

Where a rounding is decided in hardware. The integer meaning is that of intaglio.network.arithmetic.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.binary32 import FRACTION, WHOLE, rounded_to_significand, rounds_up
from intaglio.hw.pipeline import Pipeline
from intaglio.hw.product import product
from intaglio.machine import latency
from intaglio.machine.config import ROUNDINGS
from intaglio.machine.formats import SUM
from intaglio.machine.isa import ADD_LEFT_SHIFT, RoundingCode

_ROOM = 3
"""Bits that FLOAT's product is shifted left by, so that what remains is a right shift for the more of the shifts."""
_LEAST = 31 - FRACTION + _ROOM
"""FLOAT's right shift where `shift` is 0."""


class Requantizer(wiring.Component):
    """One lane: out = clamp(round((sum + bias) * multiplier * 2**(shift - 31)) + zero_point).

    Ports
    -----
    sum, bias : In, signed 32 each
        Their sum wraps.
    multiplier : In, unsigned 32
        Below 2**31; FLOAT: 0 or at least 2**30.
    shift : In, signed 8
        -31 to 30, positive is left.
    rounding : In, 2 bits, isa.RoundingCode
        Only modes that are built in.
    zero_point, clamp_min, clamp_max : In, signed 8 each
    out : Out, signed 8
        Of the element that entered latency.requantizer(rounding) cycles ago.

    All inputs belong to the element that enters in this cycle. A pipeline that takes one element every cycle and never
    stalls; no handshake.
    """

    def __init__(self, rounding: tuple[str, ...] = ROUNDINGS):
        modes = {RoundingCode[mode.upper()] for mode in rounding}
        self._double, self._away, self._float = (
            mode in modes for mode in (RoundingCode.DOUBLE, RoundingCode.AWAY, RoundingCode.FLOAT)
        )
        self._stages = latency.requantizer_stages(rounding)
        super().__init__(
            {
                "sum": In(signed(SUM.bits)),
                "bias": In(signed(32)),
                "multiplier": In(unsigned(32)),
                "shift": In(signed(8)),
                "rounding": In(unsigned(2)),
                "zero_point": In(signed(8)),
                "clamp_min": In(signed(8)),
                "clamp_max": In(signed(8)),
                "out": Out(signed(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports = ("sum", "bias", "multiplier", "shift", "rounding", "zero_point", "clamp_min", "clamp_max")
        pipe = Pipeline(m, self._stages, **{port: getattr(self, port) for port in ports})
        m.d.sync += pipe.make("total", signed(32), "total").eq(pipe.read("sum", "total") + pipe.read("bias", "total"))
        self._value(m, pipe)

        # Product, with a second register that a DSP block takes in.
        factor = Cat(pipe.read("multiplier", "product")[:31], Const(0, 1)).as_signed()
        stages = pipe.between("product", "product2") + 1
        whole = product(m, pipe.read("value", "product"), factor, "product", stages=stages, shape=signed(64))
        pipe.enter("product", whole, "product2")

        self._right_shift(m, pipe)
        self._scaled(m, pipe)

        # Zero point and clamp.
        shown = Signal(signed(33))
        zero_point, low, top = (pipe.read(name, "out") for name in ("zero_point", "clamp_min", "clamp_max"))
        carry = pipe.read("carry", "out") if self._float else 0
        m.d.comb += shown.eq(pipe.read("scaled", "out") + zero_point + carry)
        m.d.sync += self.out.eq(Mux(shown < low, low, Mux(shown > top, top, shown)))
        return m

    def _value(self, m: Module, pipe: Pipeline) -> None:
        """The factor that is multiplied: the total shifted left (DOUBLE, wraps at 32 bits as the format's int32 does), or its
        magnitude (AWAY, FLOAT), of FLOAT as binary32."""
        read, make = pipe.read, pipe.make
        total, shift, rounding = (read(name, "value") for name in ("total", "shift", "rounding"))
        value, negate = make("value", signed(33), "value"), make("negate", 1, "value")
        is_double, is_float = make("is_double", 1, "value"), make("is_float", 1, "value")
        m.d.sync += [
            value.eq(total),
            negate.eq(0),
            is_double.eq(rounding == RoundingCode.DOUBLE),
            is_float.eq(rounding == RoundingCode.FLOAT),
        ]
        if self._double:
            with m.If(rounding == RoundingCode.DOUBLE):
                shifted = Signal(signed(32))
                left = Mux(shift > 0, shift[:5], 0)
                m.d.comb += shifted.eq(total << left)
                m.d.sync += value.eq(shifted)
        if self._away or self._float:
            of_magnitude = Signal()
            m.d.comb += of_magnitude.eq(
                (self._away & (rounding == RoundingCode.AWAY)) | (self._float & (rounding == RoundingCode.FLOAT))
            )
            with m.If(of_magnitude):
                m.d.sync += [value.eq(Mux(total < 0, -total, total)), negate.eq(total < 0)]
        if self._float:
            value = read("value", "significand")
            significand = rounded_to_significand(m, value[:32])
            is_float = read("is_float", "significand")
            m.d.sync += make("value", signed(33), "significand").eq(Mux(is_float, significand, value))

    def _right_shift(self, m: Module, pipe: Pipeline) -> None:
        """The right shift that is left of the scaling, and half of the last place that it keeps, added before it.
        DOUBLE takes the high half of the product first, rounded half up (its saturating case needs a negative
        multiplier); the others keep the whole product."""
        read, make = pipe.read, pipe.make
        whole, shift = read("product", "high"), read("shift", "high")
        high = make("high", signed(66 if self._float else 64), "high")
        right = make("right", 6, "high")
        m.d.sync += [high.eq(whole), right.eq(31 - shift)]
        if self._double:
            with m.If(read("is_double", "high")):
                m.d.sync += [high.eq((whole + (1 << 30)) >> 31), right.eq(Mux(shift < 0, -shift, 0))]
        if self._float:
            # A right shift by 31 - shift that leaves FRACTION bits. Where it would be a left shift, the product, at
            # least 2**30 if not 0, is beyond WHOLE bits without it.
            with m.If(read("is_float", "high")):
                m.d.sync += [high.eq(whole << _ROOM), right.eq(Mux(shift < _LEAST, _LEAST - shift, 0))]

        # DOUBLE rounds half away from zero.
        high, right = read("high", "biased"), read("right", "biased")
        biased = make("biased", signed(66 if self._float else 65), "biased")
        with m.If((right == 0) | (read("is_float", "biased") if self._float else 0)):
            m.d.sync += biased.eq(high)
        with m.Else():
            half = Signal(63)
            m.d.comb += half.eq(Const(1, 63) << (right - 1)[:6])
            m.d.sync += biased.eq(high + half - (read("is_double", "biased") & (high < 0)))

    def _scaled(self, m: Module, pipe: Pipeline) -> None:
        """The shift, to 32 bits; of FLOAT to WHOLE bits before the point and FRACTION and a sticky one behind it, which
        are rounded in a stage of their own."""
        read, make = pipe.read, pipe.make
        biased, right, negate = (read(name, "scaled") for name in ("biased", "right", "negate"))
        quotient = Signal.like(biased)
        m.d.comb += quotient.eq(biased >> right)
        near = quotient[:32].as_signed()
        m.d.sync += make("scaled", signed(32), "scaled").eq(Mux(negate, -near, near))
        if not self._float:
            return
        sticky = Cat(biased[i] & (right > i) for i in range(_LEAST + 31)).any()
        beyond = quotient[FRACTION + WHOLE :].any()
        m.d.sync += [
            make("fraction", FRACTION + 1, "scaled").eq(Cat(sticky, quotient[:FRACTION])),
            make("whole", WHOLE + 1, "scaled").eq(Mux(beyond, -1, quotient[FRACTION : FRACTION + WHOLE])),
        ]
        # FLOAT's rounding; the last addition adds it, and completes the negative (-x - up = ~x + 1 - up).
        scaled, whole, fraction = (read(name, "chosen") for name in ("scaled", "whole", "fraction"))
        is_float, negate = read("is_float", "chosen"), read("negate", "chosen")
        up = rounds_up(m, whole[:WHOLE], fraction)
        signed_whole = Cat(whole ^ negate.replicate(len(whole)), negate).as_signed()
        m.d.sync += make("scaled", signed(32), "chosen").eq(Mux(is_float, signed_whole, scaled))
        m.d.sync += make("carry", 1, "chosen").eq(is_float & (up ^ negate))


class OperandScale(wiring.Component):
    """One operand of ADD: out = DOUBLE rounding of ((value - zero_point) << 20) * multiplier * 2**(shift - 31).

    Ports
    -----
    value, zero_point : In, signed 8 each
    multiplier : In, unsigned 32
        Below 2**31.
    shift : In, signed 8
        -31 to 0.
    out : Out, signed 32
        Of the element that entered latency.OPERAND_SCALE cycles ago.

    A pipeline that takes one element every cycle and never stalls; no handshake.
    """

    value: In(signed(8))
    zero_point: In(signed(8))
    multiplier: In(unsigned(32))
    shift: In(signed(8))
    out: Out(signed(32))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports = ("value", "zero_point", "multiplier", "shift")
        pipe = Pipeline(m, latency.OPERAND_STAGES, **{port: getattr(self, port) for port in ports})
        read, make = pipe.read, pipe.make
        m.d.sync += make("offset", signed(9), "offset").eq(read("value", "offset") - read("zero_point", "offset"))
        factor = Cat(read("multiplier", "product")[:31], Const(0, 1)).as_signed()
        pipe.enter("product", product(m, read("offset", "product"), factor, "product", stages=1), "product")
        # (product << 20 + 2**30) >> 31 without the zeros.
        drop = 31 - ADD_LEFT_SHIFT
        m.d.sync += [
            make("high", signed(31), "high").eq((read("product", "high") + (1 << (drop - 1))) >> drop),
            make("right", 5, "high").eq(-read("shift", "high")),
        ]
        high, right = read("high", "biased"), read("right", "biased")
        biased = make("biased", signed(33), "biased")
        with m.If(right == 0):
            m.d.sync += biased.eq(high)
        with m.Else():
            half = Signal(31)
            m.d.comb += half.eq(Const(1, 31) << (right - 1)[:5])
            m.d.sync += biased.eq(high + half - (high < 0))
        m.d.sync += self.out.eq(read("biased", "out") >> read("right", "out"))
        return m
