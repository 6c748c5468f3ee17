"""The vector path: ADD and POOL read the activation memory and feed the requantizers without the array."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.output_pass import OutputPass
from intaglio.hw.pipeline import delay, register
from intaglio.hw.scale import OperandScale
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.formats import SUM
from intaglio.machine.isa import COMMAND_BITS, Opcode


class VectorRead(data.StructLayout):
    """A read of `count` bytes (0: none) at `address`."""

    def __init__(self, config: Config):
        super().__init__(
            {
                "count": unsigned(ceil_log2(config.feed_bytes + 1)),
                "address": unsigned(ceil_log2(config.activation_bytes)),
            }
        )


class AddPath(wiring.Component):
    """Walks an ADD command.

    command: In, stable while it runs. start: In, a pulse; the first read is in the next cycle. read: Out,
    VectorRead, operand a's and b's chunks of up to 2Q bytes in turn, a read each cycle without a gap. read_data:
    In, 2Q bytes, latency.ACTIVATION_READ cycles after its read. sums: Out, Q x signed 32; output: Out, OutputPass, in the same
    cycle: the lower Q elements of a chunk after the choice of the half (a cycle), latency.OPERAND_SCALE and ADD_SUM, the upper
    Q in the next cycle.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "command": In(COMMAND_BITS),
                "start": In(1),
                "read": Out(VectorRead(config)),
                "read_data": In(16 * config.requantizers),
                "sums": Out(signed(SUM.bits)).array(config.requantizers),
                "output": Out(OutputPass(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        q = self.config.requantizers
        f = CommandView(self.command, Opcode.ADD)
        bits = ceil_log2(self.config.activation_bytes)

        active = Signal()
        second = Signal()
        row = Signal(32)
        left = Signal(32)
        a_row, a_at, b_row, b_at, out_row, out_at = (
            Signal(bits, name=n) for n in ("a_row", "a_at", "b_row", "b_at", "out_row", "out_at")
        )
        count = Signal(range(2 * q + 1))
        final = Signal()
        m.d.comb += [
            count.eq(Mux(left > 2 * q, 2 * q, left)),
            self.read.count.eq(Mux(active, count, 0)),
            self.read.address.eq(Mux(second, b_at, a_at)),
            final.eq((left <= 2 * q) & (row == f["rows"] - 1)),
        ]
        with m.If(active):
            m.d.sync += second.eq(~second)
            with m.If(second):
                m.d.sync += [
                    left.eq(left - 2 * q),
                    a_at.eq(a_at + 2 * q),
                    b_at.eq(b_at + 2 * q),
                    out_at.eq(out_at + 2 * q),
                ]
                with m.If(left <= 2 * q):
                    m.d.sync += [row.eq(row + 1), left.eq(f["row_bytes"])]
                    for base, at, stride in (
                        (a_row, a_at, f["a_row_stride"]),
                        (b_row, b_at, f["b_row_stride"]),
                        (out_row, out_at, f["out_row_stride"]),
                    ):
                        following = Signal(bits)
                        m.d.comb += following.eq(base + stride)
                        m.d.sync += [base.eq(following), at.eq(following)]
                with m.If(final):
                    m.d.sync += active.eq(0)
        with m.If(self.start):
            m.d.sync += [
                active.eq(1),
                row.eq(0),
                left.eq(f["row_bytes"]),
                a_row.eq(f["a_base"]),
                a_at.eq(f["a_base"]),
                b_row.eq(f["b_base"]),
                b_at.eq(f["b_base"]),
                out_row.eq(f["out_base"]),
                out_at.eq(f["out_base"]),
            ]

        # Passes: lower half when b's chunk has arrived, upper half in the next cycle.
        lower = Signal(OutputPass(self.config))
        upper = Signal(OutputPass(self.config))
        emits = active & second
        wide = count > q
        m.d.comb += [
            lower.count.eq(Mux(emits, Mux(wide, q, count), 0)),
            lower.address.eq(out_at),
            lower.final.eq(emits & final & ~wide),
            upper.count.eq(Mux(emits & wide, count - q, 0)),
            upper.address.eq(out_at + q),
            upper.final.eq(emits & final & wide),
        ]
        lower_d = delay(m, lower, latency.ACTIVATION_READ, "lower")
        upper_d = delay(m, upper, latency.ACTIVATION_READ + 1, "upper")
        upper_next = delay(m, lower.count != 0, latency.ACTIVATION_READ + 1, "upper_next")

        # Data: a is held one cycle while b arrives; the upper halves are held one more.
        a = Signal(16 * q)
        m.d.sync += a.eq(self.read_data)
        a_upper = Signal(8 * q)
        b_upper = Signal(8 * q)
        m.d.sync += [a_upper.eq(a[8 * q :]), b_upper.eq(self.read_data[8 * q :])]
        a_now = Signal(8 * q)
        b_now = Signal(8 * q)
        output = Signal(OutputPass(self.config))
        m.d.sync += [
            a_now.eq(Mux(upper_next, a_upper, a[: 8 * q])),
            b_now.eq(Mux(upper_next, b_upper, self.read_data[: 8 * q])),
            output.eq(Mux(upper_next, upper_d.as_value(), lower_d.as_value())),
        ]
        for lane in range(q):
            scaled = []
            for name, now in (("a", a_now), ("b", b_now)):
                m.submodules[f"scale_{name}{lane}"] = scale = OperandScale()
                m.d.comb += [
                    scale.value.eq(now.word_select(lane, 8)),
                    scale.zero_point.eq(f[f"zero_{name}"]),
                    scale.multiplier.eq(f[f"mult_{name}"]),
                    scale.shift.eq(f[f"shift_{name}"]),
                ]
                scaled.append(scale.out)
            register(m, self.sums[lane], scaled[0] + scaled[1], latency.ADD_SUM, f"sum{lane}")
        to_sums = latency.OPERAND_SCALE + latency.ADD_SUM
        m.d.comb += self.output.eq(delay(m, output, to_sums, "output"))
        return m


class PoolPath(wiring.Component):
    """Walks a POOL command, slab by slab of up to W = slab_channels channels.

    command: In, stable while it runs. start: In, a pulse; the first read is in the next cycle. read: Out,
    VectorRead of up to W bytes, a read each cycle while a slab's window lasts; a slab with fewer elements than passes
    waits for the rest of them. read_data: In, W bytes, latency.ACTIVATION_READ cycles after its read. sums: Out, Q x signed 32, sums
    or maxima, and output: Out, OutputPass, in the same cycle: the slab's lowest Q channels OUTPUT_LATENCY cycles after
    its last read, the next Q in each cycle that follows; with `hold` there is no output, and the sums stay for the next
    command. finished: Out, high with the command's last read.
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
        bits = ceil_log2(self.config.activation_bytes)

        active = Signal()
        waiting = Signal()  # all of the slab is read, but passes of it would meet the next slab's
        covered = Signal(range(w + 1))  # channels whose passes fit into the slab's cycles up to this one
        kw = Signal(16)
        kh = Signal(16)
        col = Signal(16)
        row = Signal(16)
        left = Signal(32)
        # Addresses of the region's row, the pixel, the slab, the window's row, and the element.
        in_row, in_pixel, in_slab, in_line, in_at = (
            Signal(bits, name=n) for n in ("in_row", "in_pixel", "in_slab", "in_line", "in_at")
        )
        # Bytes from the first row to the region's row and to the window's, and whether that one wraps.
        down, line = Signal(32), Signal(32)
        next_line = Signal(32)
        wraps = Signal()
        out_row, out_pixel, out_at = (Signal(bits, name=n) for n in ("out_row", "out_pixel", "out_at"))
        slab = Signal(range(w + 1))
        end_kw = Signal()
        end_window = Signal()
        end_slab = Signal()
        end_pixel = Signal()
        end_row = Signal()
        last_slab = left <= w
        final = Signal()
        m.d.comb += [
            slab.eq(Mux(last_slab, left, w)),
            self.read.count.eq(Mux(active & ~waiting, slab, 0)),
            self.read.address.eq(in_at - Mux(wraps, f["wrap_bytes"], 0)),
            next_line.eq(line),
            end_kw.eq(~waiting & (kw == f["kernel_cols"] - 1)),
            end_window.eq(end_kw & (kh == f["kernel_rows"] - 1)),
            end_slab.eq((end_window | waiting) & (slab <= covered)),
            end_pixel.eq(end_slab & last_slab),
            end_row.eq(end_pixel & (col == f["region_cols"] - 1)),
            final.eq(last_slab & (col == f["region_cols"] - 1) & (row == f["region_rows"] - 1)),
        ]

        def go(value: Signal, *registers: Signal) -> None:
            m.d.sync += [register.eq(value) for register in registers]

        def plus(base: Signal, step: object) -> Signal:
            total = Signal(bits)
            m.d.comb += total.eq(base + step)  # type: ignore[operator]
            return total

        with m.If(active):
            m.d.sync += covered.eq(Mux(covered == w, w, covered + q))
            with m.If(~waiting):
                m.d.sync += kw.eq(kw + 1)
                go(plus(in_at, f["kernel_x_step"]), in_at)
            with m.If(end_kw):
                m.d.sync += [kw.eq(0), kh.eq(kh + 1)]
                m.d.comb += next_line.eq(line + f["in_row_stride"])
                go(plus(in_line, f["in_row_stride"]), in_line, in_at)
            with m.If(end_window):
                m.d.sync += [kh.eq(0), waiting.eq(1)]
            with m.If(end_slab):
                m.d.sync += [waiting.eq(0), covered.eq(q), left.eq(left - w)]
                m.d.comb += next_line.eq(down)
                go(plus(in_slab, w), in_slab, in_line, in_at)
                go(plus(out_at, w), out_at)
            with m.If(end_pixel):
                m.d.sync += [left.eq(f["channels"]), col.eq(col + 1)]
                go(plus(in_pixel, f["x_step"]), in_pixel, in_slab, in_line, in_at)
                go(plus(out_pixel, f["out_pixel_stride"]), out_pixel, out_at)
            with m.If(end_row):
                m.d.sync += [col.eq(0), row.eq(row + 1)]
                m.d.comb += next_line.eq(down + f["row_step"])
                go(next_line, down)
                go(plus(in_row, f["row_step"]), in_row, in_pixel, in_slab, in_line, in_at)
                go(plus(out_row, f["out_row_stride"]), out_row, out_pixel, out_at)
            with m.If(end_window & final):
                m.d.sync += active.eq(0)
        with m.If(self.start):
            m.d.sync += [active.eq(1), waiting.eq(0), covered.eq(q), left.eq(f["channels"])]
            m.d.sync += [kw.eq(0), kh.eq(0), col.eq(0), row.eq(0), down.eq(0)]
            m.d.comb += next_line.eq(0)
            go(f["in_base"], in_row, in_pixel, in_slab, in_line, in_at)
            go(f["out_base"], out_row, out_pixel, out_at)

        m.d.sync += [line.eq(next_line), wraps.eq(next_line >= f["wrap_from"])]

        # Passes: the first with the slab's last read, the rest in the cycles that follow.
        output = Signal(OutputPass(self.config))
        emits = Signal()
        rest = Signal(range(w + 1))
        rest_at = Signal(bits)
        rest_final = Signal()
        unsent = Signal(range(w + 1))
        m.d.comb += [
            emits.eq(active & end_window & ~f["hold"]),
            unsent.eq(Mux(emits, slab, rest)),
            output.count.eq(Mux(unsent > q, q, unsent)),
            output.address.eq(Mux(emits, out_at, rest_at)),
            output.final.eq(Mux(emits, final, rest_final) & (unsent <= q)),
            self.finished.eq(active & end_window & final),
        ]
        m.d.sync += [rest.eq(Mux(unsent > q, unsent - q, 0)), rest_at.eq(output.address + q)]
        with m.If(emits):
            m.d.sync += rest_final.eq(final)
        m.d.comb += self.output.eq(delay(m, output, self.OUTPUT_LATENCY, "output"))

        # Sums, or with `maximum` maxima: the window's elements arrive one a cycle.
        sums = [Signal(signed(SUM.bits), name=f"sum{lane}") for lane in range(w)]
        arrives = Cat(active & ~waiting, (kw == 0) & (kh == 0) & ~f["resume"])
        arriving = delay(m, arrives, self.OUTPUT_LATENCY - 1, "arriving")
        read_data = delay(m, self.read_data, latency.POOL_SUM - 1, "read_data")
        for lane, held in enumerate(sums):
            byte = read_data.word_select(lane, 8).as_signed()
            first = arriving[1]
            with m.If(arriving[0]):
                with m.If(~f["maximum"]):
                    m.d.sync += held.eq(Mux(first, 0, held) + byte)
                with m.Elif(first | (byte > held[:8].as_signed())):  # a maximum has no more than 8 bits
                    m.d.sync += held.eq(byte)

        # What the first pass leaves of a slab waits here, and moves down Q channels a cycle.
        passing = delay(m, Cat(emits, rest != 0), self.OUTPUT_LATENCY, "passing")
        behind = [Signal(signed(SUM.bits), name=f"behind{lane}") for lane in range(w - q)]
        for lane, kept in enumerate(behind):
            with m.If(passing[0]):
                m.d.sync += kept.eq(sums[lane + q])
            if lane + q < len(behind):
                with m.Elif(passing[1]):
                    m.d.sync += kept.eq(behind[lane + q])
        for lane in range(q):
            m.d.comb += self.sums[lane].eq(Mux(passing[1], behind[lane], sums[lane]))
        return m
