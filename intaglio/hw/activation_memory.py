"""The activation memory: banks of even and odd words, read and written at any byte address."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.pipeline import delay, register
from intaglio.hw.ram import Collision, ram
from intaglio.machine import latency
from intaglio.machine.config import Config, next_power_of_two

_MEMORY = 2
"""Cycles through a memory: a block RAM, and a register near it, since a block RAM without one of its own shows its bytes late."""
_CHOSEN = 4 + _MEMORY
"""Cycles from a request to its bytes in the register behind the choice of the bank."""


def rotated(m: Module, value: Value, shift: Value, keep: int, unit: int = 8) -> Value:
    """The lowest `keep` elements, of `unit` bits, of value rotated right by `shift` elements; value has a power
    of two of them. The largest shift comes first, so that later stages need fewer elements.
    """
    size = len(value) // unit
    assert size & (size - 1) == 0
    for k in reversed(range(ceil_log2(size))):
        width = min(size, keep + (1 << k) - 1)
        ring = Cat(value, value)
        stage = Signal(unit * width, name=f"rotated{k}")
        m.d.comb += stage.eq(Mux(shift[k], ring[unit << k :], ring))
        value = stage
    return value[: unit * keep]


@dataclass(frozen=True)
class Window:
    """A window of bytes in at most two words, an even one and an odd one."""

    parity: Signal
    """Parity of the word of its first byte."""
    index: list[Signal]
    """Addresses of the even and of the odd word, counted among those of all banks."""
    enable: list[Value]
    """Bits that tell whether the even and the odd word are touched."""


class ActivationMemory(wiring.Component):
    """config.activation_bytes in banks, each of two interleaved memories (even and odd words of half_word_bytes = H)
    with one read and one write port.

    Ports
    -----
    read_en : In, 1 bit
        COMPUTE reads in this cycle.
    read_address : In, bits of a byte address
        Of byte 0 of the window; wraps.
    read_low, read_high : In, ceil_log2(feed_bytes + 1) bits each
        Only bytes low <= i < high, at most feed_bytes, are wanted, and only their words are touched.
    read_data : Out, feed_bytes bytes
        latency.ACTIVATION_READ cycles after its request.
    read_touched : Out, 2 bits
        0 to 2, words touched by the request of two cycles ago.
    write_count : In, ceil_log2(Q + 1) bits
        Bytes that COMPUTE writes, 0 to Q = requantizers.
    write_address, write_data : In, bits of a byte address, Q bytes
        Any address; readable by a request latency.ACTIVATION_WRITE cycles later.
    write_touched : Out, 2 bits
        0 to 2, words touched by the write of latency.ACTIVATION_WRITE - 2 cycles ago.
    load_en, load_address, load_data : In, 1 bit, a byte address (a multiple of bus_bytes), bus_bytes bytes
        LOAD's write; readable as COMPUTE's.
    store_en, store_address : In, 1 bit, a byte address (a multiple of bus_bytes)
        STORE's read.
    store_data : Out, bus_bytes bytes
        latency.ACTIVATION_READ cycles after its request.
    conflict : Out, 1 bit
        Two requests for one port, reads two cycles ago; COMPUTE's is served.

    No flow control: a request of each kind every cycle.
    """

    def __init__(self, config: Config):
        self.config = config
        bits = ceil_log2(config.activation_bytes)
        counts = ceil_log2(config.feed_bytes + 1)
        half = config.half_word_bytes
        self._depth = config.bank_bytes // (2 * half)
        # Of a byte's address: its place in a word, one bit of parity, the word's place in its bank's memory, the bank.
        self._offset_bits, self._bank_bits = ceil_log2(half), ceil_log2(self._depth)
        super().__init__(
            {
                "read_en": In(1),
                "read_address": In(unsigned(bits)),
                "read_low": In(unsigned(counts)),
                "read_high": In(unsigned(counts)),
                "read_data": Out(unsigned(8 * config.feed_bytes)),
                "read_touched": Out(unsigned(2)),
                "write_count": In(unsigned(ceil_log2(config.requantizers + 1))),
                "write_address": In(unsigned(bits)),
                "write_data": In(unsigned(8 * config.requantizers)),
                "write_touched": Out(unsigned(2)),
                "load_en": In(1),
                "load_address": In(unsigned(bits)),
                "load_data": In(unsigned(8 * config.bus_bytes)),
                "store_en": In(1),
                "store_address": In(unsigned(bits)),
                "store_data": Out(unsigned(8 * config.bus_bytes)),
                "conflict": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = self.config
        reads, position = self._requested(m)
        # STORE's read meets COMPUTE's at the port.
        store_en = delay(m, self.store_en, 2, "store_en")
        store_address = delay(m, self.store_address, 2, "store_address", reset_less=True)
        writes, placed, mask = self._placed(m)
        # LOAD's write meets COMPUTE's at the port, as many cycles later.
        waits = latency.ACTIVATION_WRITE - 1
        load_en = delay(m, self.load_en, waits, "load_en")
        load_address, load_data = (
            delay(m, getattr(self, name), waits, name, reset_less=True) for name in ("load_address", "load_data")
        )
        words: list[list[Value]] = [[], []]
        conflicts = []
        for p in range(2):
            for bank in range(c.activation_banks):
                mem = ram(
                    m,
                    f"bank{bank}_{'odd' if p else 'even'}",
                    shape=unsigned(8 * c.half_word_bytes),
                    depth=self._depth,
                    read_latency=_MEMORY,
                    collision=Collision.OLD,
                    granularity=8,
                )
                words[p].append(mem.read_data)
                compute_reads = reads.enable[p] & ((reads.index[p] >> self._bank_bits) == bank)
                store_reads = store_en & self._lies_in(store_address, p, bank)
                word_of = self._offset_bits + 1
                m.d.sync += mem.read_en.eq(compute_reads | store_reads)
                m.d.sync += mem.read_address.eq(Mux(compute_reads, reads.index[p], store_address >> word_of))
                compute_writes = writes.enable[p] & ((writes.index[p] >> self._bank_bits) == bank)
                load_writes = load_en & self._lies_in(load_address, p, bank)
                bus_mask = self._bus_mask(m, load_address, f"bus_mask{bank}_{p}")
                m.d.comb += mem.write_address.eq(Mux(compute_writes, writes.index[p], load_address >> word_of))
                with m.If(compute_writes):
                    m.d.comb += [
                        mem.write_data.eq(placed.replicate(8 * c.half_word_bytes // len(placed))),
                        mem.write_en.eq(mask.word_select(p, c.half_word_bytes)),
                    ]
                with m.Elif(load_writes):
                    m.d.comb += [
                        mem.write_data.eq(load_data.replicate(c.half_word_bytes // c.bus_bytes)),
                        mem.write_en.eq(bus_mask),
                    ]
                conflicts += [compute_reads & store_reads, compute_writes & load_writes]
        m.d.comb += self.conflict.eq(Cat(*conflicts).any())
        self._turned_back(m, reads, position, words)
        self._stored(m, store_address, words)
        return m

    def _lies_in(self, address: Value, p: int, bank: int) -> Value:
        """1 bit: a byte's word is one of that parity in that bank."""
        above = self._offset_bits + 1 + self._bank_bits
        return (address[self._offset_bits] == p) & ((address >> above) == bank)

    def _bus_mask(self, m: Module, address: Value, name: str) -> Signal:
        """The bytes of a word that a word of the bus takes."""
        c = self.config
        bus_low = ceil_log2(c.bus_bytes)
        mask = Signal(c.half_word_bytes, name=name)
        place = Cat(zeros(bus_low), address[bus_low : self._offset_bits])
        m.d.comb += mask.eq(((1 << c.bus_bytes) - 1) << place)
        return mask

    def _window(self, m: Module, address: Value, first: Value, second: Value) -> Window:
        """The window that starts at address; first, second: whether its first word and the one after it are touched."""
        word = Signal(len(self.read_address) - self._offset_bits)
        parity = Signal()
        even, odd = Signal(len(word) - 1), Signal(len(word) - 1)
        m.d.comb += [
            word.eq(address >> self._offset_bits),
            parity.eq(word[0]),
            even.eq((word >> 1) + parity),
            odd.eq(word >> 1),
        ]
        return Window(parity, [even, odd], [Mux(parity, second, first), Mux(parity, first, second)])

    def _requested(self, m: Module) -> tuple[Window, Value]:
        """COMPUTE's read, two cycles after its request; and the place of its first byte in an even and an odd word."""
        half = self.config.half_word_bytes
        en = delay(m, self.read_en, 1, "read_en")
        address, low, high = (
            delay(m, getattr(self, name), 1, name, reset_less=True)
            for name in ("read_address", "read_low", "read_high")
        )
        offset = address[: self._offset_bits]
        touch = Signal(2)
        m.d.comb += [
            touch[0].eq(en & (offset + low < half)),
            touch[1].eq(en & (offset + high > half)),
        ]
        m.d.sync += self.read_touched.eq(touch[0] + touch[1])
        position = delay(m, address[: self._offset_bits + 1], 1, "read_position", reset_less=True)
        return self._later(m, self._window(m, address, touch[0], touch[1]), "read"), position

    def _later(self, m: Module, window: Window, name: str) -> Window:
        """A window in the next cycle."""
        enable = delay(m, Cat(*window.enable), 1, f"{name}_enable")
        index = [delay(m, of_word, 1, f"{name}_index{p}", reset_less=True) for p, of_word in enumerate(window.index)]
        return Window(window.parity, index, list(enable))

    def _placed(self, m: Module) -> tuple[Window, Signal, Signal]:
        """COMPUTE's write, whose place is found in one cycle, its bytes turned into it in the next and committed in the third: its
        window; its bytes, which come again and again in both words, so that one of each is where it belongs; and a bit for
        each of the words' bytes, which tells that it does."""
        c = self.config
        waits = latency.ACTIVATION_WRITE - 3
        count = delay(m, self.write_count, waits, "write_count")
        address, data = (
            delay(m, getattr(self, name), waits, name, reset_less=True) for name in ("write_address", "write_data")
        )
        offset = address[: self._offset_bits]
        touch = Signal(2)
        m.d.comb += [
            touch[0].eq(count != 0),
            touch[1].eq((count != 0) & (offset + count > c.half_word_bytes)),
        ]
        window = self._window(m, address, touch[0], touch[1])
        ring_bytes = 2 * c.half_word_bytes
        turn, lanes = (
            Signal(bits, name=name, reset_less=True)
            for name, bits in (("turn", self._offset_bits + 1), ("lanes", c.requantizers))
        )
        group = next_power_of_two(c.requantizers)
        placed, mask = (
            Signal(bits, name=name, reset_less=True) for name, bits in (("placed", 8 * group), ("mask", ring_bytes))
        )
        turning = delay(m, data, 1, "turning", reset_less=True)
        m.d.sync += [
            self.write_touched.eq(touch[0] + touch[1]),
            turn.eq(-Cat(offset, window.parity)),
            lanes.eq((1 << count) - 1),
            placed.eq(rotated(m, Cat(turning, zeros(8 * (group - c.requantizers))), turn, group)),
            mask.eq(rotated(m, Cat(lanes, zeros(ring_bytes - c.requantizers)), turn, ring_bytes, unit=1)),
        ]
        return self._later(m, self._later(m, window, "turning"), "write"), placed, mask

    def _turned_back(self, m: Module, reads: Window, position: Value, words: list[list[Value]]) -> None:
        """COMPUTE's data: the choice of the bank, then the window turned into place."""
        c = self.config
        bank_select = max(1, ceil_log2(c.activation_banks))
        ring = Signal(8 * 2 * c.half_word_bytes, reset_less=True)
        for p, index in enumerate(reads.index):
            bank = delay(m, (index >> self._bank_bits)[:bank_select], 1 + _MEMORY, f"bank{p}", reset_less=True)
            m.d.sync += ring.word_select(p, 8 * c.half_word_bytes).eq(chosen(words[p], bank))
        turned = rotated(m, ring, delay(m, position, 2 + _MEMORY, "position", reset_less=True), c.feed_bytes)
        register(m, self.read_data, turned, latency.ACTIVATION_READ - _CHOSEN, "turned", reset_less=True)

    def _stored(self, m: Module, asked: Value, words: list[list[Value]]) -> None:
        """STORE's data: the choice of the bank and of the part of the word, then of the parity. asked: the address, a cycle
        before it is at the memories."""
        c = self.config
        bus_low, bits = ceil_log2(c.bus_bytes), 8 * c.bus_bytes
        address = delay(m, asked, 1 + _MEMORY, "asked", reset_less=True)
        pair = Signal(2 * bits, name="stored", reset_less=True)
        bank = (address >> (self._offset_bits + 1 + self._bank_bits))[: max(1, ceil_log2(c.activation_banks))]
        of_parity: list[Value] = [chosen(of_banks, bank) for of_banks in words]
        if c.half_word_bytes > c.bus_bytes:
            part = address[bus_low : self._offset_bits]
            of_parity = [word.word_select(part, bits) for word in of_parity]
        m.d.sync += pair.eq(Cat(*of_parity))
        parity = delay(m, address[self._offset_bits], 1, "store_parity", reset_less=True)
        register(m, self.store_data, pair.word_select(parity, bits), latency.ACTIVATION_READ - _CHOSEN, "bus_word")


def zeros(bits: int) -> Value:
    return Const(0, bits)


def chosen(values: list[Value], index: Value) -> Value:
    """values[index]; the first where index is none of them."""
    out = values[0]
    for i, value in enumerate(values[1:], start=1):
        out = Mux(index == i, value, out)
    return out
