"""Products by ECP5's multiplier, by what it does in simulators: as products of operators, in Verilator."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Shape, signed, unsigned

from intaglio.fpga.families import FAMILIES
from intaglio.hw.target import ECP5, PORTABLE, TARGETS, target_of
from intaglio.hw.verilog import TOP, component_rtlil
from intaglio.machine.chips import CHIPS
from tests.hw.products import Product
from tests.hw.verilated import Pipeline

SHAPES = [
    (signed(8), signed(9), 1),
    (signed(18), signed(18), 1),
    (unsigned(18), signed(18), 2),
    (unsigned(17), unsigned(17), 1),
    (signed(33), unsigned(26), 4),
    (unsigned(8), unsigned(31), 2),
    (signed(1), unsigned(1), 1),
]


@pytest.mark.parametrize("stages", [2, 3])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize(("a", "b", "blocks"), SHAPES, ids=str)
def test_products(a: Shape, b: Shape, blocks: int, adds: bool, stages: int) -> None:
    dut = Product(a, b, stages, adds, a.width + b.width + 2)
    assert component_rtlil(dut, TOP, ECP5).count("cell \\MULT18X18D ") == blocks
    assert "MULT18X18D" not in component_rtlil(dut, TOP)
    seed = a.width * 100 + b.width
    rng = np.random.default_rng(seed)
    count = 20_000

    def drawn(shape: Shape) -> np.ndarray:
        low = -(1 << shape.width - 1) if shape.signed else 0
        high = low + (1 << shape.width) - 1
        ends = np.array([low, high, 0], np.int64)
        return np.where(rng.random(count) < 0.3, rng.choice(ends, count), rng.integers(low, high, count, endpoint=True))

    given = {"a": drawn(a), "b": drawn(b), "plus": rng.integers(0, 32, count), "enable": rng.integers(0, 2, count)}
    made, wanted = (Pipeline(dut, target).run(given, stages) for target in (ECP5, PORTABLE))
    # Before the first that is enabled a register has what it began with.
    first = 0 if adds else int(np.argmax(given["enable"])) + 1
    assert np.array_equal(made[first:], wanted[first:]), f"seed {seed}"


def test_targets() -> None:
    """A chip's is its family's, and without a chip tools choose."""
    assert target_of(None) == PORTABLE
    for name, chip in CHIPS.items():
        assert target_of(name) == target_of(name.upper()) == FAMILIES[chip.family].target
        assert (target_of(name) == PORTABLE) == (chip.family not in TARGETS)
