"""Products out of look-up tables, in Verilator: each pair of operands, and what adds them up."""

from __future__ import annotations

import re

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.array import Array
from intaglio.hw.digit_product import OFFSET, digit_product, plus_carry
from intaglio.hw.verilog import TOP, component_rtlil
from intaglio.machine.row_product import row_products
from tests.hw.verilated import Pipeline


class Times(wiring.Component):
    """activation * weight + before, as an element of the array makes it."""

    def __init__(self, weight_bits: int, stages: int):
        self._weight_bits, self._stages = weight_bits, stages
        super().__init__(
            {
                "activation": In(signed(8)),
                "weight": In(signed(weight_bits)),
                "before": In(signed(32)),
                "enable": In(1),
                "out": Out(signed(32)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parts = digit_product(
            m, self.activation + OFFSET, self.weight, "whole", stages=self._stages, enable=self.enable
        )
        out = Signal(signed(32), reset_less=True)
        m.d.sync += out.eq(plus_carry(self.before, *parts))
        m.d.comb += self.out.eq(out)
        return m


@pytest.mark.parametrize(("weight_bits", "stages"), [(8, 1), (9, 1), (9, 3)])
def test_each_product_of_an_activation_and_a_weight(weight_bits: int, stages: int) -> None:
    half = 1 << weight_bits - 1
    activation, weight = (each.ravel() for each in np.meshgrid(np.arange(-128, 128), np.arange(-half, half)))
    rng = np.random.default_rng(weight_bits)
    before = rng.choice(np.array([-(2**31), 2**31 - 1, -1, 0, *rng.integers(-(2**31), 2**31, 9)]), activation.size)
    enable = (rng.random(activation.size) < 0.8).astype(np.int64)
    enable[0] = 1
    given = {"activation": activation, "weight": weight, "enable": enable}
    # The sum comes a cycle after the product: before is read then.
    later = np.concatenate([np.zeros(stages, np.int64), before])[: activation.size]
    for held in (np.ones_like(enable), enable):
        got = Pipeline(Times(weight_bits, stages)).run({**given, "enable": held, "before": later}, stages + 1)
        taken = np.maximum.accumulate(np.where(held, np.arange(activation.size), 0))
        wanted = (activation * weight)[taken] + before
        count = activation.size - stages  # beyond it, before is no more that element's
        assert np.array_equal(got[:count].astype(np.int32), wanted[:count].astype(np.int32))


@pytest.mark.parametrize(("dsp_rows", "multipliers"), [(4, 12), (3, 9), (1, 3), (0, 0)])
def test_rows_without_multipliers_have_none(dsp_rows: int, multipliers: int) -> None:
    """Neither the operator, which a tool could give a DSP block, nor what names a product for one."""
    products = row_products(dsp_rows, 4, 2)
    rtlil = component_rtlil(Array(4, 3, depthwise_delay=16, lanes=2, products=products), TOP)
    per_row = len(re.findall(r"cell \$mul ", rtlil))
    assert per_row == multipliers and rtlil.count("intaglio.product") == multipliers


def test_a_product_has_a_register() -> None:
    with pytest.raises(ValueError, match="whole: a product has a register of its own"):
        component_rtlil(Times(9, 0), TOP)
