"""IEEE 754 binary32 where requantizing by float32 needs it: its sizes, and the rounding of a product and then to an integer."""

from amaranth.hdl import Module, Mux, Signal, Value

SIGNIFICANT = 24
"""Bits of a binary32 significand, the hidden one included."""
WHOLE, FRACTION = 8, SIGNIFICANT + 1
"""Bits before and after the point of what `rounds_up` looks at; larger values than WHOLE bits hold are beyond every clamp."""


def rounds_up(m: Module, whole: Value, fraction: Value) -> Value:
    """1 where a product v rounded to 24 significant bits and then to an integer, both half to even, is whole + 1, else 0.

    v = whole + fraction / 2**26: whole, unsigned WHOLE, fraction, unsigned FRACTION + 1, whose last bit is 1 where anything
    below it is.

    Two roundings as one comparison: with k = the bits of whole, numbers of 24 significant bits around v are u = 2**(k - 24)
    apart (for whole = 0 that holds above one half, and what lies below stays at or below it). whole + 1/2 is an even
    multiple of u, so the first rounding takes to it exactly what lies within u / 2, both ends included, and the second
    rounding then takes it to the even integer. Hence whole + 1 from 1/2 - u/2 on if whole is odd, above 1/2 + u/2 if even.
    """
    half = 1 << SIGNIFICANT
    least = Signal(FRACTION + 1)
    m.d.comb += least.eq(2 * (half + 1) + 1)
    for bits in range(1, WHOLE + 1):  # the highest bit set decides
        reach = 1 << bits  # u / 2 in units of 2**-FRACTION
        with m.If(whole[bits - 1]):
            m.d.comb += least.eq(Mux(whole[0], 2 * (half - reach), 2 * (half + reach) + 1))
    return fraction >= least
