"""Two products by one multiplier: each pair of operands beside the other one's, in numpy and in Verilog, and the array's rows."""

from __future__ import annotations

import re

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.array import Array
from intaglio.hw.packed_products import BORROWED, PACKED, SPACING, PackedProducts
from intaglio.hw.pipeline import delay
from intaglio.hw.verilog import TOP, component_rtlil
from intaglio.machine import latency
from intaglio.machine.row_product import row_products
from tests.hw.verilated import Pipeline

ACTIVATIONS, WEIGHTS = np.arange(-128, 128), np.arange(-255, 256)
CORNERS = np.array([0, 1, -1, 2, 127, -127, -128])
WIDE_CORNERS = np.array([*CORNERS, 128, 254, 255, -254, -255])


class Pair(wiring.Component):
    """One column's PackedProducts with both rows' operands in the same cycle, and both products in one.

    broadcast: whether y is the activation. The ports that are not read then hold what differs in every bit.
    """

    def __init__(self, broadcast: bool, bus: bool = True, weight_bits: int = 9):
        self._broadcast, self._bus, self._weight_bits = broadcast, bus, weight_bits
        ports = {name: In(signed(9)) for name in ("x0", "x1", "y")}
        super().__init__({**ports, "upper": In(1), "lower": In(1), "out": Out(2 * BORROWED)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pair = pair = PackedProducts(1, self._weight_bits, self._bus)
        conv, other = (~self.x0, ~self.x1, ~self.y), (self.x0, self.x1, self.y)
        if not self._broadcast:
            conv, other = other, conv
        m.d.comb += [pair.activation[0].eq(conv[0]), pair.entering[0].eq(conv[1]), pair.lower_weight_in[0].eq(conv[2])]
        m.d.comb += pair.weight[0].eq(other[0])
        if self._bus:
            m.d.comb += [pair.lower_weight[0].eq(other[1]), pair.lower_activation[0].eq(other[2])]
            m.d.comb += pair.broadcast.eq(self._broadcast)
        # The lower row's step is in its registers a cycle after the upper row's, but where they are taken from registers.
        late = 0 if self._broadcast else 1
        m.d.comb += [pair.takes.eq(self.upper), pair.lower_takes.eq(delay(m, self.lower, late, "lower"))]
        low = delay(m, pair.low[0], late, "low")
        m.d.comb += self.out.eq(Cat(low, (pair.high[0] + pair.carry)[:BORROWED]))
        return m


def products(pair: Pipeline, broadcast: bool, **given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x0 * y and x1 * y."""
    both = {"upper": np.ones_like(given["y"]), "lower": np.ones_like(given["y"])}
    out = pair.run(both | given, latency.array_element(packed=True) - (2 if broadcast else 1))
    return _signed(out), _signed(out >> BORROWED)


def _signed(values: np.ndarray) -> np.ndarray:
    low = values & ((1 << BORROWED) - 1)
    return low - ((low >> BORROWED - 1) << BORROWED)


def operands(broadcast: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values of x and of y."""
    return (WEIGHTS, ACTIVATIONS) if broadcast else (ACTIVATIONS, WEIGHTS)


@pytest.mark.parametrize("broadcast", [False, True])
def test_the_arithmetic_holds_for_all_values(broadcast: bool) -> None:
    """The packed operand fits, and both products come out of the multiplier's."""
    xs, ys = operands(broadcast)
    x0, x1 = np.meshgrid(xs, xs)
    x = (x1 << SPACING) + x0
    assert x.min() >= -(1 << PACKED - 1) and x.max() < 1 << PACKED - 1
    for y in ys:
        whole = x * y
        low = ((whole + (1 << SPACING - 1)) & ((1 << SPACING) - 1)) - (1 << SPACING - 1)
        assert np.array_equal(low, x0 * y)
        assert np.array_equal((whole >> SPACING) + (whole >> SPACING - 1 & 1), x1 * y)


@pytest.mark.parametrize(("broadcast", "bus"), [(False, False), (False, True), (True, True)])
def test_each_pair_of_operands_beside_the_other_ones(broadcast: bool, bus: bool) -> None:
    """All x0 and y with corners and random ones of x1, and the other way round."""
    xs, ys = operands(broadcast)
    pair = Pipeline(Pair(broadcast, bus))
    rng = np.random.default_rng(broadcast)
    x, y = (values.ravel() for values in np.meshgrid(xs, ys))
    corners = WIDE_CORNERS if broadcast else CORNERS
    others = [np.full_like(x, corner) for corner in corners] + [rng.choice(xs, x.size) for _ in range(4)]
    for other in others:
        for x0, x1 in ((x, other), (other, x)):
            low, high = products(pair, broadcast, x0=x0, x1=x1, y=y)
            assert np.array_equal(low, x0 * y) and np.array_equal(high, x1 * y)


@pytest.mark.slow
@pytest.mark.parametrize("broadcast", [False, True])
def test_all_values(broadcast: bool) -> None:
    """33 and 67 million."""
    xs, ys = operands(broadcast)
    pair = Pipeline(Pair(broadcast))
    for y in ys:
        x0, x1 = (values.ravel() for values in np.meshgrid(xs, xs))
        low, high = products(pair, broadcast, x0=x0, x1=x1, y=np.full_like(x0, y))
        assert np.array_equal(low, x0 * y) and np.array_equal(high, x1 * y)


@pytest.mark.parametrize(("broadcast", "weight_bits"), [(False, 9), (True, 9), (True, 8)])
def test_products_stay_where_neither_row_takes_a_step(broadcast: bool, weight_bits: int) -> None:
    """And come where either does. Weights of 8 bits, too."""
    pair = Pipeline(Pair(broadcast, weight_bits=weight_bits))
    rng = np.random.default_rng(weight_bits)
    weights = WEIGHTS if weight_bits == 9 else ACTIVATIONS
    xs, ys = (weights, ACTIVATIONS) if broadcast else (ACTIVATIONS, weights)
    x0, x1, y = rng.choice(xs, 20_000), rng.choice(xs, 20_000), rng.choice(ys, 20_000)
    upper, lower = (rng.random((2, x0.size)) < 0.4).astype(np.int64)
    upper[0] = 1
    low, high = products(pair, broadcast, x0=x0, x1=x1, y=y, upper=upper, lower=lower)
    taken = np.maximum.accumulate(np.where(upper | lower, np.arange(x0.size), 0))
    count = x0.size - 1  # the lower row's step of the last would be taken after the end
    assert np.array_equal(low[:count], (x0 * y)[taken][:count])
    assert np.array_equal(high[:count], (x1 * y)[taken][:count])


@pytest.mark.parametrize(
    ("rows", "lanes", "zero_points", "bits"),
    [
        (4, 1, True, 3 * 2 * ["25 * signed 9"]),
        (4, 2, True, 3 * (2 * ["8 * signed 9"] + ["25 * signed 9"])),
        (5, 2, False, 3 * (3 * ["8 * signed 8"] + ["25 * signed 8"])),
    ],
)
def test_a_pair_has_one_multiplier_a_column(rows: int, lanes: int, zero_points: bool, bits: list[str]) -> None:
    products = row_products("packed", rows, lanes)
    rtlil = component_rtlil(Array(rows, 3, zero_points, 16, lanes, products), TOP)
    assert sorted(re.findall(r'intaglio\.product "signed (\d+ \* signed \d+)"', rtlil)) == sorted(bits)
    assert len(re.findall(r"cell \$mul ", rtlil)) == len(bits)
