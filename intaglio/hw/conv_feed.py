"""CONV's sequencer: walks a command's loops (isa.py, CONV) one cycle at a time."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.feed_step import FeedRequest, FeedStep
from intaglio.hw.nest import Either, Last, Nest
from intaglio.hw.row_request import Y_SHAPE, RowRequest
from intaglio.hw.tile_pacing import TilePauses, TileWeights
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode


class FeedSequencer(wiring.Component):
    """Walks a CONV command: tiles of pixels and channels; in each the slots of its window, a row a cycle and a step a
    cycle.

    Ports
    -----
    command : In, 1024 bits
        Stable while active, and two cycles longer.
    start : In, 1 bit
        A pulse; the first slot's first cycle is the next one.
    active : Out, 1 bit
        High from then to the last cycle of the last slot.
    request : Out, FeedRequest
        latency.SEQUENCER_REQUEST cycles after the cycle of the slot that it belongs to.
    step : Out, FeedStep
        In its own cycle.

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
        m.submodules.pauses = pauses = TilePauses()
        running, next_tile = pauses.running, pauses.next_tile
        tiles = Nest(m, "tiles", next_tile, self.start, pixel=f["pixel_tiles"], channel=f["channel_tiles"])
        # The very last slot ends with its work, not with its slot.
        work = Mux(f["last_chunk_bytes"] > f["last_pixels"], f["last_chunk_bytes"], f["last_pixels"])
        slot_cycles = Either(("chunk",), f["last_slot_cycles"], f["slot_cycles"])
        slots = Nest(
            m,
            "slots",
            running,
            self.start | next_tile,
            cycle=Either(("chunk", "kw", "kh", *tiles.flags.values()), work, slot_cycles),
            chunk=f["chunks"],
            kw=f["kernel_cols"],
            kh=f["kernel_rows"],
        )
        cycle, last_chunk = slots.count("cycle", 16), slots.last["chunk"]
        pixels, channels = Signal.like(self.step.pixels), Signal.like(self.step.channels)
        length = Signal(16)
        last_slot = Signal()
        m.d.comb += [
            last_slot.eq(last_chunk & slots.last["kw"] & slots.last["kh"]),
            pixels.eq(Mux(tiles.last["pixel"], f["last_pixels"], f["rows_per_tile"])),
            channels.eq(Mux(tiles.last["channel"], f["last_channels"], config.cols)),
            length.eq(Mux(last_chunk, f["last_chunk_bytes"], f["chunk_bytes"])),
            pauses.start.eq(self.start),
            pauses.idle_cycles.eq(f["idle_cycles"]),
            pauses.tile_ends.eq(slots.ends),
            pauses.last_tile.eq(tiles.final),
            self.active.eq(pauses.active),
        ]
        first_slot = Signal()
        with m.If(slots.turns["chunk"]):
            m.d.sync += first_slot.eq(0)
        with m.If(next_tile | self.start):
            m.d.sync += first_slot.eq(1)

        self._requests(
            m, slots, cycle, running & (cycle < pixels), first_slot, self.start | tiles.turns["channel"], length
        )

        step = Signal()
        m.submodules.weights = weights = TileWeights(config)
        m.d.comb += [
            step.eq(running & (cycle < length)),
            weights.start.eq(self.start),
            weights.base.eq(f["weight_base"]),
            weights.taken.eq(Mux(step, 1 + f["split"], 0)),
            weights.next_tile.eq(next_tile),
            weights.again.eq(~tiles.last["pixel"]),
            self.step.control.valid.eq(step),
            self.step.control.first.eq((cycle == 0) & first_slot),
            self.step.control.last.eq(last_slot & (cycle == length - 1)),
            self.step.pixels.eq(pixels),
            self.step.channels.eq(channels),
            self.step.weight_address.eq(weights.address),
        ]
        return m

    def _requests(
        self,
        m: Module,
        slots: Nest,
        cycle: Value,
        fetch: Value,
        first_slot: Signal,
        region_begins: Value,
        length: Signal,
    ) -> None:
        """The rows' requests: pixels, advanced once for each row in a tile's first slot, and the slot's place in the
        window."""
        f = CommandView(self.command, Opcode.CONV)
        bits = ceil_log2(self.config.activation_bytes)
        m.submodules.rows = rows = RowRequest(self.config)
        region = Nest(m, "region", fetch & first_slot, region_begins, col=f["region_width"], row=Last())
        base = region.walk("base", bits, f["origin"], col=f["x_step"], row=f["row_step"])
        x = region.walk("x", signed(bits + 3), f["x_start"], col=f["x_step"])
        y = region.walk("y", Y_SHAPE, f["iy_start"], row=f["stride_rows"])
        chunk_offset = slots.walk("chunk_offset", signed(bits + 3), 0, chunk=f["chunk_bytes"])
        kw_offset = slots.walk("kw_offset", signed(bits + 3), 0, kw=f["kernel_x_step"])
        kh_offset = slots.walk("kh_offset", bits, 0, kh=f["kernel_row_step"])
        kh_rows = slots.walk("kh_rows", Y_SHAPE, 0, kh=f["dilation_rows"])
        m.d.comb += [
            rows.command.eq(self.command),
            rows.fetch.eq(fetch),
            rows.first_slot.eq(first_slot),
            rows.row.eq(cycle),
            rows.pixel.base.eq(base.now),
            rows.pixel.x.eq(x.now),
            rows.pixel.y.eq(y.now),
            rows.x_offset.eq(kw_offset.now + chunk_offset.now),
            rows.y_offset.eq(kh_rows.now),
            rows.row_offset.eq(kh_offset.now),
            rows.length.eq(length),
            self.request.eq(rows.request),
        ]
