"""Trials of elements with several sums: P output channels a byte of weights, one 8x8, two 8x4 or four 8x2 products.

An array of them for `benchmarks.elements`: activations to the right, weights downwards, a step's control beside its activation,
as in intaglio.hw.array, without DEPTHWISE's bus and weights' zero points. Which widths a step's weights have is chosen at run time.
"""

from __future__ import annotations

import enum

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.array import StepControl, skewed
from intaglio.hw.digit_product import OFFSET, partial_product, plus_carry
from intaglio.hw.pipeline import register
from intaglio.hw.product import product

ELEMENT = 3
"""Cycles from a step at an element's edge to the sum with it: operands, products, sums."""
GATHER = 1
"""Cycles from an element's sums to their column's output."""


class Form(enum.Enum):
    """Products out of a multiplier (DSP), beside it out of tables what it does not hold, or all out of tables (LUT)."""

    DSP = enum.auto()
    LUT = enum.auto()


class Mode(enum.IntEnum):
    """Products a step, as a power of two."""

    W8 = 0
    W4 = 1
    W2 = 2


def fields(weight: Value, bits: int) -> list[Value]:
    """A byte's weights of so many bits, the lowest first."""
    return [weight[at : at + bits].as_signed() for at in range(0, 8, bits)]


Summand = tuple[Value, Value]
"""A signed value, and 1 bit to be added to it by a carry."""
NONE = Const(0, 1)
"""The carry of a summand that needs none."""


class Encoder:
    """What a form makes of a byte of weights at its column's edge, and of that code and an activation in an element.

    sums: P, of one element: 1, 2 or 4. multiplier: bits of the multiplier's wider operand, for form DSP.
    """

    def __init__(self, form: Form, sums: int, multiplier: int):
        self.form, self.sums = form, sums
        self.modes = list(Mode)[: sums.bit_length()]
        # Two 8x4 products are 12 bits apart. 8x2 products are 10 apart: of their weights the operand holds as many as it can.
        self._held = min(4, (multiplier + 7) // 10) if Mode.W2 in self.modes else 1
        self._operand = max((8, 17, 17)[len(self.modes) - 1], 10 * self._held - 7)

    def code(self, weight: Value, mode: Value | None) -> Value:
        """Combinational, signed."""
        return _chosen(mode, [self._code(weight.as_signed(), each) for each in self.modes])

    def _code(self, weight: Value, mode: Mode) -> Value:
        parts = fields(weight, 8 >> mode)
        if self.form is Form.LUT:
            return Cat(_digits(parts)).as_signed()
        if mode is not Mode.W2:
            return _sum_of(parts, 12)
        packed = _sum_of(parts[: self._held], 10)
        others = [(part + 2)[:2] for part in parts[self._held :]]
        return Cat(packed, packed[-1].replicate(self._operand - len(packed)), *others).as_signed()

    def summands(
        self, m: Module, activation: Value, code: Value, mode: Value | None, enable: Value, name: str
    ) -> list[Summand]:
        """What is added to each sum, a cycle later."""
        if self.form is Form.DSP:
            return self._by_multiplier(m, activation, code, mode, enable, name)
        one = [partial_product(digit, activation) for digit in (code[0:2], code[2:5], code[5:7], code[7:10])]
        two = [_above(one[0], one[1], 2), _above(one[2], one[3], 2)]
        by_mode = [[_above(two[0], two[1], 4)], two, one][: len(self.modes)]
        return [_kept(m, _of_mode(mode, by_mode, k), enable, f"{name}_{k}") for k in range(self.sums)]

    def _by_multiplier(
        self, m: Module, activation: Value, code: Value, mode: Value | None, enable: Value, name: str
    ) -> list[Summand]:
        y = code[: self._operand].as_signed()
        whole = product(m, activation, y, f"{name}_products", stages=1, enable=enable, part=24)

        def held(k: int, spacing: int) -> Summand:
            low = spacing * k
            return whole[low : low + spacing].as_signed(), whole[low - 1] if k else NONE

        by_mode = [[held(0, 16)]]
        if Mode.W4 in self.modes:
            by_mode.append([held(k, 12) for k in range(2)])
        if Mode.W2 in self.modes:
            by_mode.append([held(k, 10) for k in range(self._held)])
            for k in range(self._held, 4):
                at = self._operand + 2 * (k - self._held)
                by_mode[-1].append(_kept(m, partial_product(code[at : at + 2], activation), enable, f"{name}_{k}"))
        return [_of_mode(mode, by_mode, k) for k in range(self.sums)]


def _sum_of(parts: list[Value], spacing: int) -> Value:
    """Weights so many bits apart in one operand, which is a bit wider than they lie: the lowest may be negative."""
    total = parts[0]
    for at, part in enumerate(parts[1:], 1):
        total = total + (part << spacing * at)
    bits = spacing * (len(parts) - 1) + len(parts[0]) + (len(parts) > 1)
    return total[:bits].as_signed()


def _of_mode(mode: Value | None, by_mode: list[list[Summand]], k: int) -> Summand:
    """Sum k's; that of the next mode which has one where a mode has none."""
    own = [of[k] for of in by_mode if k < len(of)]
    own = [own[0]] * (len(by_mode) - len(own)) + own
    carry = NONE if all(carry is NONE for _, carry in own) else _chosen(mode, [carry for _, carry in own])
    return _chosen(mode, [value for value, _ in own]), carry


def _kept(m: Module, summand: Summand, enable: Value, name: str) -> Summand:
    """A cycle later, in a register."""
    kept = Signal(len(summand[0]) + 1, name=name, reset_less=True)
    with m.If(enable):
        m.d.sync += kept.eq(Cat(summand[1], summand[0]))
    return kept[1:].as_signed(), kept[0]


def _digits(parts: list[Value]) -> list[Value]:
    """Four digits to the base 4 of a byte's weights: the even ones of 2 bits, which count from -2, the odd ones of 3
    bits, signed."""
    count = 4 // len(parts)
    out: list[Value] = []
    for part in parts:
        shifted = part + {1: 2, 2: 2, 4: OFFSET}[count]
        for at in range(count):
            top = at == count - 1 and count > 1
            digit = shifted[2 * at : 2 * at + 3].as_signed() if top else shifted[2 * at : 2 * at + 2]
            if len(out) % 2 and not top:
                digit = (digit - 2)[:3].as_signed()
            out.append(digit)
    return out


def _above(low: Summand, high: Summand, shift: int) -> Summand:
    """low + 2 ** shift * high; the low one's carry stays to be added."""
    value, carry = low
    upper = plus_carry(value[shift:].as_signed(), *high)
    return Cat(value[:shift], upper).as_signed(), carry


def _chosen(mode: Value | None, values: list[Value]) -> Value:
    """The mode's, of a value for each mode built in."""
    out = values[-1]
    for at in reversed(range(len(values) - 1)):
        out = Mux(mode == at, values[at], out)
    return out


class TrialRow(wiring.Component):
    """A row of elements with `sums` sums of `sum_bits` bits.

    Ports
    -----
    activation, control : In, signed 8 and StepControl
        Of column 0; column c has them c cycles later.
    weight[c], weight_out[c] : In, Out, the column's encoded byte
        From above, and below one cycle later.
    mode : In, 2 bits; only with several sums
        Stable while steps are under way.
    sum[c] : Out, `sums` times sum_bits bits
        The complete sums while bit c of `done` is high.
    done : Out, 1 bit a column
        One cycle, ELEMENT cycles after the last step entered the column.

    No flow control.
    """

    def __init__(self, cols: int, encoder: Encoder, code_bits: int, sum_bits: int):
        self._cols, self._encoder, self._code_bits, self._sum_bits = cols, encoder, code_bits, sum_bits
        code = signed(code_bits)
        super().__init__(
            {
                "activation": In(signed(8)),
                "control": In(StepControl),
                "weight": In(code).array(cols),
                "weight_out": Out(code).array(cols),
                **({"mode": In(2)} if encoder.sums > 1 else {}),
                "sum": Out(encoder.sums * sum_bits).array(cols),
                "done": Out(cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        encoder, cols = self._encoder, self._cols
        mode = self.mode if encoder.sums > 1 else None
        valid, first, last, starts = (Signal(cols, name=name) for name in ("valid", "first", "last", "starts"))
        add, ends = Signal(cols), Signal(cols)
        m.d.sync += [
            valid.eq(Cat(self.control.valid, valid)),
            first.eq(Cat(self.control.first, first)),
            last.eq(Cat(self.control.last, last)),
            add.eq(valid),
            starts.eq(first),
            ends.eq(valid & last),
            self.done.eq(ends),
        ]
        passed: Value = self.activation
        for c in range(cols):
            activation = Signal(signed(8), name=f"activation{c}", reset_less=True)
            weight = Signal(signed(self._code_bits), name=f"weight{c}", reset_less=True)
            m.d.sync += [activation.eq(passed), weight.eq(self.weight[c])]
            m.d.comb += self.weight_out[c].eq(weight)
            passed = activation
            totals = []
            summands = encoder.summands(m, activation, weight, mode, valid[c], f"product{c}")
            for k, (value, carry) in enumerate(summands):
                total = Signal(signed(self._sum_bits), name=f"sum{c}_{k}", reset_less=True)
                # A sum that the mode leaves out stands still.
                used = add[c] if mode is None or not k else add[c] & (mode >= k.bit_length())
                before = Mux(starts[c], 0, total)
                with m.If(used):  # without a carry a DSP block may hold the sum, too
                    m.d.sync += total.eq(before + value if carry is NONE else plus_carry(before, value, carry))
                totals.append(total)
            m.d.comb += self.sum[c].eq(Cat(totals))
        return m


class TrialArray(wiring.Component):
    """rows x cols of the elements, with the encoding and skew of weights and the gathering of sums.

    Ports
    -----
    activation[r], control[r] : In, signed 8 and StepControl
        Row r runs r cycles behind row 0.
    weight[c] : In, 8 bits
        In the cycle in which row 0 takes that step; skewed and encoded inside.
    mode : In, 2 bits; only with several sums
        A Mode, stable while steps are under way.
    sum[c] : Out, `sums` times sum_bits bits
        Row r's r + c + ELEMENT + GATHER cycles after row 0's last step entered, 0 where none is complete.

    No flow control.
    """

    def __init__(self, rows: int, cols: int, form: Form, sums: int, sum_bits: int, multiplier: int = 18):
        self.rows, self.cols, self._sum_bits = rows, cols, sum_bits
        self._encoder = Encoder(form, sums, multiplier)
        super().__init__(
            {
                "activation": In(signed(8)).array(rows),
                "control": In(StepControl).array(rows),
                "weight": In(8).array(cols),
                **({"mode": In(2)} if sums > 1 else {}),
                "sum": Out(sums * sum_bits).array(cols),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        mode = self.mode if self._encoder.sums > 1 else None
        weights: list[Value] = [self._encoder.code(byte, mode) for byte in skewed(m, list(self.weight), "weight")]
        bits = len(weights[0])
        rows = []
        for r in range(self.rows):
            m.submodules[f"row{r}"] = row = TrialRow(self.cols, self._encoder, bits, self._sum_bits)
            rows.append(row)
            m.d.comb += [row.activation.eq(self.activation[r]), row.control.eq(self.control[r])]
            m.d.comb += [row.weight[c].eq(weight) for c, weight in enumerate(weights)]
            if mode is not None:
                m.d.comb += row.mode.eq(mode)
            weights = list(row.weight_out)
        for c in range(self.cols):
            shown = Const(0, 1)
            for row in rows:
                shown = shown | Mux(row.done[c], row.sum[c], 0)
            register(m, self.sum[c], shown, GATHER, f"gathered{c}")
        return m
