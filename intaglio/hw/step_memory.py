"""Memories for weights and channel records: narrow aligned writes from the bus, one wide word a cycle out."""

from amaranth.hdl import Array, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.pipeline import delay
from intaglio.hw.ram import Collision, ram
from intaglio.hw.widths import index_bits


class StepMemory(wiring.Component):
    """size bytes, read in words of word_bytes, written in words of bus_bytes (powers of two).

    Ports
    -----
    read_en, read_address : In, 1 bit and index_bits(words)
    read_data : Out, word_bytes bytes
        `latency` cycles later, at least 2; held until the next read.
    write_en, write_address, write_data : In, 1 bit, a byte address (a multiple of bus_bytes), bus_bytes bytes
        Takes effect for reads from the next cycle on.

    One port each way, no flow control. A read of a word that is written in the same cycle gives the old one; no program
    may rely on it, and tokens exclude it.
    """

    def __init__(self, size: int, word_bytes: int, bus_bytes: int, latency: int):
        self._latency = latency
        self._row = max(word_bytes, bus_bytes)
        self._word, self._bus = word_bytes, bus_bytes
        self._depth = size // self._row
        super().__init__(
            {
                "read_en": In(1),
                "read_address": In(unsigned(index_bits(size // word_bytes))),
                "read_data": Out(unsigned(8 * word_bytes)),
                "write_en": In(1),
                "write_address": In(unsigned(index_bits(size))),
                "write_data": In(unsigned(8 * bus_bytes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        mem = ram(
            m,
            "memory",
            shape=unsigned(8 * self._row),
            depth=self._depth,
            read_latency=1,
            collision=Collision.OLD,
            granularity=8 * self._bus,
            attributes={"ram_style": "block"},  # channel records are few, but wide
        )
        lanes = self._row // self._bus
        low = ceil_log2(self._bus)
        m.d.comb += [
            mem.write_address.eq(self.write_address >> ceil_log2(self._row)),
            mem.write_data.eq(self.write_data.replicate(lanes)),
            mem.write_en.eq(self.write_en << self.write_address[low : ceil_log2(self._row)]),
        ]
        words = self._row // self._word
        select_bits = ceil_log2(words)
        m.d.comb += [mem.read_en.eq(self.read_en), mem.read_address.eq(self.read_address >> select_bits)]
        taken = delay(m, self.read_en, 1, "taken")
        select = Signal(max(1, select_bits), reset_less=True)
        with m.If(self.read_en):
            m.d.sync += select.eq(self.read_address[:select_bits])
        parts = Array(mem.read_data.word_select(i, 8 * self._word) for i in range(words))
        word = parts[select] if words > 1 else mem.read_data
        for i in range(self._latency - 2):
            later = Signal.like(self.read_data, name=f"word_d{i + 1}", reset_less=True)
            with m.If(taken):
                m.d.sync += later.eq(word)
            word, taken = later, delay(m, taken, 1, f"taken{i + 1}")
        with m.If(taken):
            m.d.sync += self.read_data.eq(word)
        return m
