"""CONV's sequencer: walks a command's loops (isa.py, CONV) one cycle at a time."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.feed_step import FeedRequest, FeedStep
from intaglio.hw.nest import Ahead, Either, Last, Nest, Turns
from intaglio.hw.pipeline import delay
from intaglio.hw.row_request import Y_SHAPE, RowRequest
from intaglio.hw.tile_pacing import TilePauses, TileWeights
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode
from intaglio.machine.latency import LEAST_TILE, SEQUENCER_STEP


class FeedSequencer(wiring.Component):
    """Walks a CONV command: tiles of pixels and channels; in each the slots of its window, a row a cycle and a step a
    cycle.

    Ports
    -----
    command : In, 1024 bits
        Stable while active, and two cycles longer.
    start : In, 1 bit
        A pulse; the first slot's first cycle is the third one after it.
    active : Out, 1 bit
        High in the cycle before each of those from then to the last cycle of the last slot.
    request : Out, FeedRequest
        latency.SEQUENCER_REQUEST cycles after the cycle of the slot that it belongs to.
    step : Out, FeedStep
        latency.SEQUENCER_STEP cycles after its own cycle.

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
        f = CommandView(self.command, Opcode.CONV)
        start, begin = self.start, delay(m, self.start, 1, "begin")
        m.submodules.pauses = pauses = TilePauses()
        running, next_tile = pauses.running, pauses.next_tile
        tiles = Ahead(
            m, "tiles", start, begin, next_tile, LEAST_TILE, pixel=f["pixel_tiles"], channel=f["channel_tiles"]
        )
        # The very last slot ends with its work, not with its slot.
        work = Mux(f["last_chunk_bytes"] > f["last_pixels"], f["last_chunk_bytes"], f["last_pixels"])
        slot_cycles = Either(("chunk",), f["last_slot_cycles"], f["slot_cycles"])
        slots = Nest(
            m,
            "slots",
            running,
            begin | pauses.resumes,
            again=next_tile,
            cycle=Either(("chunk", "kw", "kh", *tiles.flags.values()), work, slot_cycles),
            chunk=f["chunks"],
            kw=f["kernel_cols"],
            kh=f["kernel_rows"],
        )
        m.d.comb += [
            pauses.start.eq(begin),
            pauses.idle_cycles.eq(f["idle_cycles"]),
            pauses.tile_ends.eq(slots.ends),
            pauses.last_tile.eq(tiles.final),
            pauses.next_last.eq(tiles.next_final),
        ]
        self._steps(m, slots.later(), tiles.later(), delay(m, running, 1, "runs"), delay(m, begin, 1, "begins"))
        m.d.comb += self.active.eq(pauses.active)
        return m

    def _steps(self, m: Module, slots: Turns, tiles: Ahead, running: Value, begin: Value) -> None:
        """The slots' steps and requests, in their own cycle: one behind the loops' decisions."""
        config = self.config
        f = CommandView(self.command, Opcode.CONV)
        next_tile = tiles.turns["pixel"]
        last_chunk = slots.last["chunk"]
        cycle = slots.walk("cycle", 16, 1, cycle=1).now  # from 1 on
        pixels, channels = Signal.like(self.step.pixels), Signal.like(self.step.channels)
        length = Signal(16)
        m.d.comb += [
            pixels.eq(Mux(tiles.last["pixel"], f["last_pixels"], f["rows_per_tile"])),
            channels.eq(Mux(tiles.last["channel"], f["last_channels"], config.cols)),
            length.eq(Mux(last_chunk, f["last_chunk_bytes"], f["chunk_bytes"])),
        ]
        first_slot, last_slot = Signal(), last_chunk & slots.last["kw"] & slots.last["kh"]
        with m.If(slots.turns["chunk"]):
            m.d.sync += first_slot.eq(0)
        with m.If(next_tile | begin):
            m.d.sync += first_slot.eq(1)

        self._requests(m, slots, cycle, running & (cycle <= pixels), first_slot, begin | tiles.turns["channel"], length)

        step = Signal(FeedStep(config))
        m.d.comb += [
            step.control.valid.eq(running & (cycle <= length)),
            step.control.first.eq((cycle == 1) & first_slot),
            step.control.last.eq(last_slot & (cycle == length)),
            step.pixels.eq(pixels),
            step.channels.eq(channels),
        ]
        m.submodules.weights = weights = TileWeights(config)
        m.d.comb += [
            weights.start.eq(begin),
            weights.next_tile.eq(next_tile),
            weights.again.eq(~tiles.last["pixel"]),
            self.step.eq(delay(m, step, SEQUENCER_STEP, "step")),
            weights.base.eq(f["weight_base"]),
            weights.taken.eq(Mux(self.step.control.valid, 1 + f["split"], 0)),
            self.step.weight_address.eq(weights.address),
        ]

    def _requests(
        self,
        m: Module,
        slots: Turns,
        cycle: Value,
        fetch: Value,
        first_slot: Signal,
        region_begins: Value,
        length: Signal,
    ) -> None:
        """The rows' requests, two cycles later: pixels, advanced once for each row in a tile's first slot, and the slot's
        place in the window."""
        f = CommandView(self.command, Opcode.CONV)
        bits = ceil_log2(self.config.activation_bytes)
        m.submodules.rows = rows = RowRequest(self.config)
        # In the next cycle.
        fetch, first, begins = (
            delay(m, value, 1, name)
            for value, name in ((fetch, "fetch"), (first_slot, "first_slot"), (region_begins, "region_begins"))
        )
        pixels = Nest(m, "region", fetch & first, begins, col=f["region_width"], row=Last())
        base = pixels.walk("base", bits, f["origin"], col=f["x_step"], row=f["row_step"])
        x = pixels.walk("x", signed(bits + 3), f["x_start"], col=f["x_step"])
        y = pixels.walk("y", Y_SHAPE, f["iy_start"], row=f["stride_rows"])
        slots = slots.later()
        chunk_offset = slots.walk("chunk_offset", signed(bits + 3), 0, chunk=f["chunk_bytes"])
        kw_offset = slots.walk("kw_offset", signed(bits + 3), 0, kw=f["kernel_x_step"])
        kh_offset = slots.walk("kh_offset", bits, 0, kh=f["kernel_row_step"])
        kh_rows = slots.walk("kh_rows", Y_SHAPE, 0, kh=f["dilation_rows"])
        m.d.comb += [
            rows.command.eq(self.command),
            rows.fetch.eq(fetch),
            rows.first_slot.eq(first),
            rows.row.eq(delay(m, cycle, 1, "row") - 1),
            rows.pixel.base.eq(base.now),
            rows.pixel.x.eq(x.now),
            rows.pixel.y.eq(y.now),
            rows.x_offset.eq(kw_offset.now + chunk_offset.now),
            rows.y_offset.eq(kh_rows.now),
            rows.row_offset.eq(kh_offset.now),
            rows.length.eq(delay(m, length, 1, "length")),
            self.request.eq(rows.request),
        ]
