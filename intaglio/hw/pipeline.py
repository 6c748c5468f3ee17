"""Registers in a row: the one way in which modules delay a value to meet another."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Shape, Signal, ValueLike


def delay(m: Module, value: ValueLike, cycles: int, name: str) -> Any:
    """value as it was `cycles` cycles ago (0 before the first); the same shape; `cycles` >= 0."""
    for i in range(cycles):
        register = Signal(Shape.cast(value.shape()), name=f"{name}_d{i + 1}")  # type: ignore[union-attr]
        m.d.sync += register.eq(value)
        value = register
    return value
