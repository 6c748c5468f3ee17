"""Registers in a row: the one way in which modules delay a value to meet another."""

from typing import Any

from amaranth.hdl import Module, Signal


def delay(m: Module, value: Any, cycles: int, name: str, reset_less: bool = False) -> Any:
    """value (a Value or a data.View) as it was `cycles` >= 0 cycles ago; 0 before the first. reset_less: for what means
    nothing by itself, without a valid bit beside it; a reset leaves it alone."""
    for i in range(cycles):
        register = Signal(value.shape(), name=f"{name}_d{i + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value
