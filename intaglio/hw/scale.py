"""Requantizer arithmetic: 32-bit sums to 8-bit outputs, and ADD's operands to 32 bits.

Where a rounding is decided in hardware. The integer meaning is that of intaglio.network.arithmetic.
"""

from functools import partial

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.binary32 import FRACTION, WHOLE, rounded_to_significand, rounds_up
from intaglio.hw.config import ROUNDINGS
from intaglio.hw.isa import ADD_LEFT_SHIFT, RoundingCode
from intaglio.hw.pipeline import delay
from intaglio.hw.timing import requantizer_latency

_delay = partial(delay, reset_less=True)


class Requantizer(wiring.Component):
    """One lane: out = clamp(round((sum + bias) * multiplier * 2**(shift - 31)) + zero_point).

    A pipeline that takes one element every cycle and never stalls; there is no handshake.

    sum, bias: In, signed 32; their sum wraps. multiplier: In, unsigned 32, below 2**31; FLOAT: 0 or at least 2**30. shift:
    In, signed 8, -31 to 30, positive is left. rounding: In, 2 bits, isa.RoundingCode; only modes that
    are built in. zero_point, clamp_min, clamp_max: In, signed 8. All belong to the element that enters in this cycle.
    out: Out, signed 8, of the element that entered `latency` cycles ago (timing.requantizer_latency).
    """

    def __init__(self, rounding: tuple[str, ...] = ROUNDINGS):
        self._modes = {RoundingCode[mode.upper()] for mode in rounding}
        self.latency = requantizer_latency(rounding)
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
        float_built = RoundingCode.FLOAT in self._modes

        # Bias.
        total = Signal(signed(32), reset_less=True)
        m.d.sync += total.eq(self.sum + self.bias)
        multiplier = _delay(m, self.multiplier, 2 + float_built, "multiplier")
        shift = _delay(m, self.shift, 1, "shift")
        rounding = _delay(m, self.rounding, 1, "rounding")

        # Left shift (DOUBLE, wraps at 32 bits as the format's int32 does) or magnitude (AWAY, FLOAT).
        value = Signal(signed(33), reset_less=True)
        negate = Signal(reset_less=True)
        m.d.sync += [value.eq(total), negate.eq(0)]
        if double_built:
            with m.If(rounding == RoundingCode.DOUBLE):
                shifted = Signal(signed(32))
                left = Mux(shift > 0, shift[:5], 0)
                m.d.comb += shifted.eq(total << left)
                m.d.sync += value.eq(shifted)
        if away_built or float_built:
            of_magnitude = Signal()
            m.d.comb += of_magnitude.eq(
                (away_built & (rounding == RoundingCode.AWAY)) | (float_built & (rounding == RoundingCode.FLOAT))
            )
            with m.If(of_magnitude):
                m.d.sync += [value.eq(Mux(total < 0, -total, total)), negate.eq(total < 0)]
        shift = _delay(m, shift, 1, "shift_valued")
        is_double = _delay(m, rounding == RoundingCode.DOUBLE, 1, "double_valued")
        is_float = _delay(m, rounding == RoundingCode.FLOAT, 1, "float_valued")

        # FLOAT: the sum as binary32.
        if float_built:
            rounded = Signal(signed(33), reset_less=True)
            significand = rounded_to_significand(m, value[:32])
            m.d.sync += rounded.eq(Mux(is_float, significand, value))
            value = rounded
            shift = _delay(m, shift, 1, "shift_rounded")
            negate = _delay(m, negate, 1, "negate_rounded")
            is_double = _delay(m, is_double, 1, "double_rounded")
            is_float = _delay(m, is_float, 1, "float_rounded")

        # Product, with a second register that a DSP block takes in.
        product = Signal(signed(64), reset_less=True)
        product2 = Signal(signed(64), reset_less=True)
        m.d.sync += [product.eq(value * Cat(multiplier[:31], Const(0, 1)).as_signed()), product2.eq(product)]
        shift = _delay(m, shift, 2, "shift_product")
        is_double = _delay(m, is_double, 2, "double_product")
        is_float = _delay(m, is_float, 2, "float_product")
        negate = _delay(m, negate, 2, "negate_product")

        # DOUBLE takes the high half here, rounded half up (its saturating case needs a negative
        # multiplier); the others keep the whole product. What is left is a right shift.
        high = Signal(signed(66 if float_built else 64), reset_less=True)
        right = Signal(6, reset_less=True)
        m.d.sync += [high.eq(product2), right.eq(31 - shift)]
        if double_built:
            with m.If(is_double):
                m.d.sync += [high.eq((product2 + (1 << 30)) >> 31), right.eq(Mux(shift < 0, -shift, 0))]
        if float_built:
            # A right shift by 31 - shift that leaves FRACTION bits. Where it would be a left shift, the product, at
            # least 2**30 if not 0, is beyond WHOLE bits without it.
            room = 3
            least = 31 - FRACTION + room
            with m.If(is_float):
                m.d.sync += [high.eq(product2 << room), right.eq(Mux(shift < least, least - shift, 0))]
        is_double = _delay(m, is_double, 1, "double_high")
        is_float = _delay(m, is_float, 1, "float_high")
        negate = _delay(m, negate, 1, "negate_high")

        # Half of the last place; DOUBLE rounds half away from zero.
        biased = Signal(signed(66 if float_built else 65), reset_less=True)
        with m.If((right == 0) | (is_float if float_built else 0)):
            m.d.sync += biased.eq(high)
        with m.Else():
            half = Signal(63)
            m.d.comb += half.eq(Const(1, 63) << (right - 1)[:6])
            m.d.sync += biased.eq(high + half - (is_double & (high < 0)))
        right = _delay(m, right, 1, "right_biased")
        is_float = _delay(m, is_float, 1, "float_biased")
        negate = _delay(m, negate, 1, "negate_biased")

        # The shift, to 32 bits; of FLOAT to WHOLE bits before the point and FRACTION and a sticky one behind it.
        quotient = Signal.like(biased)
        scaled = Signal(signed(32), reset_less=True)
        carry: Value = Const(0, 1)
        m.d.comb += quotient.eq(biased >> right)
        near = quotient[:32].as_signed()
        m.d.sync += scaled.eq(Mux(negate, -near, near))
        if float_built:
            whole = Signal(WHOLE + 1, reset_less=True)
            fraction = Signal(FRACTION + 1, reset_less=True)
            sticky = Cat(biased[i] & (right > i) for i in range(least + 31)).any()
            beyond = quotient[FRACTION + WHOLE :].any()
            m.d.sync += [
                fraction.eq(Cat(sticky, quotient[:FRACTION])),
                whole.eq(Mux(beyond, -1, quotient[FRACTION : FRACTION + WHOLE])),
            ]
            # FLOAT's rounding; the last addition adds it, and completes the negative (-x - up = ~x + 1 - up).
            is_float = _delay(m, is_float, 1, "float_shifted")
            negate = _delay(m, negate, 1, "negate_shifted")
            up = rounds_up(m, whole[:WHOLE], fraction)
            chosen = Signal(signed(32), reset_less=True)
            carry = Signal(reset_less=True)
            signed_whole = Cat(whole ^ negate.replicate(len(whole)), negate).as_signed()
            m.d.sync += [chosen.eq(Mux(is_float, signed_whole, scaled)), carry.eq(is_float & (up ^ negate))]
            scaled = chosen

        # Zero point and clamp.
        shown = Signal(signed(33))
        zero_point, low, top = (
            _delay(m, getattr(self, name), self.latency - 1, name) for name in ("zero_point", "clamp_min", "clamp_max")
        )
        m.d.comb += shown.eq(scaled + zero_point + carry)
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
        offset = Signal(signed(9), reset_less=True)
        m.d.sync += offset.eq(self.value - self.zero_point)
        multiplier = _delay(m, self.multiplier, 1, "multiplier")
        product = Signal(signed(41), reset_less=True)
        m.d.sync += product.eq(offset * Cat(multiplier[:31], Const(0, 1)).as_signed())
        # (product << 20 + 2**30) >> 31 without the zeros.
        drop = 31 - ADD_LEFT_SHIFT
        high = Signal(signed(31), reset_less=True)
        right = Signal(5, reset_less=True)
        m.d.sync += high.eq((product + (1 << (drop - 1))) >> drop)
        m.d.sync += right.eq(-_delay(m, self.shift, 2, "shift"))
        biased = Signal(signed(33), reset_less=True)
        right4 = _delay(m, right, 1, "right4")
        with m.If(right == 0):
            m.d.sync += biased.eq(high)
        with m.Else():
            half = Signal(31)
            m.d.comb += half.eq(Const(1, 31) << (right - 1)[:5])
            m.d.sync += biased.eq(high + half - (high < 0))
        m.d.sync += self.out.eq(biased >> right4)
        return m
