"""The weight memory: one word a cycle, or with two lanes two words, an even one and the next."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.pipeline import delay
from intaglio.hw.step_memory import StepMemory
from intaglio.hw.widths import index_bits
from intaglio.machine import latency
from intaglio.machine.config import Config


class WeightMemory(wiring.Component):
    """config.weight_bytes in words of weight_word_bytes; with two lanes even and odd words lie in memories of their
    own.

    Ports
    -----
    read_en, read_address : In, 1 bit and a word address
    read_data : Out, a word
        latency.WEIGHT_READ cycles later, held until the next read.
    read_both : In, 1 bit; only with two lanes
        With an even address: the word after it is read as well.
    read_next : Out, a word; only with two lanes
        That word, with read_data.
    write_en, write_address, write_data : In, 1 bit, a byte address (a multiple of bus_bytes), bus_bytes bytes

    Collisions as StepMemory's; no flow control.
    """

    def __init__(self, config: Config):
        self.config = config
        word = 8 * config.weight_word_bytes
        words = config.weight_bytes // config.weight_word_bytes
        super().__init__(
            {
                "read_en": In(1),
                "read_address": In(unsigned(index_bits(words))),
                "read_data": Out(unsigned(word)),
                **({"read_both": In(1), "read_next": Out(unsigned(word))} if config.lanes == 2 else {}),
                "write_en": In(1),
                "write_address": In(unsigned(ceil_log2(config.weight_bytes))),
                "write_data": In(unsigned(8 * config.bus_bytes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size, word, bus = self.config.weight_bytes, self.config.weight_word_bytes, self.config.bus_bytes
        if self.config.lanes == 1:
            m.submodules.words = words = StepMemory(size, word, bus, latency.WEIGHT_READ)
            m.d.comb += [
                words.read_en.eq(self.read_en),
                words.read_address.eq(self.read_address),
                self.read_data.eq(words.read_data),
                words.write_en.eq(self.write_en),
                words.write_address.eq(self.write_address),
                words.write_data.eq(self.write_data),
            ]
            return m
        # A bus word of one weight word or less goes to one memory, a wider one has words of both.
        wide = bus > word
        place = ceil_log2(word)
        odd = self.read_address[0]
        found = []
        for i in range(2):
            m.submodules[f"{('even', 'odd')[i]}_words"] = part = StepMemory(
                size // 2, word, bus // 2 if wide else bus, latency.WEIGHT_READ
            )
            m.d.comb += [
                part.read_en.eq(self.read_en & (self.read_both | (odd == i))),
                part.read_address.eq(self.read_address >> 1),
            ]
            if wide:
                m.d.comb += [
                    part.write_en.eq(self.write_en),
                    part.write_address.eq(self.write_address >> 1),
                    part.write_data.eq(Cat(self.write_data.word_select(n, 8 * word) for n in range(i, bus // word, 2))),
                ]
            else:
                m.d.comb += [
                    part.write_en.eq(self.write_en & (self.write_address[place] == i)),
                    part.write_address.eq(Cat(self.write_address[:place], self.write_address[place + 1 :])),
                    part.write_data.eq(self.write_data),
                ]
            found.append(part.read_data)
        shown, held = delay(m, odd, latency.WEIGHT_READ - 1, "shown"), Signal()
        with m.If(delay(m, self.read_en, latency.WEIGHT_READ - 1, "taken")):
            m.d.sync += held.eq(shown)
        m.d.comb += [self.read_data.eq(Mux(held, found[1], found[0])), self.read_next.eq(found[1])]
        return m
