"""A stand-in for ComputeCore: the same ports, byte memories, commands that last the cycles (at least 2)
that word 1 says."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from intaglio.hw.pipeline import delay
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.isa import LocalMemory

EVENTS = data.StructLayout(
    {
        "macs": 16,
        "activation_reads": 2,
        "activation_writes": 2,
        "weight_reads": 2,
        "channel_reads": 1,
        "requantizations": 8,
        "partial_reads": 1,
        "partial_writes": 1,
    }
)


class FakeCore(wiring.Component):
    """Counts 7 MACs and a weight read in each busy cycle, nothing else. raise_conflict forces `conflict`."""

    def __init__(self, config: Config):
        self._config = config
        width = 8 * config.bus_bytes
        self.raise_conflict = Signal()
        super().__init__(
            {
                "start": In(stream.Signature(1024)),
                "busy": Out(1),
                "retire": Out(1),
                "write_en": In(1),
                "write_memory": In(2),
                "write_address": In(30),
                "write_data": In(width),
                "read_en": In(1),
                "read_address": In(30),
                "read_data": Out(width),
                "conflict": Out(1),
                "events": Out(EVENTS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = self._config
        left = Signal(32)
        cycles = Signal(32)
        starting = Signal()
        m.d.comb += [
            self.start.ready.eq(left == 0),
            starting.eq(self.start.valid & self.start.ready),
            cycles.eq(self.start.payload[32:64]),
            self.busy.eq(left != 0),
            self.retire.eq(left == 1),
            self.conflict.eq(self.raise_conflict),
        ]
        with m.If(starting | (left != 0)):
            m.d.comb += [self.events.macs.eq(7), self.events.weight_reads.eq(1)]
        with m.If(starting):
            m.d.sync += left.eq(cycles - 1)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        shift = c.bus_bytes.bit_length() - 1
        sizes = {
            LocalMemory.ACTIVATION: c.activation_bytes,
            LocalMemory.WEIGHT: c.weight_bytes,
            LocalMemory.CHANNEL: c.channel_bytes,
        }
        self.memories = {}
        for memory, size in sizes.items():
            storage = Memory(shape=8 * c.bus_bytes, depth=size >> shift, init=[])
            m.submodules[memory.name.lower()] = self.memories[memory] = storage
            write = storage.write_port()
            m.d.comb += [
                write.en.eq(self.write_en & (self.write_memory == memory)),
                write.addr.eq(self.write_address >> shift),
                write.data.eq(self.write_data),
            ]
        read = self.memories[LocalMemory.ACTIVATION].read_port(domain="sync")
        m.d.comb += [
            read.en.eq(self.read_en),
            read.addr.eq(self.read_address >> shift),
            self.read_data.eq(delay(m, read.data, latency.ACTIVATION_READ - 1, "read_data")),
        ]
        return m
