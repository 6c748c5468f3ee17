"""The memory for sums that wait for a later command."""

from amaranth.hdl import Module, Mux, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.pipeline import delay, register
from intaglio.hw.ram import Collision, ram
from intaglio.hw.widths import index_bits
from intaglio.machine import latency
from intaglio.machine.formats import SUM


class PartialMemory(wiring.Component):
    """`words` words of `lanes` sums.

    Ports
    -----
    read_en, read_address : In, 1 bit and index_bits(words)
    read_data : Out, lanes x signed 32
        latency.PARTIAL_READ cycles later; 0 for a cycle without read_en.
    write_en, write_address, write_data : In, 1 bit, index_bits(words), lanes x signed 32
        Readable latency.PARTIAL_WRITE cycles later.

    One port each way, no flow control. No word is read and written in the same cycle: a CONV writes a word some cycles
    after it read it, and reads none that it has yet to write.
    """

    def __init__(self, words: int, lanes: int):
        self._words, self._lanes = words, lanes
        address = unsigned(index_bits(words))
        super().__init__(
            {
                "read_en": In(1),
                "read_address": In(address),
                "read_data": Out(signed(SUM.bits)).array(lanes),
                "write_en": In(1),
                "write_address": In(address),
                "write_data": In(signed(SUM.bits)).array(lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = data.ArrayLayout(signed(SUM.bits), self._lanes)
        mem = ram(
            m,
            "memory",
            shape=shape,
            depth=self._words,
            read_latency=1,
            collision=Collision.UNDEFINED,
            attributes={"ram_style": "block"},  # few words, but wide: tables would be many
        )
        m.d.comb += [
            mem.read_en.eq(self.read_en),
            mem.read_address.eq(self.read_address),
            mem.write_en.eq(delay(m, self.write_en, latency.PARTIAL_WRITE - 1, "write_en")),
            mem.write_address.eq(
                delay(m, self.write_address, latency.PARTIAL_WRITE - 1, "write_address", reset_less=True)
            ),
        ]
        taken = delay(m, self.read_en, 1, "taken")
        for lane in range(self._lanes):
            write_data = delay(
                m, self.write_data[lane], latency.PARTIAL_WRITE - 1, f"write_data{lane}", reset_less=True
            )
            m.d.comb += mem.write_data[lane].eq(write_data)
            register(
                m, self.read_data[lane], Mux(taken, mem.read_data[lane], 0), latency.PARTIAL_READ - 1, f"read{lane}"
            )
        return m
