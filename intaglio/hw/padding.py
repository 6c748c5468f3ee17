"""Ends of a window of the input: rows and bytes outside of the tensor, and rows behind a ring's end."""

from typing import Any

from amaranth.hdl import Mux, Value


def inside(at: Value, size: Value) -> Value:
    """1 bit: 0 <= at < size. at: signed; size: unsigned, of the tensor along one axis."""
    return (at >= 0) & (at < size)


def clipped(count: Value, most: Value) -> Value:
    """count, signed, at least 0 and at most `most`."""
    return Mux(count <= 0, 0, Mux(count >= most, most, count))


def unwrapped(address: Value, wraps: Any, wrap_bytes: Value) -> Value:
    """The address of a byte whose row lies behind the ring's end, where wraps is high: wrap_bytes before it."""
    return address - Mux(wraps, wrap_bytes, 0)
