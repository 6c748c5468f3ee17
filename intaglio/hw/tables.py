"""Tables of 256 bytes: any function of a byte, between the requantizers and the activation memory."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.output_pass import OutputPass
from intaglio.hw.pipeline import delay, register
from intaglio.hw.ram import Collision, ram
from intaglio.machine import latency
from intaglio.machine.config import TABLE_ENTRIES, Config

_MEMORY = 2
"""Cycles through a memory and the register at its output."""


class Tables(wiring.Component):
    """config.tables tables, in a memory for each of the Q lanes, all filled alike.

    Ports
    -----
    table : In, 4 bits
        1 + the number of the table that the command's results go through, 0 for none; stable from the first pass at the
        requantizers to the last result's write.
    results, leaving : In, Q bytes, OutputPass
        A pass, as it leaves the requantizers.
    data, output : Out, Q bytes, OutputPass
        The same pass: at once without a table, else the bytes that the table has for it latency.TABLE cycles later.
    write_en, write_address, write_data : In, 1 bit, a byte address (a multiple of bus_bytes), bus_bytes bytes
        A bus word of LOAD's: its lowest TABLE_ENTRIES bytes are entries of a table, which begins with that of byte 0; those of -1 are
        its last. Read by a pass of the next cycle.

    No flow control: a pass every cycle; none without a table within latency.TABLE cycles of one with it.
    """

    def __init__(self, config: Config):
        self.config = config
        lanes = config.requantizers
        super().__init__(
            {
                "table": In(4),
                "results": In(8 * lanes),
                "leaving": In(OutputPass(config)),
                "data": Out(8 * lanes),
                "output": Out(OutputPass(config)),
                "write_en": In(1),
                "write_address": In(unsigned(ceil_log2(config.table_bytes))),
                "write_data": In(8 * config.bus_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        # From registers: the command stands still long before its first pass leaves.
        looks_up, number = Signal(), Signal(max(1, ceil_log2(config.tables)), reset_less=True)
        m.d.sync += [looks_up.eq(self.table != 0), number.eq(self.table - 1)]
        select_bits = ceil_log2(TABLE_ENTRIES)
        for lane in range(config.requantizers):
            entries = ram(
                m,
                f"entries{lane}",
                shape=unsigned(8 * TABLE_ENTRIES),
                depth=config.tables * config.table_words,
                read_latency=_MEMORY,
                collision=Collision.UNDEFINED,
                attributes={"ram_style": "block"},
            )
            byte = self.results.word_select(lane, 8)
            place = byte[select_bits:]
            m.d.comb += [
                entries.write_en.eq(self.write_en),
                entries.write_address.eq(self.write_address >> ceil_log2(config.bus_bytes)),
                entries.write_data.eq(self.write_data[: 8 * TABLE_ENTRIES]),
                entries.read_en.eq(looks_up & (self.leaving.count != 0)),
                entries.read_address.eq(Cat(place, number) if config.tables > 1 else place),
            ]
            within = delay(m, byte[:select_bits], _MEMORY, f"within{lane}", reset_less=True)
            found = Signal(8, name=f"found{lane}", reset_less=True)
            entry = entries.read_data.word_select(within, 8)
            register(m, found, entry, latency.TABLE - _MEMORY, f"entry{lane}", reset_less=True)
            m.d.comb += self.data.word_select(lane, 8).eq(Mux(looks_up, found, byte))
        later = delay(m, self.leaving, latency.TABLE, "leaving")
        m.d.comb += self.output.eq(Mux(looks_up, later.as_value(), self.leaving.as_value()))
        return m
