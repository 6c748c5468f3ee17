"""Memories of the package: the one way in which modules make them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Assert, Elaboratable, Module, Signal
from amaranth.lib import memory

from intaglio.hw.pipeline import delay


class Collision(enum.Enum):
    """Data of a read whose row is written in the same cycle."""

    OLD = "old"
    """The row as it was before the write."""
    UNDEFINED = "undefined"
    """Nothing that may be relied on: the design has no such read, and simulation asserts it."""


@dataclass(frozen=True)
class Ram:
    """Ports of a memory, seen from the module that makes it.

    Ports
    -----
    read_en : In, 1 bit; absent (None) with a read latency of 0
        Low keeps the memory's output; further output registers go on.
    read_address : In, ceil_log2(depth) bits
    read_data : Out, a row
        The row, `read_latency` cycles later.
    write_en : In, 1 bit, or one for each part of a row
    write_address : In, ceil_log2(depth) bits
    write_data : In, a row
        Readable by a request of the next cycle.

    No flow control: a read and a write every cycle.
    """

    read_en: Any
    read_address: Any
    read_data: Any
    write_en: Any
    write_address: Any
    write_data: Any


def ram(
    m: Module,
    name: str,
    *,
    shape: Any,
    depth: int,
    read_latency: int,
    collision: Collision,
    granularity: int | None = None,
    attributes: Mapping[str, int | str] | None = None,
) -> Ram:
    """A memory of `depth` rows of `shape`, all 0 at first, with one read and one write port, as submodule `name` of m.

    read_latency: cycles from address to data, at least 0, which is a memory of asynchronous reads; more than one are
    registers behind the memory. A pipeline's share of machine/latency.py. collision: always OLD where reads are
    asynchronous. granularity: of write_en, as amaranth.lib.memory has it. attributes: for synthesis, such as ram_style,
    written before the memory in the Verilog.
    """
    if read_latency == 0 and collision is not Collision.OLD:
        raise ValueError(f"{name}: an asynchronous read sees what was there before the write")
    stated = {"intaglio.read_latency": read_latency, "intaglio.collision": collision.value}
    made = memory.Memory(shape=shape, depth=depth, init=[], attrs={**stated, **(attributes or {})})
    m.submodules[name] = made
    write = made.write_port(granularity=granularity)
    read = made.read_port(domain="sync" if read_latency else "comb")
    if collision is Collision.UNDEFINED:
        m.submodules[f"{name}_check"] = _NoCollision(name, read, write)
    return Ram(
        read.en if read_latency else None,
        read.addr,
        delay(m, read.data, max(0, read_latency - 1), f"{name}_data"),
        write.en,
        write.addr,
        write.data,
    )


class _NoCollision(Elaboratable):
    """An assertion, in Amaranth's simulator only, that no row is read and written in the same cycle."""

    def __init__(self, name: str, read: Any, write: Any):
        self._name, self._read, self._write = name, read, write

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if platform is None:
            collides = Signal()
            m.d.comb += collides.eq(self._read.en & self._write.en.any() & (self._read.addr == self._write.addr))
            m.d.sync += Assert(~collides, f"{self._name}: a row is read and written in the same cycle")
        return m
