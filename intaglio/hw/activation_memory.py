"""The activation memory: banks of even and odd words, read and written at any byte address."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.pipeline import delay, register
from intaglio.hw.ram import Collision, ram
from intaglio.machine import latency
from intaglio.machine.config import Config


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


class ActivationMemory(wiring.Component):
    """config.activation_bytes in banks, each of two interleaved memories (even and odd words of
    half_word_bytes = H) with one read and one write port.

    Read for COMPUTE: read_en, read_address (bytes, of byte 0 of the window, wraps), read_low, read_high: In; only
    bytes low <= i < high (at most feed_bytes) are wanted and only their words are touched; read_data: Out,
    feed_bytes bytes, latency.ACTIVATION_READ cycles later. read_touched: Out, 0 to 2, words touched by the request of this cycle.
    Write for COMPUTE: write_count (0 to Q), write_address, write_data: In, Q = requantizers bytes at any address; readable by a
    request latency.ACTIVATION_WRITE cycles later. write_touched: Out, as above.
    LOAD: load_en, load_address (a multiple of bus_bytes), load_data: In. STORE: store_en, store_address: In; store_data: Out,
    bus_bytes, latency.ACTIVATION_READ cycles later.
    conflict: Out, two requests for one port in this cycle; COMPUTE's is served. No flow control.
    """

    def __init__(self, config: Config):
        self.config = config
        bits = ceil_log2(config.activation_bytes)
        counts = ceil_log2(config.feed_bytes + 1)
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
        half = c.half_word_bytes
        offset_bits = ceil_log2(half)
        depth = c.bank_bytes // (2 * half)
        bank_bits = ceil_log2(depth)  # index bits within one of a bank's two memories
        bank_select = max(1, ceil_log2(c.activation_banks))
        conflicts = []

        def halves(address: Value, wants_first: Value, wants_second: Value) -> tuple[Signal, list[Signal], list[Value]]:
            """For a window that starts at address: the parity of its first word, and index and enable of even, odd."""
            word = Signal(len(self.read_address) - offset_bits)
            parity = Signal()
            m.d.comb += [word.eq(address >> offset_bits), parity.eq(word[0])]
            even = Signal(len(word) - 1)
            odd = Signal(len(word) - 1)
            m.d.comb += [even.eq((word >> 1) + parity), odd.eq(word >> 1)]
            enables = [Mux(parity, wants_second, wants_first), Mux(parity, wants_first, wants_second)]
            return parity, [even, odd], enables

        # Requests of COMPUTE, split into words.
        read_offset = self.read_address[:offset_bits]
        touch = Signal(2)
        m.d.comb += [
            touch[0].eq(self.read_en & (read_offset + self.read_low < half)),
            touch[1].eq(self.read_en & (read_offset + self.read_high > half)),
            self.read_touched.eq(touch[0] + touch[1]),
        ]
        read_parity, read_index, read_enable = halves(self.read_address, touch[0], touch[1])

        # A write is turned into place in one cycle and committed in the next.
        waits = latency.ACTIVATION_WRITE - 2
        write_count, write_address, write_data = (
            delay(m, getattr(self, name), waits, name) for name in ("write_count", "write_address", "write_data")
        )
        offset = write_address[:offset_bits]
        write_touch = Signal(2)
        m.d.comb += [
            write_touch[0].eq(write_count != 0),
            write_touch[1].eq((write_count != 0) & (offset + write_count > half)),
            self.write_touched.eq(write_touch[0] + write_touch[1]),
        ]
        write_parity, write_index, write_enable = halves(write_address, write_touch[0], write_touch[1])
        ring_bytes = 2 * half
        turn = Signal(offset_bits + 1)
        m.d.comb += turn.eq(-Cat(offset, write_parity))
        lanes = Signal(c.requantizers)
        m.d.comb += lanes.eq((1 << write_count) - 1)
        pad = ring_bytes - c.requantizers
        placed = rotated(m, Cat(write_data, zeros(8 * pad)), turn, ring_bytes)
        masks = rotated(m, Cat(lanes, zeros(pad)), turn, ring_bytes, unit=1)
        placed_r = Signal(8 * ring_bytes)
        masks_r = Signal(ring_bytes)
        write_enable_r = delay(m, Cat(*write_enable), 1, "write_enable")
        write_index_r = [delay(m, index, 1, f"write_index{p}") for p, index in enumerate(write_index)]
        m.d.sync += [placed_r.eq(placed), masks_r.eq(masks)]

        # LOAD's write meets COMPUTE's at the port, as many cycles later.
        load_en, load_address, load_data = (
            delay(m, getattr(self, name), 1 + waits, name) for name in ("load_en", "load_address", "load_data")
        )
        bus_low = ceil_log2(c.bus_bytes)

        outputs: list[list[Value]] = [[], []]
        for p in range(2):
            for bank in range(c.activation_banks):
                mem = ram(
                    m,
                    f"bank{bank}_{'odd' if p else 'even'}",
                    shape=unsigned(8 * half),
                    depth=depth,
                    read_latency=1,
                    collision=Collision.OLD,
                    granularity=8,
                )
                outputs[p].append(mem.read_data)

                def mine(index: Value, bank: int = bank) -> Value:
                    return (index >> bank_bits) == bank

                def at(address: Value, bank: int = bank, p: int = p) -> Value:
                    return (address[offset_bits] == p) & ((address >> (offset_bits + 1 + bank_bits)) == bank)

                compute_reads = read_enable[p] & mine(read_index[p])
                store_reads = self.store_en & at(self.store_address)
                m.d.comb += [
                    mem.read_en.eq(compute_reads | store_reads),
                    mem.read_address.eq(Mux(compute_reads, read_index[p], self.store_address >> (offset_bits + 1))),
                ]
                compute_writes = write_enable_r[p] & mine(write_index_r[p])
                load_writes = load_en & at(load_address)
                bus_mask = Signal(half, name=f"bus_mask{bank}_{p}")
                m.d.comb += bus_mask.eq(
                    ((1 << c.bus_bytes) - 1) << Cat(zeros(bus_low), load_address[bus_low:offset_bits])
                )
                m.d.comb += mem.write_address.eq(
                    Mux(compute_writes, write_index_r[p], load_address >> (offset_bits + 1))
                )
                with m.If(compute_writes):
                    m.d.comb += [
                        mem.write_data.eq(placed_r.word_select(p, 8 * half)),
                        mem.write_en.eq(masks_r.word_select(p, half)),
                    ]
                with m.Elif(load_writes):
                    m.d.comb += [
                        mem.write_data.eq(load_data.replicate(half // c.bus_bytes)),
                        mem.write_en.eq(bus_mask),
                    ]
                conflicts += [compute_reads & store_reads, compute_writes & load_writes]
        m.d.comb += self.conflict.eq(Cat(*conflicts).any())

        # Read data: choose the bank, then turn the window into place.
        bank_of = [delay(m, (index >> bank_bits)[:bank_select], 1, f"bank{p}") for p, index in enumerate(read_index)]
        ring = Signal(8 * ring_bytes)
        for p in range(2):
            m.d.sync += ring.word_select(p, 8 * half).eq(chosen(outputs[p], bank_of[p]))
        position = delay(m, Cat(read_offset, read_parity), 2, "position")
        turn_back = latency.ACTIVATION_READ - 2
        register(m, self.read_data, rotated(m, ring, position, c.feed_bytes), turn_back, "turned")

        # STORE's word.
        store_address = delay(m, self.store_address, 1, "store_address")
        word = Signal(8 * half)
        bank_index = (store_address >> (offset_bits + 1 + bank_bits))[:bank_select]
        m.d.sync += word.eq(
            Mux(store_address[offset_bits], chosen(outputs[1], bank_index), chosen(outputs[0], bank_index))
        )
        lane = delay(m, store_address[bus_low:offset_bits], 1, "store_lane")
        bus_word = word.word_select(lane, 8 * c.bus_bytes) if half > c.bus_bytes else word
        register(m, self.store_data, bus_word, turn_back, "bus_word")
        return m


def zeros(bits: int) -> Value:
    return Const(0, bits)


def chosen(values: list[Value], index: Value) -> Value:
    """values[index]; the first where index is none of them."""
    out = values[0]
    for i, value in enumerate(values[1:], start=1):
        out = Mux(index == i, value, out)
    return out
