"""Products of two hardware values: the one way in which modules make a multiplier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value

from intaglio.hw import mult18x18d
from intaglio.hw.pipeline import delay
from intaglio.hw.target import ECP5, PORTABLE

PART = 17
"""Bits of an operand, beside a sign, that the multipliers of most DSP blocks take."""


def product(
    m: Module,
    a: Value,
    b: Value,
    name: str,
    *,
    stages: int,
    plus: Value | None = None,
    shape: Any = None,
    enable: Any = None,
    part: int = PART,
    platform: object = PORTABLE,
    attributes: Mapping[str, int | str] | None = None,
) -> Any:
    """a * b + plus as it was `stages` cycles ago, at least 1: as many registers in a row, for a DSP block to take in, and
    the operands' own where nothing lies behind them.

    Operands that a DSP block does not hold are multiplied in parts, whose products are added in a stage of its own: at
    least 2 stages, as with `plus`.

    plus: unsigned. shape: of the result, where it is known to need fewer bits than any values of these shapes. enable: 1
    bit; where it is low the first registers keep what they have; not with `plus`. The registers have no reset: a valid
    bit beside them says what they mean. part: as PART, where it is another. platform: of the module (hw/target.py), whose
    multipliers are taken. attributes: for synthesis, such as use_dsp, written before each of the first registers in the
    Verilog.
    """
    if stages < 1:
        raise ValueError(f"{name}: a product has a register of its own")
    assert plus is None or enable is None, f"{name}: what is added would not be held"
    a, b = Value.cast(a), Value.cast(b)
    whole = Shape.cast(shape or (a * b if plus is None else a * b + plus).shape())
    pairs = [(at_a + at_b, x, y) for at_a, x in _parts(a, part) for at_b, y in _parts(b, part)]
    alone = len(pairs) == 1 and plus is None
    if stages < 2 and not alone:
        raise ValueError(f"{name}: the sum of a product's parts has a register of its own")
    made: list[tuple[int, Value]] = []
    for i, (at, x, y) in enumerate(pairs):
        register = Signal(
            whole if alone else (x * y).shape(),
            name=name if alone else f"{name}_part{i}",
            reset_less=True,
            attrs={"intaglio.product": f"{_shape(x)} * {_shape(y)}", **(attributes or {})},
        )
        if platform == ECP5 and max(len(x), len(y)) <= mult18x18d.BITS:
            dsp = f"{register.name}_dsp"
            m.d.comb += register.eq(mult18x18d.multiplied(m, x, y, dsp, 1 if enable is None else enable))
        elif enable is None:
            m.d.sync += register.eq(x * y)
        else:
            with m.If(enable):
                m.d.sync += register.eq(x * y)
        made.append((at, register))
    if alone:
        return delay(m, made[0][1], stages - 1, name, reset_less=True)
    if plus is not None:
        made.append((0, delay(m, plus, 1, f"{name}_plus", reset_less=True)))
    total = Signal(whole, name=name, reset_less=True)
    m.d.sync += total.eq(_sum(list(_rows(made)), len(total)))
    return delay(m, total, stages - 2, name, reset_less=True)


def _parts(value: Value, part: int) -> list[tuple[int, Value]]:
    """Parts that a multiplier takes, from the lowest bits on, with their places; of a signed value the last is signed."""
    signed = value.shape().signed
    *places, last = range(0, max(len(value) - signed, 1), part)
    rest = value[last:].as_signed() if signed else value[last:]
    return [*((at, value[at : at + part]) for at in places), (last, rest)]


def _rows(values: Iterable[tuple[int, Value]]) -> Iterator[Value]:
    """Values with their places, as fewer ones of the same sum: those that do not overlap stand side by side in one."""
    left = sorted(values, key=lambda value: (value[0], value[1].shape().signed))
    while left:
        row: Value = Const(0, 0)
        over = []
        for at, value in left:
            if row.shape().signed or at < len(row):
                over.append((at, value))
            else:
                row = Cat(row, Const(0, at - len(row)), value)
                row = row.as_signed() if value.shape().signed else row
        yield row
        left = over


def _sum(rows: list[Value], width: int) -> Value:
    """The sum's low bits. Three rows become two without a carry that runs, until one runs through the last two."""
    rows = [_extended(row, width) for row in rows]
    while len(rows) > 2:
        a, b, c, *others = rows
        carries = (a & b) | (a & c) | (b & c)
        rows = [*others, a ^ b ^ c, Cat(Const(0, 1), carries)[:width]]
    return rows[0] + rows[1]


def _extended(row: Value, width: int) -> Value:
    """Its low bits, as many as width."""
    sign = row[-1] if row.shape().signed else Const(0, 1)
    return Cat(row, sign.replicate(max(width - len(row), 0)))[:width]


def _shape(value: Value) -> str:
    return f"{'signed' if value.shape().signed else 'unsigned'} {value.shape().width}"
