"""Requantizer arithmetic: 32-bit sums to 8-bit outputs.

Where a rounding is decided in hardware. The integer meaning is that of intaglio.network.arithmetic.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.binary32 import FRACTION, SIGNIFICANT, WHOLE, rounds_up
from intaglio.hw.pipeline import Pipeline
from intaglio.hw.product import product
from intaglio.machine import latency
from intaglio.machine.config import ROUNDINGS
from intaglio.machine.formats import SUM
from intaglio.machine.isa import RoundingCode

_ROOM = 3
"""Bits that FLOAT's product is shifted left by, so that what remains is a right shift for the more of the shifts."""
_LEAST = 31 - FRACTION + _ROOM
"""FLOAT's right shift where `shift` is 0."""


class Requantizer(wiring.Component):
    """One lane: out = clamp(round((sum + bias + carry) * multiplier * 2**(shift - 31)) + zero_point).

    Ports
    -----
    sum, bias : In, signed 32 each
    carry : In, 1 bit
        Added to them; the sum wraps.
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
                "carry": In(1),
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
        ports = ("sum", "bias", "carry", "multiplier", "shift", "rounding", "zero_point", "clamp_min", "clamp_max")
        pipe = Pipeline(m, self._stages, **{port: getattr(self, port) for port in ports})
        added, bias, carry = (pipe.read(name, "total") for name in ("sum", "bias", "carry"))
        with_carry = Cat(1, added) + Cat(carry, bias)
        m.d.sync += pipe.make("total", signed(32), "total").eq(with_carry[1:33].as_signed())
        self._shifts(m, pipe)
        self._value(m, pipe)
        value, factor = pipe.read("value", "product"), pipe.read("multiplier", "product")[:31]
        stages = pipe.between("product", "product2") + 1
        pipe.enter(
            "product",
            product(m, value, factor, "product", stages=stages, shape=signed(63), platform=platform),
            "product2",
        )
        self._high(m, pipe)
        self._shifted(m, pipe)
        self._out(m, pipe, *self._rounded(m, pipe))
        return m

    def _shifts(self, m: Module, pipe: Pipeline) -> None:
        """The mode and the shifts, before they are needed: DOUBLE's to the left, and the one to the right that is left of
        the scaling after it."""
        read, make = pipe.read, pipe.make
        rounding, shift = read("rounding", "total"), read("shift", "total")
        is_double, is_float = rounding == RoundingCode.DOUBLE, rounding == RoundingCode.FLOAT
        m.d.sync += [
            make("is_double", 1, "total").eq(is_double),
            make("is_float", 1, "total").eq(is_float),
            make("of_magnitude", 1, "total").eq(is_float | (rounding == RoundingCode.AWAY)),
            make("left", 5, "total").eq(Mux(is_double & (shift > 0), shift[:5], 0)),
        ]
        shift, right = read("shift", "value"), make("right", 6, "value")
        m.d.sync += right.eq(31 - shift)
        if self._double:
            with m.If(read("is_double", "value")):
                m.d.sync += right.eq(Mux(shift < 0, -shift, 0))
        if self._float:
            # A right shift by 31 - shift that leaves FRACTION bits. Where it would be a left shift, the product, at
            # least 2**30 if not 0, is beyond WHOLE bits without it.
            with m.If(read("is_float", "value")):
                m.d.sync += right.eq(Mux(shift < _LEAST, _LEAST - shift, 0))

    def _value(self, m: Module, pipe: Pipeline) -> None:
        """The factor that is multiplied: the total shifted left (DOUBLE, wraps at 32 bits as the format's int32 does), or its
        magnitude (AWAY, FLOAT), which FLOAT has rounded behind it."""
        read, make = pipe.read, pipe.make
        total, negate = read("total", "value"), Signal()
        m.d.comb += negate.eq(read("of_magnitude", "value") & (total < 0) if self._away or self._float else 0)
        left = read("left", "value") if self._double else Const(0, 5)
        # With FLOAT's stage behind this one, the rest of the shift is done there.
        shifted = (total << (left[:3] if self._float else left))[:32].as_signed()
        m.d.sync += [
            make("negate", 1, "value").eq(negate),
            make("value", signed(33), "value").eq(Mux(negate, -total, shifted)),
        ]
        if self._float:
            self._significand(m, pipe)

    def _significand(self, m: Module, pipe: Pipeline) -> None:
        """FLOAT's magnitude as binary32 holds it: SIGNIFICANT bits, half to even; of DOUBLE the rest of the shift."""
        read, make = pipe.read, pipe.make
        # A one at the highest bit that is too many, of which there are as many as above SIGNIFICANT. Found before the
        # total is negated: where that adds one at the top, it is a power of two, which has nothing to round.
        total, is_float = read("total", "value"), read("is_float", "value")
        ones = (total ^ (total < 0).replicate(32))[SIGNIFICANT:31]
        dropped = Cat(is_float & ones[i] & ~ones[i + 1 :].any() for i in range(len(ones)))
        m.d.sync += make("dropped", len(ones), "value").eq(dropped)

        value, dropped = read("value", "significand"), read("dropped", "significand")
        if self._double:
            left, is_double = read("left", "significand"), read("is_double", "significand")
            shifted = (value[:32] << (left & 0b11000))[:32]
            value = Cat(shifted, Mux(is_double, shifted[-1], value[-1]))
        # Half of the last place kept is the one in `dropped`; after a tie that place is made even.
        nearest, places = Signal(33), range(len(ones))
        m.d.comb += nearest.eq(value + dropped)
        tie = Cat(dropped[i] & (value[: i + 1] == 1 << i) for i in places)
        cleared = Cat(Cat(dropped[i:].any() for i in places), Const(0, 1)) | (tie << 1)
        rounded = Cat(nearest[: len(cleared)] & ~cleared, nearest[len(cleared) :])
        m.d.sync += make("value", signed(33), "significand").eq(rounded.as_signed())

    def _high(self, m: Module, pipe: Pipeline) -> None:
        """The value that is shifted right, with a bit behind the point, of FLOAT with _ROOM: of DOUBLE the product's high
        half, rounded half up (its saturating case needs a negative multiplier), of the others the product. A shift by
        32 is done here."""
        read, make = pipe.read, pipe.make
        whole, right = read("product", "high"), read("right", "high")
        high, given = make("high", 64, "high"), Signal(signed(len(whole) + _ROOM))
        m.d.comb += given.eq(whole << 1)
        if self._float:
            with m.If(read("is_float", "high")):
                m.d.comb += given.eq(whole << _ROOM)
        m.d.sync += high.eq(Mux(right[5], given >> 32, given))
        if self._double:
            half_up = Signal(signed(34))
            m.d.comb += half_up.eq((whole >> 30) + 1)
            with m.If(read("is_double", "high")):
                m.d.sync += high.eq(Cat(Const(0, 1), half_up[1:]).as_signed())
        # Of FLOAT what lies below, and beyond what a shift by 31 brings to WHOLE bits.
        m.d.sync += [
            make("sticky", 1, "high").eq(right[5] & whole[: 32 - _ROOM].any()),
            make("beyond", 1, "high").eq(~right[5] & whole[64 - _ROOM :].any()),
        ]

    def _shifted(self, m: Module, pipe: Pipeline) -> None:
        """The rest of the shift, to 32 bits and the one behind the point; a sticky bit of those below, and of FLOAT, which
        has WHOLE bits before the point and FRACTION behind it, whether any lie beyond."""
        read, make = pipe.read, pipe.make
        shifted, sticky, beyond = (read(name, "shifted") for name in ("high", "sticky", "beyond"))
        right = read("right", "shifted")
        for step in (16, 8, 4, 2, 1):
            taken, left = right[step.bit_length() - 1], len(shifted) - step
            sticky = Cat(sticky, taken & shifted[:step].any())
            beyond = Cat(beyond, ~taken & shifted[left:].any())
            shifted = Mux(taken, shifted[step:], shifted[:left])
        m.d.sync += [
            make("shifted", 33, "shifted").eq(shifted),
            make("sticky", len(sticky), "shifted").eq(sticky),
            make("beyond", len(beyond), "shifted").eq(beyond),
        ]

    def _rounded(self, m: Module, pipe: Pipeline) -> tuple[Value, Value]:
        """32 bits and a carry, before the registers of `shown`, whose sum is the quotient; -x - up = ~x + 1 - up."""
        stage = "chosen" if self._float else "shown"
        shifted, sticky, negate = (pipe.read(name, stage) for name in ("shifted", "sticky", "negate"))
        quotient, up = shifted[1:], shifted[0]
        if self._double:  # half away from zero
            up = up & (sticky.any() | ~(pipe.read("is_double", stage) & shifted[-1]))
        if not self._float:
            return quotient ^ negate.replicate(32), up ^ negate
        whole, is_float, beyond = shifted[FRACTION:], pipe.read("is_float", stage), pipe.read("beyond", stage).any()
        of_float = Cat(whole | beyond.replicate(WHOLE), beyond)
        m.d.sync += [
            pipe.make("quotient", 32, stage).eq(Mux(is_float, of_float, quotient) ^ negate.replicate(32)),
            pipe.make("up", 1, stage).eq(up),
            pipe.make("up_of_float", 1, stage).eq(rounds_up(m, whole, Cat(sticky.any(), shifted[:FRACTION]))),
        ]
        names = ("quotient", "up", "up_of_float", "is_float", "negate")
        quotient, up, up_of_float, is_float, negate = (pipe.read(name, "shown") for name in names)
        return quotient, Mux(is_float, up_of_float, up) ^ negate

    def _out(self, m: Module, pipe: Pipeline, quotient: Value, carry: Value) -> None:
        """Zero point and clamp. Quotient and carry may wrap in 32 bits to -2**31, below every clamp; the sum does not show
        that."""
        read, make = pipe.read, pipe.make
        with_carry = Cat(1, quotient).as_signed() + Cat(carry, read("zero_point", "shown")).as_signed()
        m.d.sync += [
            make("shown", signed(33), "shown").eq(with_carry >> 1),
            make("wraps", 1, "shown").eq(carry & (quotient == (1 << 31) - 1)),
        ]
        shown, low, top = (read(name, "out") for name in ("shown", "clamp_min", "clamp_max"))
        out = make("out", signed(8), "out")
        m.d.sync += out.eq(Mux(read("wraps", "out") | (shown < low), low, Mux(shown > top, top, shown)))
        m.d.comb += self.out.eq(out)
