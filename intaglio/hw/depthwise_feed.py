"""DEPTHWISE's sequencer: walks patches of outputs and, in each, the raster of input pixels that they need."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.feed import FeedRequest, FeedStep
from intaglio.hw.pipeline import delay
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode


class PatchSequencer(wiring.Component):
    """Walks a DEPTHWISE command, one pixel of the raster a cycle.

    Ports as FeedSequencer's. request reads the pixel's channels (`row_valid` stays low: no row of the feed takes them);
    step is valid in the pixels that lie under the kernel's taps, with the outputs of the patch as `pixels`.
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
        f = CommandView(self.command, Opcode.DEPTHWISE)
        address_bits = ceil_log2(config.activation_bytes)

        # Loop counters, innermost first.
        x = Signal(16)
        y = Signal(16)
        idle = Signal.like(f["idle_cycles"])
        idling = Signal()
        across = Signal(16)
        down = Signal(16)
        tile_c = Signal(16)
        last_x, last_y, last_across, last_down, last_c = Signal(), Signal(), Signal(), Signal(), Signal()
        channels = Signal(ceil_log2(config.cols + 1))
        m.d.comb += [
            last_x.eq(x == f["raster_cols"] - 1),
            last_y.eq(y == Mux(last_down, f["last_raster_rows"], f["raster_rows"]) - 1),
            last_across.eq(across == f["patches_across"] - 1),
            last_down.eq(down == f["patches_down"] - 1),
            last_c.eq(tile_c == f["channel_tiles"] - 1),
            channels.eq(Mux(last_c, f["last_channels"], f["tile_channels"])),
        ]
        running = Signal()
        next_tile = Signal()
        m.d.comb += running.eq(self.active & ~idling)
        with m.If(running & last_x & last_y):
            with m.If(last_across & last_down & last_c):
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

        # Where channel 0 of the pixel lies: in its row of the image, and which row; and the address of the tile's first channel.
        at, patch_at = Signal(signed(32)), Signal(signed(32))
        iy, patch_iy = Signal(signed(18)), Signal(signed(18))
        address, row_address = Signal(address_bits), Signal(address_bits)
        patch_address, down_address, tile_address = Signal(address_bits), Signal(address_bits), Signal(address_bits)
        # Of the next row of the raster, patch, row of patches and channel tile.
        row_next, across_next, down_next, tile_next = (
            Signal(address_bits, name=name) for name in ("row_next", "across_next", "down_next", "tile_next")
        )
        at_next = Signal(signed(32))
        iy_next = Signal(signed(18))
        m.d.comb += [
            row_next.eq(row_address + f["row_step"]),
            across_next.eq(patch_address + f["patch_x_step"]),
            down_next.eq(down_address + f["patch_row_step"]),
            tile_next.eq(tile_address + f["tile_channels"]),
            at_next.eq(patch_at + f["patch_x_step"]),
            iy_next.eq(patch_iy + f["patch_iy_step"]),
        ]
        with m.If(running):
            m.d.sync += [x.eq(x + 1), at.eq(at + f["x_step"]), address.eq(address + f["x_step"])]
            with m.If(last_x):
                m.d.sync += [
                    x.eq(0),
                    y.eq(y + 1),
                    at.eq(patch_at),
                    iy.eq(iy + f["dilation_rows"]),
                    row_address.eq(row_next),
                    address.eq(row_next),
                ]
        with m.If(next_tile):
            m.d.sync += y.eq(0)
            with m.If(~last_across):
                m.d.sync += [
                    across.eq(across + 1),
                    at.eq(at_next),
                    patch_at.eq(at_next),
                    iy.eq(patch_iy),
                    *(a.eq(across_next) for a in (address, row_address, patch_address)),
                ]
            with m.Else():
                m.d.sync += [across.eq(0), at.eq(f["x_start"]), patch_at.eq(f["x_start"])]
                with m.If(~last_down):
                    m.d.sync += [
                        down.eq(down + 1),
                        iy.eq(iy_next),
                        patch_iy.eq(iy_next),
                        *(a.eq(down_next) for a in (address, row_address, patch_address, down_address)),
                    ]
                with m.Else():
                    m.d.sync += [
                        down.eq(0),
                        tile_c.eq(tile_c + 1),
                        iy.eq(f["iy_start"]),
                        patch_iy.eq(f["iy_start"]),
                        *(a.eq(tile_next) for a in (address, row_address, patch_address, down_address, tile_address)),
                    ]

        # Taps: a tile's weights again for each patch, then the next channel tile's.
        tap = Signal()
        weight = Signal.like(self.step.weight_address)
        weight_tile = Signal.like(weight)
        m.d.comb += tap.eq(running & (x < f["kernel_cols"]) & (y < f["kernel_rows"]))
        following = Signal.like(weight)
        m.d.comb += following.eq(weight + tap)
        m.d.sync += weight.eq(following)
        with m.If(next_tile):
            with m.If(last_across & last_down):
                m.d.sync += weight_tile.eq(following)
            with m.Else():
                m.d.sync += weight.eq(weight_tile)

        with m.If(self.start):
            m.d.sync += [
                self.active.eq(1),
                *(counter.eq(0) for counter in (y, across, down, tile_c)),
                at.eq(f["x_start"]),
                patch_at.eq(f["x_start"]),
                iy.eq(f["iy_start"]),
                patch_iy.eq(f["iy_start"]),
                *(a.eq(f["origin"]) for a in (address, row_address, patch_address, down_address, tile_address)),
                weight.eq(f["weight_base"]),
                weight_tile.eq(f["weight_base"]),
            ]

        # Request: as many registers as FeedSequencer's.
        inside, wraps = Signal(), Signal()
        request, wrapped = Signal.like(self.request), Signal.like(self.request)
        later = delay(m, request, 1, "request")
        m.d.sync += wraps.eq(iy >= f["wrap_iy"])
        m.d.comb += [
            inside.eq((iy >= 0) & (iy < f["in_rows"]) & (at >= 0) & (at.as_unsigned() < f["in_row_bytes"])),
            request.read.eq(running & inside),
            request.address.eq(address),
            request.high.eq(channels),
            wrapped.eq(later),
            wrapped.address.eq(later.address - Mux(wraps, f["wrap_bytes"], 0)),
            self.request.eq(delay(m, wrapped, latency.SEQUENCER_REQUEST - 1, "wrapped")),
        ]
        m.d.comb += [
            self.step.control.valid.eq(tap),
            self.step.control.first.eq((x == 0) & (y == 0)),
            self.step.control.last.eq((x == f["kernel_cols"] - 1) & (y == f["kernel_rows"] - 1)),
            self.step.pixels.eq(Mux(last_down, f["last_tile_pixels"], f["tile_pixels"])),
            self.step.channels.eq(channels),
            self.step.weight_address.eq(weight),
        ]
        return m
