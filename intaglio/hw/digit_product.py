"""Products of an activation and a weight without a multiplier: out of look-up tables and three additions.

An activation plus OFFSET has four digits to the base 4, of which the lower three count from -2 on: activation = sum of
4 ** i * d[i] with d[i] from -2 to 1, d[3] from -2 to 2. So each partial product is a choice of 0, w, -w, -2w and, for d[3],
2w by two and three bits: a bit of it is a look-up table of four inputs, five for d[3]. A negative one is taken as its bits
inverted, and what is missing, 1, goes into the carry of an addition.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from intaglio.hw.pipeline import delay

OFFSET = 2 + (2 << 2) + (2 << 4)
"""Added to an activation: its lower three digits' least values."""
DIGITS = 9
"""Bits of an activation plus OFFSET, signed: three digits of two bits and one of three."""


def digit_product(
    m: Module, digits: Value, weight: Value, name: str, *, stages: int, enable: Value
) -> tuple[Value, Value]:
    """(digits - OFFSET) * weight as it was `stages` cycles ago, at least 1, as two summands: a signed value, and 1 bit for
    the carry of the addition that takes it (`plus_carry`).

    digits: signed DIGITS bits, an activation of 8 bits plus OFFSET. weight: signed, of any width. enable: 1 bit; where it
    is low the first register keeps what it has. The registers have no reset: a valid bit beside them says what they mean.
    """
    if stages < 1:
        raise ValueError(f"{name}: a product has a register of its own")
    total, first = partial_product(digits[:2], weight)
    low: list[Value] = []
    for at in (2, 4, 6):
        partial, carry = partial_product(digits[at : at + 2] if at < 6 else digits[at:], weight)
        low.append(total[:2])
        total = plus_carry(total[2:].as_signed(), partial, carry)[: len(weight) + 2].as_signed()
    made = Cat(first, *low, total)
    register = Signal(len(made), name=name, reset_less=True)
    with m.If(enable):
        m.d.sync += register.eq(made)
    out = delay(m, register, stages - 1, name, reset_less=True)
    return out[1:].as_signed(), out[0]


def plus_carry(a: Value, b: Value, carry: Value) -> Any:
    """a + b + carry of two signed values by one chain of carries: a bit below theirs makes the carry."""
    return (Cat(Const(1, 1), a).as_signed() + Cat(carry, b).as_signed())[1:].as_signed()


def partial_product(digit: Value, weight: Value) -> tuple[Value, Value]:
    """A digit's multiple of the weight, as a signed value of one bit more and 1 bit to be added to it."""
    once, twice = Cat(weight, weight[-1]), Cat(Const(0, 1), weight)
    if len(digit) == 2:
        negative = ~digit[1]
        bits = Mux(digit[1], Mux(digit[0], once, 0), ~Mux(digit[0], once, twice))
    else:
        negative = digit[2]
        bits = Mux(digit[0], once, Mux(digit[1], twice, 0)) ^ negative.replicate(len(once))
    return bits[: len(once)].as_signed(), negative
