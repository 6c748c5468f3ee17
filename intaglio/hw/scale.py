"""Requantizer arithmetic: 32-bit sums to 8-bit outputs, and ADD's operands to 32 bits.

Where a rounding is decided in hardware. The integer meaning is that of intaglio.network.arithmetic.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.isa import ADD_LEFT_SHIFT, RoundingCode
from intaglio.hw.pipeline import delay


class Requantizer(wiring.Component):
    """One lane: out = clamp(round((sum + bias) * multiplier * 2**(shift - 31)) + zero_point).

    A pipeline that takes one element every cycle and never stalls; there is no handshake.

    sum, bias: In, signed 32; their sum wraps. multiplier: In, unsigned 32, below 2**31. shift: In, signed 8,
    -31 to 30, positive is left. rounding: In, 2 bits, isa.RoundingCode; only modes that are built in.
    zero_point, clamp_min, clamp_max: In, signed 8. All belong to the element that enters in this cycle.
    out: Out, signed 8, of the element that entered LATENCY cycles ago.
    """

    LATENCY = 8

    def __init__(self, rounding: tuple[str, ...] = ("double", "single", "away")):
        self._modes = {RoundingCode[mode.upper()] for mode in rounding}
        super().__init__(
            {
                "sum": In(signed(32)),
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
        double_built = RoundingCode.DOUBLE in self._modes
        away_built = RoundingCode.AWAY in self._modes

        # 1: bias.
        total = Signal(signed(32))
        m.d.sync += total.eq(self.sum + self.bias)
        multiplier = delay(m, self.multiplier, 2, "multiplier")
        shift = delay(m, self.shift, 1, "shift")
        rounding = delay(m, self.rounding, 1, "rounding")

        # 2: left shift (DOUBLE, wraps at 32 bits as the format's int32 does) or magnitude (AWAY).
        value = Signal(signed(33))
        negate = Signal()
        m.d.sync += [value.eq(total), negate.eq(0)]
        if double_built:
            with m.If(rounding == RoundingCode.DOUBLE):
                shifted = Signal(signed(32))
                left = Mux(shift > 0, shift[:5], 0)
                m.d.comb += shifted.eq(total << left)
                m.d.sync += value.eq(shifted)
        if away_built:
            with m.If(rounding == RoundingCode.AWAY):
                m.d.sync += [value.eq(Mux(total < 0, -total, total)), negate.eq(total < 0)]
        shift2 = delay(m, shift, 1, "shift2")
        double2 = delay(m, rounding == RoundingCode.DOUBLE, 1, "double2")

        # 3, 4: product, with a second register that a DSP block takes in.
        product = Signal(signed(64))
        product2 = Signal(signed(64))
        m.d.sync += [product.eq(value * Cat(multiplier[:31], Const(0, 1)).as_signed()), product2.eq(product)]
        shift4 = delay(m, shift2, 2, "shift4")
        double4 = delay(m, double2, 2, "double4")
        negate4 = delay(m, negate, 2, "negate4")

        # 5: DOUBLE takes the high half here, rounded half up (its saturating case needs a negative
        # multiplier); the others keep the whole product. What is left is a right shift.
        high = Signal(signed(64))
        right = Signal(6)
        m.d.sync += [high.eq(product2), right.eq(31 - shift4)]
        if double_built:
            with m.If(double4):
                m.d.sync += [high.eq((product2 + (1 << 30)) >> 31), right.eq(Mux(shift4 < 0, -shift4, 0))]
        double5 = delay(m, double4, 1, "double5")
        negate5 = delay(m, negate4, 1, "negate5")

        # 6: half of the last place; DOUBLE rounds half away from zero.
        biased = Signal(signed(65))
        right6 = delay(m, right, 1, "right6")
        with m.If(right == 0):
            m.d.sync += biased.eq(high)
        with m.Else():
            half = Signal(63)
            m.d.comb += half.eq(Const(1, 63) << (right - 1)[:6])
            m.d.sync += biased.eq(high + half - (double5 & (high < 0)))
        negate6 = delay(m, negate5, 1, "negate6")

        # 7: the shift, to 32 bits.
        scaled = Signal(signed(32))
        quotient = Signal(signed(32))
        m.d.comb += quotient.eq(biased >> right6)
        m.d.sync += scaled.eq(Mux(negate6, -quotient, quotient))

        # 8: zero point and clamp.
        shown = Signal(signed(33))
        low = delay(m, self.clamp_min, 7, "clamp_min")
        top = delay(m, self.clamp_max, 7, "clamp_max")
        m.d.comb += shown.eq(scaled + delay(m, self.zero_point, 7, "zero_point"))
        m.d.sync += self.out.eq(Mux(shown < low, low, Mux(shown > top, top, shown)))
        return m


class OperandScale(wiring.Component):
    """One operand of ADD: out = DOUBLE rounding of ((value - zero_point) << 20) * multiplier * 2**(shift - 31).

    A pipeline that takes one element every cycle and never stalls; there is no handshake.

    value, zero_point: In, signed 8. multiplier: In, unsigned 32, below 2**31. shift: In, signed 8, -31 to 0.
    out: Out, signed 32, of the element that entered LATENCY cycles ago.
    """

    LATENCY = 5

    value: In(signed(8))
    zero_point: In(signed(8))
    multiplier: In(unsigned(32))
    shift: In(signed(8))
    out: Out(signed(32))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        offset = Signal(signed(9))
        m.d.sync += offset.eq(self.value - self.zero_point)
        multiplier = delay(m, self.multiplier, 1, "multiplier")
        product = Signal(signed(41))
        m.d.sync += product.eq(offset * Cat(multiplier[:31], Const(0, 1)).as_signed())
        # (product << 20 + 2**30) >> 31 without the zeros.
        drop = 31 - ADD_LEFT_SHIFT
        high = Signal(signed(31))
        right = Signal(5)
        m.d.sync += high.eq((product + (1 << (drop - 1))) >> drop)
        m.d.sync += right.eq(-delay(m, self.shift, 2, "shift"))
        biased = Signal(signed(33))
        right4 = delay(m, right, 1, "right4")
        with m.If(right == 0):
            m.d.sync += biased.eq(high)
        with m.Else():
            half = Signal(31)
            m.d.comb += half.eq(Const(1, 31) << (right - 1)[:5])
            m.d.sync += biased.eq(high + half - (high < 0))
        m.d.sync += self.out.eq(biased >> right4)
        return m
