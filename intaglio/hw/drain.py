"""CONV's drain: sums leave the array, wait in the drain memory, and go to the requantizers row by row."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.activation_memory import chosen
from intaglio.hw.command_view import CommandView
from intaglio.hw.config import Config
from intaglio.hw.isa import Opcode
from intaglio.hw.pipeline import delay


class OutputPass(data.StructLayout):
    """One pass of the requantizers: how many of the Q elements are real (0: no pass), where they go, and
    whether it is the command's last."""

    def __init__(self, config: Config):
        super().__init__(
            {
                "count": unsigned(ceil_log2(config.requantizers + 1)),
                "address": unsigned(ceil_log2(config.activation_bytes)),
                "final": 1,
            }
        )


class Drain(wiring.Component):
    """Takes a tile's sums and emits passes of Q, pixel by pixel, channel group by channel group.

    command: In, 1024 bits, stable while a CONV runs. start: In, a pulse before its first tile.
    sum[c]: In, signed 32, as Array gives it; row0_done: In, high in the cycles in which column 0 shows a
    sum; column c shows the same row's c cycles later.
    channel_en, channel_address: Out, the request for the pass's records. sums: Out, Q x signed 32, and output: Out,
    OutputPass; both PASS_LATENCY cycles after that request.
    Rigid: a tile's passes follow each other without a gap, beginning cols + 1 cycles after its first sum in column 0 arrived;
    the next tile's begin no earlier than they end (tile cycles >= pixels x groups).
    """

    PASS_LATENCY = 2

    def __init__(self, config: Config):
        self.config = config
        words = config.channel_bytes // config.channel_word_bytes
        super().__init__(
            {
                "command": In(1024),
                "start": In(1),
                "sum": In(signed(32)).array(config.cols),
                "row0_done": In(1),
                "channel_en": Out(1),
                "channel_address": Out(unsigned(ceil_log2(max(2, words)))),
                "sums": Out(signed(32)).array(config.requantizers),
                "output": Out(OutputPass(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        f = CommandView(self.command, Opcode.CONV)
        q = config.requantizers
        groups = config.channel_groups
        row_bits = ceil_log2(max(2, config.rows))
        address_bits = ceil_log2(config.activation_bytes)

        # Writing: row counter of column 0; column c follows c cycles later.
        write_row = Signal(row_bits)
        write_half = Signal()
        write_tile = Signal(16)
        write_pixels = Signal(ceil_log2(config.rows + 1))
        m.d.comb += write_pixels.eq(Mux(write_tile == f["pixel_tiles"] - 1, f["last_pixels"], f["rows_per_tile"]))
        with m.If(self.row0_done):
            m.d.sync += write_row.eq(write_row + 1)
            with m.If(write_row == write_pixels - 1):
                m.d.sync += [
                    write_row.eq(0),
                    write_half.eq(~write_half),
                    write_tile.eq(Mux(write_tile == f["pixel_tiles"] - 1, 0, write_tile + 1)),
                ]
        with m.If(self.start):
            m.d.sync += [write_row.eq(0), write_half.eq(0), write_tile.eq(0)]

        en: Signal = self.row0_done
        where = Cat(write_row, write_half)
        first = self.row0_done & (write_row == 0)
        read_at = Signal(row_bits + 1)
        columns = []
        for c in range(config.cols):
            m.submodules[f"sums_{c}"] = mem = memory.Memory(
                shape=signed(32), depth=2 << row_bits, init=[]
            )
            write = mem.write_port()
            read = mem.read_port()
            m.d.comb += [
                write.en.eq(en),
                write.addr.eq(where),
                write.data.eq(self.sum[c]),
                read.addr.eq(read_at),
                read.en.eq(1),
            ]
            columns.append(read.data)
            en = delay(m, en, 1, f"en{c}")
            where = delay(m, where, 1, f"where{c}")
            first = delay(m, first, 1, f"first{c}")
        begin = first  # one cycle after the last column's first sum is written

        # Reading: pixel by pixel, group by group.
        active = Signal()
        row = Signal(row_bits)
        group = Signal(ceil_log2(max(2, groups)))
        half = Signal()
        tile_p = Signal(16)
        tile_c = Signal(16)
        last_p = Signal()
        last_c = Signal()
        pixels = Signal.like(write_pixels)
        channels = Signal(ceil_log2(config.cols + 1))
        first_channel = Signal(range(groups * q + 1))
        m.d.comb += [
            last_p.eq(tile_p == f["pixel_tiles"] - 1),
            last_c.eq(tile_c == f["channel_tiles"] - 1),
            pixels.eq(Mux(last_p, f["last_pixels"], f["rows_per_tile"])),
            channels.eq(Mux(last_c, f["last_channels"], config.cols)),
        ]
        last_group = Signal()
        last_row = Signal()
        m.d.comb += [
            last_group.eq(first_channel + q >= channels),
            last_row.eq(row == pixels - 1),
            read_at.eq(Cat(row, half)),
            self.channel_en.eq(active),
        ]

        col = Signal(16)
        tile_out = Signal(address_bits)  # out_base + tile_c * cols
        row_out = Signal(address_bits)
        pixel_out = Signal(address_bits)
        channel_tile = Signal.like(self.channel_address)
        m.d.comb += self.channel_address.eq(channel_tile + group)
        with m.If(active):
            m.d.sync += [group.eq(group + 1), first_channel.eq(first_channel + q)]
            with m.If(last_group):
                m.d.sync += [group.eq(0), first_channel.eq(0), row.eq(row + 1)]
                with m.If(col == f["region_width"] - 1):
                    following = Signal(address_bits)
                    m.d.comb += following.eq(row_out + f["out_row_stride"])
                    m.d.sync += [col.eq(0), row_out.eq(following), pixel_out.eq(following)]
                with m.Else():
                    m.d.sync += [col.eq(col + 1), pixel_out.eq(pixel_out + f["out_pixel_stride"])]
                with m.If(last_row):
                    m.d.sync += [active.eq(0), row.eq(0), half.eq(~half), tile_p.eq(tile_p + 1)]
                    with m.If(last_p):
                        tile_following = Signal(address_bits)
                        m.d.comb += tile_following.eq(tile_out + config.cols)
                        m.d.sync += [
                            tile_p.eq(0),
                            tile_c.eq(tile_c + 1),
                            channel_tile.eq(channel_tile + groups),
                            tile_out.eq(tile_following),
                            row_out.eq(tile_following),
                            pixel_out.eq(tile_following),
                            col.eq(0),
                        ]
        with m.If(begin):
            m.d.sync += active.eq(1)
        with m.If(self.start):
            m.d.sync += [
                active.eq(0),
                row.eq(0),
                group.eq(0),
                first_channel.eq(0),
                half.eq(0),
                tile_p.eq(0),
                tile_c.eq(0),
                channel_tile.eq(f["channel_base"]),
                tile_out.eq(f["out_base"]),
                row_out.eq(f["out_base"]),
                pixel_out.eq(f["out_base"]),
                col.eq(0),
            ]

        # One cycle for the drain memory, one for the choice of the group.
        output = Signal(OutputPass(config))
        left = Signal.like(channels)
        m.d.comb += [
            left.eq(channels - first_channel),
            output.count.eq(Mux(active, Mux(left > q, q, left), 0)),
            output.address.eq(pixel_out + first_channel),
            output.final.eq(active & last_group & last_row & last_p & last_c),
        ]
        group_r = delay(m, group, 1, "group")
        m.d.comb += self.output.eq(delay(m, output, self.PASS_LATENCY, "output"))
        for lane in range(q):
            choices = [columns[g * q + lane] for g in range(groups) if g * q + lane < config.cols]
            m.d.sync += self.sums[lane].eq(chosen(choices, group_r))
        return m
