"""POOL's part of the vector path: windows' sums or maxima, slab by slab of channels."""

from itertools import zip_longest

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.nest import Ahead, Last, Nest, Turns
from intaglio.hw.output_pass import OutputPass
from intaglio.hw.padding import unwrapped
from intaglio.hw.pipeline import delay
from intaglio.hw.vector_read import VectorRead
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.formats import SUM
from intaglio.machine.isa import COMMAND_BITS, Opcode


class PoolPath(wiring.Component):
    """Walks a POOL command, slab by slab of up to W = slab_channels channels.

    Ports
    -----
    command : In, 1024 bits
        Stable while it runs.
    start : In, 1 bit
        A pulse; the first read comes three cycles later.
    read : Out, VectorRead
        Up to W bytes, a read each cycle while a slab's window lasts; a slab with fewer elements than passes waits for
        the rest of them, and slabs begin latency.LEAST_SLAB cycles apart at least.
    read_data : In, W bytes
        latency.ACTIVATION_READ cycles after its read.
    sums : Out, Q x signed 32
        Sums or maxima: the slab's lowest Q channels OUTPUT_LATENCY cycles after its last read, the next Q in each cycle
        that follows.
    output : Out, OutputPass
        In the same cycle as its sums. With `hold` there is none, and the sums stay for the next command.
    finished : Out, 1 bit
        High with the command's last read.

    No flow control.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "command": In(COMMAND_BITS),
                "start": In(1),
                "read": Out(VectorRead(config)),
                "read_data": In(8 * config.slab_channels),
                "sums": Out(signed(SUM.bits)).array(config.requantizers),
                "output": Out(OutputPass(config)),
                "finished": Out(1),
            }
        )

    OUTPUT_LATENCY = latency.ACTIVATION_READ + latency.POOL_SUM

    def elaborate(self, platform: object) -> Module:
        m = Module()
        q, w = self.config.requantizers, self.config.slab_channels
        f = CommandView(self.command, Opcode.POOL)

        active = Signal()
        waiting = Signal()  # all of the slab is read, but passes of it would meet the next slab's
        uncovered = Signal(range(w + 1))  # channels whose passes do not fit into the slab's cycles up to this one
        covered = Signal(init=1)  # there are none, and the next slab may begin
        last_slab, end_slab = Signal(), Signal()
        begin = delay(m, self.start, 1, "begin")
        reads = active & ~waiting
        slabs = Ahead(
            m,
            "slabs",
            self.start,
            begin,
            end_slab,
            latency.LEAST_SLAB,
            slab=Last(last_slab),
            col=f["region_cols"],
            row=f["region_rows"],
        )
        moves = begin | end_slab
        window = Nest(m, "window", reads, begin, again=end_slab, kw=f["kernel_cols"], kh=f["kernel_rows"])
        slab, next_slab = Signal(range(w + 1)), Signal(range(w + 1))
        # Channels from a slab on, of which a last one has few, and those beyond it less one: their sign compares.
        left = slabs.walk("left", slab.shape(), f["channels"], slab=-w).next
        beyond = slabs.walk("beyond", signed(33), f["channels"] - (w + 1), slab=-w).next
        m.d.comb += [
            last_slab.eq(beyond[-1]),
            next_slab.eq(Mux(last_slab, left, w)),
            end_slab.eq(active & (window.final | waiting) & covered),
        ]
        with m.If(window.ends):
            m.d.sync += waiting.eq(1)
        recent = Cat(delay(m, moves, n, "moved") for n in range(1, latency.LEAST_SLAB - 1)).any()
        m.d.sync += [uncovered.eq(_beyond(uncovered, q)), covered.eq((uncovered <= q) & ~recent)]
        with m.If(moves):
            m.d.sync += [slab.eq(next_slab), waiting.eq(0)]
            m.d.sync += [uncovered.eq(_beyond(next_slab, q)), covered.eq(0)]
        with m.If(window.ends & slabs.final):
            m.d.sync += active.eq(0)
        with m.If(begin):
            m.d.sync += active.eq(1)
        first = Signal()  # of a window
        with m.If(reads):
            m.d.sync += first.eq(0)
        with m.If(moves):
            m.d.sync += first.eq(1)

        # The reads, in their own cycle: one behind the loops' decisions.
        asked, slabs = window.later(), slabs.later()
        reads, first, slab = delay(m, reads, 1, "reads"), delay(m, first, 1, "first"), delay(m, slab, 1, "slab")
        out_at = self._addresses(m, slabs, asked)
        m.d.comb += [self.read.count.eq(Mux(reads, slab, 0)), self.finished.eq(asked.ends & slabs.final)]
        first_pass = self._passes(m, asked.ends & ~f["hold"], slab, out_at, slabs.final)
        sums = self._sums(m, Cat(reads, first & ~f["resume"]))
        self._chosen(m, sums, first_pass)
        return m

    def _addresses(self, m: Module, slabs: Ahead, window: Turns) -> Signal:
        """The read's address; returns that of the slab's output."""
        w = self.config.slab_channels
        f = CommandView(self.command, Opcode.POOL)
        bits = ceil_log2(self.config.activation_bytes)
        slab_at = slabs.walk("in", bits, f["in_base"], slab=w, col=f["x_step"], row=f["row_step"])
        at = window.walk("in", bits, slab_at, kw=f["kernel_x_step"], kh=f["in_row_stride"])
        # Bytes by which the region's row and the window's lie behind the first one that wraps: negative before it.
        down = slabs.walk("down", signed(33), -f["wrap_from"], row=f["row_step"])
        line = window.walk("line", signed(33), down, kh=f["in_row_stride"])
        m.d.comb += self.read.address.eq(unwrapped(at.now, ~line.now[-1], f["wrap_bytes"]))
        out = slabs.walk("out", bits, f["out_base"], slab=w, col=f["out_pixel_stride"], row=f["out_row_stride"])
        return out.now

    def _passes(self, m: Module, emits: Value, slab: Signal, out_at: Signal, final: Signal) -> Value:
        """The slab's passes: the first with its last read, which emits, the rest in the cycles that follow. Returns a bit
        in the cycle before `sums`: those are a slab's first pass."""
        q, w = self.config.requantizers, self.config.slab_channels
        output = Signal(OutputPass(self.config))
        rest, unsent = Signal(range(w + 1)), Signal(range(w + 1))
        rest_at, rest_final = Signal.like(output.address), Signal()
        m.d.comb += [
            unsent.eq(Mux(emits, slab, rest)),
            output.count.eq(Mux(unsent > q, q, unsent)),
            output.address.eq(Mux(emits, out_at, rest_at)),
            output.final.eq(Mux(emits, final, rest_final) & (unsent <= q)),
        ]
        m.d.sync += [rest.eq(Mux(unsent > q, unsent - q, 0)), rest_at.eq(output.address + q)]
        with m.If(emits):
            m.d.sync += rest_final.eq(final)
        m.d.comb += self.output.eq(delay(m, output, self.OUTPUT_LATENCY, "output"))
        return delay(m, emits, self.OUTPUT_LATENCY - 1, "first_pass")

    def _sums(self, m: Module, arrives: Value) -> list[Signal]:
        """A slab's sums, or with `maximum` maxima, of the window's elements, one a cycle. arrives: one is read; it is
        the first."""
        f = CommandView(self.command, Opcode.POOL)
        sums = [
            Signal(signed(SUM.bits), name=f"sum{lane}", reset_less=True) for lane in range(self.config.slab_channels)
        ]
        arriving = delay(m, arrives, self.OUTPUT_LATENCY - 1, "arriving")
        read_data = delay(m, self.read_data, latency.POOL_SUM - 1, "read_data", reset_less=True)
        for lane, held in enumerate(sums):
            byte = read_data.word_select(lane, 8).as_signed()
            # In one look-up table a bit: that a byte is no new maximum keeps the register, and plays no part in its value.
            greater = byte > held[:8].as_signed()  # a maximum has no more than 8 bits
            with m.If(arriving[0] & (arriving[1] | ~f["maximum"] | greater)):
                m.d.sync += held.eq(Mux(arriving[1] | f["maximum"], byte, held + byte))
        return sums

    def _chosen(self, m: Module, sums: list[Signal], first: Value) -> None:
        """The output: of a slab's first pass from its sums, which the next slab's follow; the rest waits here, and goes in
        the passes after that one. first: the first pass is in the next cycle."""
        q, w = self.config.requantizers, self.config.slab_channels
        turn = Signal(range(w // q))
        m.d.sync += turn.eq(Mux(first, 0, turn + 1))
        behind = [Signal(signed(SUM.bits), name=f"behind{lane}", reset_less=True) for lane in range(w - q)]
        with m.If(turn == 0):
            m.d.sync += [kept.eq(sums[lane + q]) for lane, kept in enumerate(behind)]
        for lane in range(q):
            values = [*sums[:q], *behind][lane::q]
            for bit in turn:  # halves them
                pairs = zip_longest(values[::2], values[1::2])
                values = [low if high is None else Mux(bit, high, low) for low, high in pairs]
            m.d.comb += self.sums[lane].eq(values[0])


def _beyond(count: Value, passes: int) -> Value:
    """Channels that are left behind a pass of so many."""
    return Mux(count > passes, count - passes, 0)
