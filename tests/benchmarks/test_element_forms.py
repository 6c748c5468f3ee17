"""Elements with several sums: each activation beside each byte of weights, in every form and mode, and running sums."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from benchmarks.element_forms import ELEMENT, GATHER, Form, Mode, TrialArray
from tests.hw.verilated import Pipeline

FORMS = [(form, sums, multiplier) for form, sums in product(Form, (1, 2, 4)) for multiplier in (18, 25)]


class One(wiring.Component):
    """An array of one element, of which each step is a tile's last; out is the chosen sum."""

    def __init__(self, form: Form, sums: int, multiplier: int, sum_bits: int):
        self._form, self._sums, self._multiplier, self._sum_bits = form, sums, multiplier, sum_bits
        inputs = {"activation": 8, "weight": 8, "mode": 2, "which": 2, "first": 1}
        super().__init__({**{name: In(bits) for name, bits in inputs.items()}, "out": Out(sum_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.array = array = TrialArray(1, 1, self._form, self._sums, self._sum_bits, self._multiplier)
        m.d.comb += [
            array.activation[0].eq(self.activation),
            array.weight[0].eq(self.weight),
            array.control[0].valid.eq(1),
            array.control[0].first.eq(self.first),
            array.control[0].last.eq(1),
            self.out.eq(array.sum[0].word_select(self.which, self._sum_bits)),
        ]
        if self._sums > 1:
            m.d.comb += array.mode.eq(self.mode)
        return m


def weights(byte: np.ndarray, mode: Mode, k: int) -> np.ndarray:
    bits = 8 >> mode
    field = byte >> bits * k & (1 << bits) - 1
    return field - ((field >> bits - 1) << bits)


@pytest.mark.parametrize(("form", "sums", "multiplier"), FORMS)
def test_every_product_and_running_sums(form: Form, sums: int, multiplier: int) -> None:
    sum_bits = {1: 24, 2: 32, 4: 48}[sums]
    one = Pipeline(One(form, sums, multiplier, sum_bits))
    activation, byte = (each.ravel() for each in np.meshgrid(np.arange(-128, 128), np.arange(256)))
    order = np.random.default_rng(sums).permutation(activation.size)
    activation, byte = activation[order], byte[order]
    always = np.ones_like(byte)
    seldom = (np.random.default_rng(1).random(byte.size) < 0.01).astype(np.int64)
    seldom[0] = 1
    for mode in list(Mode)[: sums.bit_length()]:
        for k, first in product(range(1 << mode), (always, seldom)):
            given = {"mode": mode * always, "which": k * always, "first": first}
            got = one.run({"activation": activation, "weight": byte, **given}, ELEMENT + GATHER)
            made = activation * weights(byte, mode, k)
            total = np.cumsum(made)
            begun = np.maximum.accumulate(np.where(first, np.arange(made.size), 0))
            wanted = total - total[begun] + made[begun]
            assert np.array_equal(got, wanted & (1 << sum_bits) - 1), (mode, k)
