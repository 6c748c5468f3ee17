"""The array's drain: sums leave the array, wait in the drain memory, and go row by row to the requantizers, or to the
partial-sum memory until a later command adds to them."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.activation_memory import chosen
from intaglio.hw.command_view import CommandView, runs
from intaglio.hw.drain_writer import DrainWriter
from intaglio.hw.output_pass import DrainRead, OutputPass
from intaglio.hw.partial_memory import PartialMemory
from intaglio.hw.patch_reader import PatchReader
from intaglio.hw.pipeline import delay, register
from intaglio.hw.pixel_reader import PixelReader
from intaglio.hw.ram import Collision, ram
from intaglio.hw.widths import index_bits
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.formats import SUM
from intaglio.machine.isa import COMMAND_BITS, Opcode


class Drain(wiring.Component):
    """Takes a tile's sums and emits passes of Q, pixel by pixel, channel group by channel group.

    Ports
    -----
    command : In, 1024 bits
        Stable while a CONV or DEPTHWISE runs.
    start : In, 1 bit
        A pulse before its first tile.
    sum[c] : In, signed 32
        As Array gives it.
    row0_done : In, 1 bit
        High in the cycles in which column 0 shows a sum; column c shows the same row's c cycles later.
    channel_en, channel_address : Out, 1 bit and index_bits(words of the channel memory)
        The request for the pass's records.
    sums : Out, Q x signed 32
        latency.CHANNEL_READ cycles after that request, latency.DRAIN_PASS after the pass was read.
    output : Out, OutputPass
        In the same cycle as its sums.
    keeps_last : Out, 1 bit
        The last pass of a command that keeps all of its sums is read; latency.KEEP_END cycles later it is in the partial-sum
        memory.
    partial_reads, partial_writes : Out, 1 bit each
        That memory's accesses.

    Rigid: a tile's passes follow each other without a gap, beginning cols + 1 cycles after its first sum (DEPTHWISE's
    last, since its rows finish some cycles apart, and with `split` the second) arrived in column 0; the next tile's
    begin no earlier than they end (timing.least_tile_cycles, least_idle_cycles).
    """

    def __init__(self, config: Config):
        self.config = config
        words = config.channel_bytes // config.channel_word_bytes
        super().__init__(
            {
                "command": In(COMMAND_BITS),
                "start": In(1),
                "sum": In(signed(SUM.bits)).array(config.cols),
                "row0_done": In(1),
                "channel_en": Out(1),
                "channel_address": Out(unsigned(index_bits(words))),
                "sums": Out(signed(SUM.bits)).array(config.requantizers),
                "output": Out(OutputPass(config)),
                "keeps_last": Out(1),
                "partial_reads": Out(1),
                "partial_writes": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        read = Signal(DrainRead(self.config))
        columns, begins = self._memory(m, read)
        self._readers(m, begins, read)

        # One cycle for the drain memory, one for the choice of the group, one for what earlier commands kept.
        request = latency.DRAIN_PASS - latency.CHANNEL_READ
        m.d.comb += [
            self.channel_en.eq(delay(m, read.output.count != 0, request, "channel_en")),
            self.channel_address.eq(delay(m, read.records, request, "channel_address", reset_less=True)),
            self.output.eq(delay(m, read.output, latency.DRAIN_PASS, "output")),
        ]
        self._add(m, read, columns, self._partial(m, read))
        return m

    def _memory(self, m: Module, read: data.View) -> tuple[list[Value], Value]:
        """The columns' memories, written as the sums arrive. Returns what each reads, and `begins` when the last column's sum
        is written: the readers take two cycles to the first pass."""
        config = self.config
        split = CommandView(self.command, Opcode.CONV)["split"]
        m.submodules.writer = writer = DrainWriter(config)
        m.d.comb += [
            writer.command.eq(self.command),
            writer.start.eq(self.start),
            writer.row0_done.eq(self.row0_done),
        ]
        en, where, begins = writer.write, Cat(writer.row, writer.half), writer.begins
        columns = []
        for c in range(config.cols):
            mem = ram(
                m,
                f"sums_{c}",
                shape=signed(SUM.bits),
                depth=2 << index_bits(config.rows),
                read_latency=1,
                collision=Collision.OLD,  # a sum may be read as a later tile's takes its place
            )
            total: Value = self.sum[c]
            if config.lanes == 2:
                first = Signal(
                    signed(SUM.bits), name=f"first{c}", reset_less=True
                )  # row 0's sum, where row 1's is to be added
                m.d.sync += first.eq(Mux(split, self.sum[c], 0))
                total = self.sum[c] + first
            m.d.comb += [
                mem.write_en.eq(en),
                mem.write_address.eq(where),
                mem.write_data.eq(total),
                mem.read_address.eq(Cat(read.row, read.half)),
                mem.read_en.eq(1),
            ]
            columns.append(mem.read_data)
            en = delay(m, en, 1, f"en{c}")
            where = delay(m, where, 1, f"where{c}", reset_less=True)
            begins = delay(m, begins, int(c > 0), f"begins{c}")
        return columns, begins

    def _readers(self, m: Module, begins: Value, read: data.View) -> None:
        """The passes, each in the cycle in which its sums are read: CONV's, or DEPTHWISE's."""
        m.submodules.pixels = pixels = PixelReader(self.config)
        m.d.comb += [pixels.command.eq(self.command), pixels.start.eq(self.start), pixels.begin.eq(begins)]
        m.d.comb += read.eq(pixels.read)
        if self.config.depthwise_delay:
            is_depthwise = delay(m, runs(self.command, Opcode.DEPTHWISE), 1, "is_depthwise")
            m.submodules.patches = patches = PatchReader(self.config)
            m.d.comb += [
                pixels.begin.eq(begins & ~is_depthwise),
                patches.command.eq(self.command),
                patches.start.eq(self.start),
                patches.begin.eq(begins & is_depthwise),
            ]
            with m.If(is_depthwise):
                m.d.comb += read.eq(patches.read)

    def _partial(self, m: Module, read: data.View) -> PartialMemory:
        """Sums that earlier commands kept, read to meet the pass's sums, and written with those that this one keeps."""
        config = self.config
        to_partial = latency.DRAIN_PASS - 1 - latency.PARTIAL_READ
        m.submodules.partial = partial = PartialMemory(config.partial_words, config.requantizers)
        m.d.comb += [
            partial.read_en.eq(delay(m, read.take, to_partial, "take")),
            partial.read_address.eq(delay(m, read.partial, to_partial, "partial_read", reset_less=True)),
            partial.write_en.eq(delay(m, read.keep, latency.DRAIN_PASS, "keep")),
            partial.write_address.eq(delay(m, read.partial, latency.DRAIN_PASS, "partial", reset_less=True)),
            self.keeps_last.eq(read.keep & read.output.final),
            self.partial_reads.eq(partial.read_en),
            self.partial_writes.eq(partial.write_en),
        ]
        return partial

    def _add(self, m: Module, read: data.View, columns: list[Value], partial: PartialMemory) -> None:
        """The pass's sums: the group's columns, and what was kept of them."""
        config = self.config
        q = config.requantizers
        group = delay(m, read.group, 1, "group", reset_less=True)
        for lane in range(q):
            choices = [columns[g * q + lane] for g in range(config.channel_groups) if g * q + lane < config.cols]
            new = Signal(signed(SUM.bits), name=f"new{lane}", reset_less=True)
            register(m, new, chosen(choices, group), latency.DRAIN_PASS - 2, f"chosen{lane}", reset_less=True)
            m.d.sync += self.sums[lane].eq(new + partial.read_data[lane])
            m.d.comb += partial.write_data[lane].eq(self.sums[lane])
