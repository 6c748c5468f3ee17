"""The array of processing elements: output-stationary, rows = output pixels, columns = output channels."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.pipeline import delay
from intaglio.hw.row_delay import DelayLine, DelaySchedule

SUM_BITS = 32
WEIGHT_BITS = 8


class StepControl(data.Struct):
    """What travels with an activation through a row.

    valid: this cycle is a step. first: a tile's first, with which the sum starts anew. last: the sum is complete after it.
    """

    valid: 1
    first: 1
    last: 1


class ProcessingElement(wiring.Component):
    """Multiplies and adds; hands activation and control to the right and weight down, each one cycle later.

    activation, control: In, 8 bits and StepControl, from the left. weight, enable: In, weight_bits and 1, from above;
    enable is low in columns that hold no channel. A step that is valid in an enabled column adds
    activation * weight. activation_out, control_out, weight_out, enable_out: Out, one cycle later.
    sum: Out, signed 32; the complete sum while `done` is high, which is one cycle,
    3 cycles after the last step entered. No flow control.
    With `bus`, a value that all elements of a column see: while broadcast is high, it takes the place of activation.
    """

    LATENCY = 3

    def __init__(self, weight_bits: int = WEIGHT_BITS, bus: bool = False):
        self._weight_bits, self._bus = weight_bits, bus
        super().__init__(
            {
                "activation": In(signed(8)),
                "control": In(StepControl),
                "weight": In(signed(weight_bits)),
                "enable": In(1),
                "activation_out": Out(signed(8)),
                "control_out": Out(StepControl),
                "weight_out": Out(signed(weight_bits)),
                "enable_out": Out(1),
                "sum": Out(signed(SUM_BITS)),
                "done": Out(1),
                **({"bus": In(signed(8)), "broadcast": In(1)} if bus else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += [
            self.activation_out.eq(Mux(self.broadcast, self.bus, self.activation) if self._bus else self.activation),
            self.control_out.eq(self.control),
            self.weight_out.eq(self.weight),
            self.enable_out.eq(self.enable),
        ]
        control = self.control_out
        product = Signal(signed(8 + self._weight_bits))
        add = Signal()
        first = Signal()
        last = Signal()
        m.d.sync += [
            add.eq(control.valid & self.enable_out),
            first.eq(control.first),
            last.eq(control.valid & self.enable_out & control.last),
            self.done.eq(last),
        ]
        with m.If(control.valid & self.enable_out):
            m.d.sync += product.eq(self.activation_out * self.weight_out)
        with m.If(add):
            m.d.sync += self.sum.eq(Mux(first, 0, self.sum) + product)
        return m


class Array(wiring.Component):
    """rows x cols processing elements with the skew of weights and the gathering of sums.

    activation[r], control[r]: In, the stream of row r, which runs r cycles behind row 0.
    weight[c], enable[c]: In, one step's weights for all columns in the cycle in which row 0 takes that
    step; skewed inside. weight_zero_point: In, signed 8, stable while steps are under way: it is subtracted from each
    weight at its column's edge; only with weight_zero_points. sum[c]: Out, signed 32; column c's sum of row r in the cycle
    r + c + LATENCY after row 0's last step entered, 0 where no sum is complete. A column shows one row's sum a cycle: a tile lasts at
    least as many cycles as it has rows in use. No flow control.
    With two lanes, next_weight[c], signed 8, and split: In. While split is high, row 1 takes that step's next_weight in place of
    row 0's weight, and hands it on; split is stable while steps are under way.
    With depthwise_delay (words of the delay lines) there are broadcast, bus[c] and delays: In. While broadcast is high,
    column c's elements take bus[c], signed 8, skewed as its weight is, in place of their row's activation, and weights take
    as long from row to row as delays (row_delay.DelaySchedule) says, one cycle at least; enable takes one, and is to stay as it
    is while they take more.
    """

    LATENCY = ProcessingElement.LATENCY + 1

    def __init__(self, rows: int, cols: int, weight_zero_points: bool = True, depthwise_delay: int = 0, lanes: int = 1):
        self.rows, self.cols, self.weight_zero_points, self.lanes = rows, cols, weight_zero_points, lanes
        self.depthwise_delay = depthwise_delay
        depthwise = {
            "broadcast": In(1),
            "bus": In(signed(8)).array(cols),
            "delays": In(DelaySchedule(rows, max(2, depthwise_delay))),
        }
        super().__init__(
            {
                "activation": In(signed(8)).array(rows),
                "control": In(StepControl).array(rows),
                "weight": In(signed(WEIGHT_BITS)).array(cols),
                **({"weight_zero_point": In(signed(WEIGHT_BITS))} if weight_zero_points else {}),
                **({"next_weight": In(signed(WEIGHT_BITS)).array(cols), "split": In(1)} if lanes == 2 else {}),
                "enable": In(1).array(cols),
                "sum": Out(signed(SUM_BITS)).array(cols),
                **(depthwise if depthwise_delay else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = WEIGHT_BITS + self.weight_zero_points
        above = [
            (self._centred(m, self.weight[c], c, f"weight{c}"), delay(m, self.enable[c], c, f"enable{c}"))
            for c in range(self.cols)
        ]
        depthwise = self.depthwise_delay > 0
        bus = [delay(m, self.bus[c], c, f"bus{c}") for c in range(self.cols)] if depthwise else []
        gathered: list[list[Signal]] = [[] for _ in range(self.cols)]
        for r in range(self.rows):
            activation, control = self.activation[r], self.control[r]
            for c in range(self.cols):
                m.submodules[f"pe_{r}_{c}"] = pe = ProcessingElement(bits, depthwise)
                weight, enable = above[c]
                m.d.comb += [
                    pe.activation.eq(activation),
                    pe.control.eq(control),
                    pe.weight.eq(weight),
                    pe.enable.eq(enable),
                ]
                if depthwise:
                    m.d.comb += [pe.bus.eq(bus[c]), pe.broadcast.eq(self.broadcast)]
                activation, control = pe.activation_out, pe.control_out
                above[c] = (pe.weight_out, pe.enable_out)
                masked = Signal(signed(SUM_BITS), name=f"masked_{r}_{c}")
                m.d.comb += masked.eq(Mux(pe.done, pe.sum, 0))
                gathered[c].append(masked)
            if depthwise and r + 1 < self.rows:
                m.submodules[f"delay_{r}"] = line = DelayLine(bits, self.cols, self.rows, self.depthwise_delay, r)
                m.d.comb += line.schedule.eq(self.delays)
                for c, (weight, enable) in enumerate(above):
                    m.d.comb += line.word[c].eq(weight)
                    above[c] = (line.out[c].as_signed(), enable)
            if r == 0 and self.lanes == 2:
                for c, (weight, enable) in enumerate(above):
                    second = self._centred(m, self.next_weight[c], c + 1, f"next_weight{c}")
                    own = Signal(signed(bits), name=f"own{c}")
                    m.d.comb += own.eq(Mux(self.split, second, weight))
                    above[c] = (own, enable)
        for c, parts in enumerate(gathered):
            while len(parts) > 1:
                parts = [a | b for a, b in zip(parts[::2], parts[1::2], strict=False)] + parts[len(parts) & ~1 :]
            m.d.sync += self.sum[c].eq(parts[0])
        return m

    def _centred(self, m: Module, weight: Signal, cycles: int, name: str) -> Signal:
        """A weight less the weights' zero point, `cycles` later."""
        late: Signal = delay(m, weight, cycles, name)
        if not self.weight_zero_points:
            return late
        centred = Signal(signed(WEIGHT_BITS + 1), name=f"centred_{name}")
        m.d.comb += centred.eq(late - self.weight_zero_point)
        return centred
