"""Registers in a row: the one way in which modules delay a value to meet another."""

from typing import Any

from amaranth.hdl import Module, Signal


def delay(m: Module, value: Any, cycles: int, name: str) -> Any:
    """value (a Value or a data.View) as it was `cycles` >= 0 cycles ago; 0 before the first."""
    for i in range(cycles):
        register = Signal(value.shape(), name=f"{name}_d{i + 1}")
        m.d.sync += register.eq(value)
        value = register
    return value
