"""ADD's part of the vector path: chunks of both operands in turn, scaled and added."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.nest import Last, Nest
from intaglio.hw.operand_scale import Multiples, OperandScale
from intaglio.hw.output_pass import OutputPass
from intaglio.hw.pipeline import delay, register
from intaglio.hw.vector_read import VectorRead
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.formats import SUM
from intaglio.machine.isa import COMMAND_BITS, Opcode


class AddPath(wiring.Component):
    """Walks an ADD command.

    Ports
    -----
    command : In, 1024 bits
        Stable while it runs.
    start : In, 1 bit
        A pulse; the first read comes three cycles later, without add_multipliers latency.OPERAND_WAIT more.
    read : Out, VectorRead
        Operand a's and b's chunks of up to 2Q bytes in turn, a read each cycle without a gap.
    read_data : In, 2Q bytes
        latency.ACTIVATION_READ cycles after its read.
    sums, carries : Out, Q x signed 32 and Q bits
        What is to be added: latency.OPERAND_SCALE and ADD_SUM after the choice of the half: the lower Q elements of a chunk one cycle after
        b's bytes have come, the upper Q in the next.
    output : Out, OutputPass
        In the same cycle as its sums.

    No flow control.
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
                "carries": Out(config.requantizers),
                "output": Out(OutputPass(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lower, upper_count, upper_final = self._walk(m)
        lower_d = delay(m, lower, latency.ACTIVATION_READ, "lower")
        upper_count, upper_final, upper_next = (
            delay(m, value, latency.ACTIVATION_READ + 1, name)
            for name, value in (
                ("upper_count", upper_count), ("upper_final", upper_final), ("upper_next", lower.count != 0),
            )
        )  # fmt: skip
        output = Signal(OutputPass(self.config))
        m.d.sync += output.eq(lower_d)
        with m.If(upper_next):
            m.d.sync += [
                output.count.eq(upper_count),
                output.address.eq(output.address + self.config.requantizers),
                output.final.eq(upper_final),
            ]
        to_sums = latency.OPERAND_SCALE + latency.ADD_SUM
        m.d.comb += self.output.eq(delay(m, output, to_sums, "output"))
        self._add(m, upper_next)
        return m

    def _walk(self, m: Module) -> tuple[data.View, Signal, Signal]:
        """The reads; returns the pass of a chunk's lower half, and count and `final` of the upper one's, in the cycle in which b's
        chunk is read."""
        q = self.config.requantizers
        f = CommandView(self.command, Opcode.ADD)
        bits = ceil_log2(self.config.activation_bytes)
        active, second, last_chunk = Signal(), Signal(), Signal()
        begin = delay(m, self.start, 1 + (0 if self.config.add_multipliers else latency.OPERAND_WAIT), "begin")
        nest = Nest(m, "chunks", active, begin, operand=Last(second), chunk=Last(last_chunk), row=f["rows"])
        count = Signal(range(2 * q + 1))
        # Bytes from this chunk on, of which a last one has few, and those beyond it less one: their sign compares.
        left = nest.walk("left", count.shape(), f["row_bytes"], chunk=-2 * q).now
        beyond = nest.walk("beyond", signed(33), f["row_bytes"] - (2 * q + 1), chunk=-2 * q).now
        # The reads, in their own cycle: one behind the loops' decisions.
        later = nest.later()
        a, b, out = (
            later.walk(name, bits, f[f"{name}_base"], chunk=2 * q, row=f[f"{name}_row_stride"]).now
            for name in ("a", "b", "out")
        )
        with m.If(active):
            m.d.sync += second.eq(~second)
        with m.If(nest.ends):
            m.d.sync += active.eq(0)
        with m.If(begin):
            m.d.sync += active.eq(1)
        lower = Signal(OutputPass(self.config))
        upper_count, upper_final = Signal(range(q + 1)), Signal()
        m.d.comb += last_chunk.eq(beyond[-1])
        m.d.sync += count.eq(Mux(active, Mux(last_chunk, left, 2 * q), 0))
        reads_b = delay(m, second, 1, "reads_b")
        wide = count > q
        m.d.comb += [
            self.read.count.eq(count),
            self.read.address.eq(Mux(reads_b, b, a)),
            lower.count.eq(Mux(reads_b, Mux(wide, q, count), 0)),
            lower.address.eq(out),
            lower.final.eq(later.ends & ~wide),
            upper_count.eq(Mux(reads_b & wide, count - q, 0)),
            upper_final.eq(later.ends & wide),
        ]
        return lower, upper_count, upper_final

    def _add(self, m: Module, upper_next: Signal) -> None:
        """The sums: a is held one cycle while b arrives; the upper halves are held one more."""
        q = self.config.requantizers
        f = CommandView(self.command, Opcode.ADD)
        a = Signal(16 * q, reset_less=True)
        a_upper, b_upper, a_now, b_now = (Signal(8 * q, name=name) for name in ("a_upper", "b_upper", "a_now", "b_now"))
        m.d.sync += [
            a.eq(self.read_data),
            a_upper.eq(a[8 * q :]),
            b_upper.eq(self.read_data[8 * q :]),
            a_now.eq(Mux(upper_next, a_upper, a[: 8 * q])),
            b_now.eq(Mux(upper_next, b_upper, self.read_data[: 8 * q])),
        ]
        tables: dict[str, Multiples] = {}
        for name in () if self.config.add_multipliers else ("a", "b"):
            m.submodules[f"multiples_{name}"] = tables[name] = Multiples()
            m.d.comb += [tables[name].start.eq(self.start), tables[name].multiplier.eq(f[f"mult_{name}"])]
        for lane in range(q):
            scaled = []
            for name, now in (("a", a_now), ("b", b_now)):
                m.submodules[f"scale_{name}{lane}"] = scale = OperandScale(self.config.add_multipliers)
                m.d.comb += [
                    scale.value.eq(now.word_select(lane, 8)),
                    scale.zero_point.eq(f[f"zero_{name}"]),
                    scale.shift.eq(f[f"shift_{name}"]),
                ]
                if tables:
                    m.d.comb += scale.write.eq(tables[name].write)
                else:
                    m.d.comb += scale.multiplier.eq(f[f"mult_{name}"])
                scaled.append(scale)
            a_and_b = Cat(1, scaled[0].out).as_signed() + Cat(scaled[0].up, scaled[1].out).as_signed()
            register(m, self.sums[lane], a_and_b >> 1, latency.ADD_SUM, f"sum{lane}", reset_less=True)
            m.d.comb += self.carries[lane].eq(delay(m, scaled[1].up, latency.ADD_SUM, f"carry{lane}", reset_less=True))
