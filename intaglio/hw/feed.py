"""CONV's sequencer and the feed of the array's rows.

The sequencer walks a command's loops (isa.py, CONV) one cycle at a time; FeedRows turns what the activation
memory returns into one stream of bytes for each row, row r one cycle behind row r - 1.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.array import StepControl
from intaglio.hw.command_view import CommandView
from intaglio.hw.pipeline import register
from intaglio.hw.ram import Collision, ram
from intaglio.hw.row_delay import DelayLine, DelaySchedule
from intaglio.hw.widths import index_bits
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode


class FeedRequest(data.StructLayout):
    """One row's read: address of its byte 0, the bytes that are wanted (low <= i < high), the row; `row_valid`
    is high also where every byte is padding and nothing is read."""

    def __init__(self, config: Config):
        counts = ceil_log2(config.feed_bytes + 1)
        super().__init__(
            {
                "row_valid": 1,
                "read": 1,
                "address": unsigned(ceil_log2(config.activation_bytes)),
                "low": unsigned(counts),
                "high": unsigned(counts),
                "row": unsigned(index_bits(config.rows)),
            }
        )


class FeedStep(data.StructLayout):
    """One step: control for row 0, pixels and channels in use, and the weight word's address."""

    def __init__(self, config: Config):
        super().__init__(
            {
                "control": StepControl,
                "pixels": unsigned(ceil_log2(config.rows + 1)),
                "channels": unsigned(ceil_log2(config.cols + 1)),
                "weight_address": unsigned(index_bits(config.weight_bytes // config.weight_word_bytes)),
            }
        )


class FeedSequencer(wiring.Component):
    """Walks a CONV command.

    command: In, 1024 bits, stable while active. start: In, a pulse; the first slot's first cycle is the next one. active: Out, high
    from then to the last cycle of the last slot. request: Out, FeedRequest, latency.SEQUENCER_REQUEST cycles after the cycle of the slot
    that it belongs to. step: Out, FeedStep, in its own cycle.
    No flow control: the schedule is fixed by the command.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "command": In(COMMAND_BITS),
                "start": In(1),
                "active": Out(1),
                "request": Out(FeedRequest(config)),
                "step": Out(FeedStep(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        f = CommandView(self.command, Opcode.CONV)
        address_bits = ceil_log2(config.activation_bytes)
        x_shape = signed(address_bits + 3)
        y_shape = signed(18)

        # Loop counters, innermost first.
        cycle = Signal(16)
        chunk = Signal(16)
        kw = Signal(16)
        kh = Signal(16)
        idle = Signal.like(f["idle_cycles"])
        tile_p = Signal(16)
        tile_c = Signal(16)
        first_slot = Signal()
        idling = Signal()
        weight = Signal.like(self.step.weight_address)
        weight_tile = Signal.like(weight)

        last_chunk = Signal()
        last_slot = Signal()
        last_p = Signal()
        last_tile = Signal()
        pixels = Signal(ceil_log2(config.rows + 1))
        channels = Signal(ceil_log2(config.cols + 1))
        length = Signal(16)
        slot_end = Signal()
        m.d.comb += [
            last_chunk.eq(chunk == f["chunks"] - 1),
            last_slot.eq(last_chunk & (kw == f["kernel_cols"] - 1) & (kh == f["kernel_rows"] - 1)),
            last_p.eq(tile_p == f["pixel_tiles"] - 1),
            last_tile.eq(last_p & (tile_c == f["channel_tiles"] - 1)),
            pixels.eq(Mux(last_p, f["last_pixels"], f["rows_per_tile"])),
            channels.eq(Mux(tile_c == f["channel_tiles"] - 1, f["last_channels"], config.cols)),
            length.eq(Mux(last_chunk, f["last_chunk_bytes"], f["chunk_bytes"])),
        ]
        # The very last slot ends with its work, not with its slot.
        work = Signal(16)
        slot = Signal(16)
        m.d.comb += [
            work.eq(Mux(length > pixels, length, pixels)),
            slot.eq(Mux(last_chunk, f["last_slot_cycles"], f["slot_cycles"])),
            slot_end.eq(cycle == Mux(last_slot & last_tile, work, slot) - 1),
        ]

        # Offsets of the slot, stepped with its counters.
        kh_offset = Signal(address_bits)
        kh_rows = Signal(y_shape)
        kw_offset = Signal(x_shape)
        chunk_offset = Signal(x_shape)

        running = Signal()
        m.d.comb += running.eq(self.active & ~idling)
        next_tile = Signal()
        with m.If(running):
            m.d.sync += cycle.eq(cycle + 1)
            with m.If(slot_end):
                m.d.sync += [cycle.eq(0), first_slot.eq(0)]
                with m.If(~last_chunk):
                    m.d.sync += [chunk.eq(chunk + 1), chunk_offset.eq(chunk_offset + f["chunk_bytes"])]
                with m.Else():
                    m.d.sync += [chunk.eq(0), chunk_offset.eq(0)]
                    with m.If(kw != f["kernel_cols"] - 1):
                        m.d.sync += [kw.eq(kw + 1), kw_offset.eq(kw_offset + f["kernel_x_step"])]
                    with m.Else():
                        m.d.sync += [kw.eq(0), kw_offset.eq(0)]
                        with m.If(kh != f["kernel_rows"] - 1):
                            m.d.sync += [
                                kh.eq(kh + 1),
                                kh_offset.eq(kh_offset + f["kernel_row_step"]),
                                kh_rows.eq(kh_rows + f["dilation_rows"]),
                            ]
                        with m.Else():
                            m.d.sync += [kh.eq(0), kh_offset.eq(0), kh_rows.eq(0)]
                with m.If(last_slot):
                    with m.If(last_tile):
                        m.d.sync += self.active.eq(0)
                    with m.Elif(f["idle_cycles"] != 0):
                        m.d.sync += [idling.eq(1), idle.eq(1)]
                    with m.Else():
                        m.d.comb += next_tile.eq(1)
        with m.If(idling):
            m.d.sync += idle.eq(idle + 1)
            with m.If(idle == f["idle_cycles"]):
                m.d.sync += idling.eq(0)
                m.d.comb += next_tile.eq(1)

        # Pixels: advanced once for each row in a tile's first slot.
        col = Signal(16)
        base = Signal(address_bits)
        row_base = Signal(address_bits)
        x0 = Signal(x_shape)
        y0 = Signal(y_shape)
        row_of = Signal(index_bits(config.rows))
        fetch = Signal()
        m.d.comb += [fetch.eq(running & (cycle < pixels)), row_of.eq(cycle)]
        with m.If(fetch & first_slot):
            with m.If(col == f["region_width"] - 1):
                following = Signal(address_bits)
                m.d.comb += following.eq(row_base + f["row_step"])
                m.d.sync += [
                    col.eq(0),
                    row_base.eq(following),
                    base.eq(following),
                    x0.eq(f["x_start"]),
                    y0.eq(y0 + f["stride_rows"]),
                ]
            with m.Else():
                m.d.sync += [col.eq(col + 1), base.eq(base + f["x_step"]), x0.eq(x0 + f["x_step"])]

        restart = Signal()
        step = Signal()
        m.d.comb += step.eq(running & (cycle < length))
        taken = Signal(2)  # weight words
        m.d.comb += taken.eq(Mux(step, 1 + f["split"], 0))
        m.d.sync += weight.eq(weight + taken)
        with m.If(next_tile):
            m.d.sync += first_slot.eq(1)
            with m.If(last_p):
                m.d.sync += [tile_p.eq(0), tile_c.eq(tile_c + 1)]
                # The next channel tile's weights follow this one's.
                m.d.sync += weight_tile.eq(weight + taken)
                m.d.comb += restart.eq(1)
            with m.Else():
                m.d.sync += [tile_p.eq(tile_p + 1), weight.eq(weight_tile)]
        with m.If(self.start):
            m.d.sync += [
                self.active.eq(1),
                first_slot.eq(1),
                tile_p.eq(0),
                tile_c.eq(0),
                weight.eq(f["weight_base"]),
                weight_tile.eq(f["weight_base"]),
            ]
            m.d.comb += restart.eq(1)
        with m.If(restart):
            m.d.sync += [
                col.eq(0),
                base.eq(f["origin"]),
                row_base.eq(f["origin"]),
                x0.eq(f["x_start"]),
                y0.eq(f["iy_start"]),
            ]

        # What the first slot computed for a row, kept for the others.
        kept = data.StructLayout({"base": address_bits, "x0": x_shape, "y0": y_shape})
        store = ram(m, "row_store", shape=kept, depth=config.rows, read_latency=0, collision=Collision.OLD)
        m.d.comb += [
            store.write_en.eq(fetch & first_slot),
            store.write_address.eq(row_of),
            store.write_data.base.eq(base),
            store.write_data.x0.eq(x0),
            store.write_data.y0.eq(y0),
            store.read_address.eq(row_of),
        ]

        # Request, in three cycles: gather, add, clip.
        valid1 = Signal()
        row1 = Signal.like(row_of)
        base1 = Signal(address_bits)
        x1 = Signal(x_shape)
        y1 = Signal(y_shape)
        offset1 = Signal(address_bits)
        kx1 = Signal(x_shape)
        ky1 = Signal(y_shape)
        wrap1 = Signal(signed(len(y1) + 1))  # y1 from which the row wraps
        length1 = Signal(ceil_log2(config.feed_bytes + 1))
        m.d.sync += [
            valid1.eq(fetch),
            row1.eq(row_of),
            base1.eq(Mux(first_slot, base, store.read_data.base)),
            x1.eq(Mux(first_slot, x0, store.read_data.x0)),
            y1.eq(Mux(first_slot, y0, store.read_data.y0)),
            kx1.eq(kw_offset + chunk_offset),
            ky1.eq(kh_rows),
            wrap1.eq(f["wrap_iy"] - kh_rows),
            offset1.eq(kh_offset + kw_offset + chunk_offset),
            length1.eq(length),
        ]
        valid2 = Signal()
        row2 = Signal.like(row_of)
        address2 = Signal(address_bits)
        x2 = Signal(signed(len(x1) + 1))
        y2 = Signal(signed(len(y1) + 1))
        length2 = Signal.like(length1)
        wraps2 = Signal()
        m.d.sync += [
            valid2.eq(valid1),
            row2.eq(row1),
            address2.eq(base1 + offset1),
            x2.eq(x1 + kx1),
            y2.eq(y1 + ky1),
            length2.eq(length1),
            wraps2.eq(y1 >= wrap1),
        ]
        inside = Signal()
        low = Signal(signed(len(x2) + 1))
        room = Signal(signed(34))
        low_r = Signal.like(self.request.low)
        high_r = Signal.like(self.request.high)
        m.d.comb += [
            inside.eq((y2 >= 0) & (y2 < f["in_rows"])),
            low.eq(-x2),
            room.eq(f["in_row_bytes"] - x2),
            low_r.eq(Mux(low <= 0, 0, Mux(low >= length2, length2, low))),
            high_r.eq(Mux(room <= 0, 0, Mux(room >= length2, length2, room))),
        ]
        clipped = {
            "row_valid": valid2,
            "read": valid2 & inside & (low_r < high_r),
            "address": address2 - Mux(wraps2, f["wrap_bytes"], 0),
            "low": low_r,
            "high": high_r,
            "row": row2,
        }
        for name, value in clipped.items():
            register(m, self.request[name], value, latency.SEQUENCER_REQUEST - 2, f"clipped_{name}")

        # Step.
        first_step = Signal()
        m.d.comb += [
            first_step.eq((cycle == 0) & (chunk == 0) & (kw == 0) & (kh == 0)),
            self.step.control.valid.eq(step),
            self.step.control.first.eq(first_step),
            self.step.control.last.eq(last_slot & (cycle == length - 1)),
            self.step.pixels.eq(pixels),
            self.step.channels.eq(channels),
            self.step.weight_address.eq(weight),
        ]
        return m


class FeedRows(wiring.Component):
    """The rows' shift registers.

    request: In, FeedRequest as given to the activation memory, latency.ACTIVATION_READ cycles before read_data: In. zero_point:
    In, signed 8, stable. control, pixels: In, row 0's control and the pixels in use, in the cycle in which row 0 shows byte
    0 (latency.FEED_ROWS cycles after read_data); delayed by r for row r here. activation[r], control_out[r]: Out.
    With depthwise_delay, delays: In, DelaySchedule, how long control takes from row to row in place of one cycle; and bus[c]:
    Out, signed 8, byte c of a request (0 beyond feed_bytes) in the cycle in which row 0 would show its byte 0.
    No flow control: a row is filled again only after its bytes have left (slot_cycles >= chunk_bytes).
    """

    def __init__(self, config: Config):
        self.config = config
        depthwise = {
            "delays": In(DelaySchedule(config.rows, config.depthwise_delay)),
            "bus": Out(signed(8)).array(config.cols),
        }
        super().__init__(
            {
                "request": In(FeedRequest(config)),
                "read_data": In(8 * config.feed_bytes),
                "zero_point": In(signed(8)),
                "control": In(StepControl),
                "pixels": In(unsigned(ceil_log2(config.rows + 1))),
                "activation": Out(signed(8)).array(config.rows),
                "control_out": Out(StepControl).array(config.rows),
                **(depthwise if config.depthwise_delay else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = self.request
        for i in range(latency.ACTIVATION_READ):
            later = Signal(request.shape(), name=f"request_d{i + 1}")
            m.d.sync += later.eq(request)
            request = later
        width = self.config.feed_bytes
        wanted = Signal(width)
        m.d.comb += wanted.eq(
            Mux(
                request.read,
                ((Const(1, width + 1) << request.high) - 1) & ~((Const(1, width + 1) << request.low) - 1),
                0,
            )
        )
        masked = Signal(8 * width)
        capture = Signal()
        row = Signal.like(request.row)
        to_capture = latency.FEED_ROWS - 1
        zero_point = self.zero_point.as_unsigned()
        padded = Cat(Mux(wanted[i], self.read_data.word_select(i, 8), zero_point) for i in range(width))
        register(m, masked, padded, to_capture, "masked")
        register(m, capture, request.row_valid, to_capture, "capture")
        register(m, row, request.row, to_capture, "row")
        control, pixels = self.control, self.pixels
        for r in range(self.config.rows):
            shift = Signal(8 * width, name=f"row{r}", reset_less=True)
            with m.If(capture & (row == r)):
                m.d.sync += shift.eq(masked)
            with m.Else():
                m.d.sync += shift.eq(shift[8:])
            m.d.comb += [
                self.activation[r].eq(shift[:8]),
                self.control_out[r].eq(control),
                self.control_out[r].valid.eq(control.valid & (r < pixels)),
            ]
            if r + 1 < self.config.rows:
                later = Signal(StepControl, name=f"control{r + 1}")
                later_pixels = Signal.like(self.pixels, name=f"pixels{r + 1}")
                m.d.sync += [later.eq(control), later_pixels.eq(pixels)]
                control, pixels = later, later_pixels
                if self.config.depthwise_delay:
                    control, pixels = self._delayed(m, r, control, pixels)
        if self.config.depthwise_delay:
            for c in range(min(self.config.cols, width)):
                m.d.sync += self.bus[c].eq(masked.word_select(c, 8))
        return m

    def _delayed(self, m: Module, link: int, control: Signal, pixels: Signal) -> tuple[Signal, Signal]:
        """Control and pixels as they leave the delay line from row `link` to the next."""
        config = self.config
        word = Cat(control, pixels)
        m.submodules[f"delay_{link}"] = line = DelayLine(len(word), 1, config.rows, config.depthwise_delay, link)
        below = Signal(StepControl, name=f"control_below{link}")
        below_pixels = Signal.like(pixels, name=f"pixels_below{link}")
        m.d.comb += [
            line.word[0].eq(word),
            line.schedule.eq(self.delays),
            Cat(below, below_pixels).eq(line.out[0]),
            below.valid.eq(line.out[0][0] & self.delays.links[link].fresh),
        ]
        return below, below_pixels
