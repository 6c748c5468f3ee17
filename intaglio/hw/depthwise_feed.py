"""DEPTHWISE's sequencer: walks patches of outputs and, in each, the raster of input pixels that they need."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.feed_step import FeedRequest, FeedStep
from intaglio.hw.nest import Ahead, Either, Nest, Turns, Walk
from intaglio.hw.padding import inside, unwrapped
from intaglio.hw.pipeline import delay
from intaglio.hw.tile_pacing import TilePauses, TileWeights
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode


class PatchSequencer(wiring.Component):
    """Walks a DEPTHWISE command, one pixel of the raster a cycle.

    Ports
    -----
    command : In, 1024 bits
        Stable while active, and latency.SEQUENCER_REQUEST cycles longer.
    start : In, 1 bit
        A pulse; the first pixel's cycle is the third one after it.
    active : Out, 1 bit
        High in the cycle before each of those from then to the last pixel's.
    request : Out, FeedRequest
        Reads the pixel's channels, latency.SEQUENCER_REQUEST cycles after its cycle; `row_valid` stays low: no row of
        the feed takes them.
    step : Out, FeedStep
        latency.SEQUENCER_STEP cycles after its own cycle; valid in the pixels that lie under the kernel's taps, with the outputs of the patch as
        `pixels`.

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
        f = CommandView(self.command, Opcode.DEPTHWISE)
        begin = delay(m, self.start, 1, "begin")
        m.submodules.pauses = pauses = TilePauses()
        running, next_tile = pauses.running, pauses.next_tile
        tiles = Ahead(
            m,
            "tiles",
            self.start,
            begin,
            next_tile,
            latency.LEAST_TILE,
            across=f["patches_across"],
            down=f["patches_down"],
            channel=f["channel_tiles"],
        )
        rows = Either((tiles.flags["down"],), f["last_raster_rows"], f["raster_rows"])
        raster = Nest(m, "raster", running, begin | pauses.resumes, again=next_tile, x=f["raster_cols"], y=rows)
        m.d.comb += [
            pauses.start.eq(begin),
            pauses.idle_cycles.eq(f["idle_cycles"]),
            pauses.tile_ends.eq(raster.ends),
            pauses.last_tile.eq(tiles.final),
            pauses.next_last.eq(tiles.next_final),
        ]
        self._steps(m, raster.later(), tiles.later(), delay(m, running, 1, "runs"), delay(m, begin, 1, "begins"))
        m.d.comb += self.active.eq(pauses.active)
        return m

    def _steps(self, m: Module, raster: Turns, tiles: Ahead, running: Value, begin: Value) -> None:
        """The pixels' steps and requests, in their own cycle: one behind the loops' decisions."""
        f = CommandView(self.command, Opcode.DEPTHWISE)
        next_tile = tiles.turns["across"]
        # From 1 on.
        x, y = (
            raster.walk(loop, len(f[bound]), 1, **{loop: 1}).now
            for loop, bound in (("x", "raster_cols"), ("y", "raster_rows"))
        )
        channels = Signal.like(self.step.channels)
        step = Signal(FeedStep(self.config))
        m.d.comb += [
            channels.eq(Mux(tiles.last["channel"], f["last_channels"], f["tile_channels"])),
            step.control.valid.eq(running & (x <= f["kernel_cols"]) & (y <= f["kernel_rows"])),
            step.control.first.eq((x == 1) & (y == 1)),
            step.control.last.eq((x == f["kernel_cols"]) & (y == f["kernel_rows"])),
            step.pixels.eq(Mux(tiles.last["down"], f["last_tile_pixels"], f["tile_pixels"])),
            step.channels.eq(channels),
        ]
        m.submodules.weights = weights = TileWeights(self.config)
        m.d.comb += [
            weights.start.eq(begin),
            weights.next_tile.eq(next_tile),
            weights.again.eq(~(tiles.last["across"] & tiles.last["down"])),
            self.step.eq(delay(m, step, latency.SEQUENCER_STEP, "step")),
            weights.base.eq(f["weight_base"]),
            weights.taken.eq(self.step.control.valid),
            self.step.weight_address.eq(weights.address),
        ]
        self._requests(m, running, channels, *self._walks(tiles, raster))

    def _walks(self, tiles: Ahead, raster: Turns) -> tuple[Walk, Walk, Walk]:
        """The place of channel 0 of the pixel in its row of the image (bytes), that row, and the address of the tile's
        first channel."""
        f = CommandView(self.command, Opcode.DEPTHWISE)
        bits = ceil_log2(self.config.activation_bytes)
        patch_at = tiles.walk("at", signed(32), f["x_start"], across=f["patch_x_step"])
        patch_iy = tiles.walk("iy", signed(18), f["iy_start"], down=f["patch_iy_step"])
        patch_address = tiles.walk(
            "address",
            bits,
            f["origin"],
            across=f["patch_x_step"],
            down=f["patch_row_step"],
            channel=f["tile_channels"],
        )
        return (
            raster.walk("at", signed(32), patch_at, x=f["x_step"]),
            raster.walk("iy", signed(18), patch_iy, y=f["dilation_rows"]),
            raster.walk("address", bits, patch_address, x=f["x_step"], y=f["row_step"]),
        )

    def _requests(self, m: Module, running: Value, channels: Signal, at: Walk, iy: Walk, address: Walk) -> None:
        """The pixels' requests: in one cycle what is inside, in the next what wraps, then as many registers as
        FeedSequencer's."""
        f = CommandView(self.command, Opcode.DEPTHWISE)
        wraps = Signal()
        request, wrapped = Signal.like(self.request), Signal.like(self.request)
        later = delay(m, request, 1, "request")
        m.d.sync += wraps.eq(iy.now >= f["wrap_iy"])
        m.d.comb += [
            request.read.eq(running & inside(iy.now, f["in_rows"]) & inside(at.now, f["in_row_bytes"])),
            request.address.eq(address.now),
            request.high.eq(channels),
            wrapped.eq(later),
            wrapped.address.eq(unwrapped(later.address, wraps, f["wrap_bytes"])),
            self.request.eq(delay(m, wrapped, latency.SEQUENCER_REQUEST - 1, "wrapped")),
        ]
