"""The array of processing elements: output-stationary, rows = output pixels, columns = output channels."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.digit_product import DIGITS, OFFSET, digit_product, plus_carry
from intaglio.hw.packed_products import BORROWED, PackedProducts
from intaglio.hw.pipeline import delay, register
from intaglio.hw.product import product
from intaglio.hw.row_delay import DelayLine, DelaySchedule
from intaglio.machine import latency
from intaglio.machine.formats import INT8, SUM
from intaglio.machine.row_product import RowProduct

WEIGHT_BITS = INT8.bits


class StepControl(data.Struct):
    """Control that travels with an activation through a row.

    valid: this cycle is a step. first: a tile's first, with which the sum starts anew. last: the sum is complete after
    it.
    """

    valid: 1
    first: 1
    last: 1


class ArrayRow(wiring.Component):
    """One row of processing elements, which multiply and add; hands activation and control on to the right inside, and
    weights down, each one cycle later.

    Ports
    -----
    activation, control : In, signed 8 (kind LUT: signed DIGITS) and StepControl
        Of column 0; column c has them c cycles later. Kind LUT: OFFSET is added to activation.
    weight[c] : In, signed weight_bits
        For column c, from above. A step that is valid in an enabled column adds activation * weight.
    enable : In, 1 bit a column
        Low in columns that hold no channel; with weight.
    weight_out[c], enable_out : Out, signed weight_bits and 1 bit a column
        One cycle later.
    sum[c] : Out, signed 32
        The complete sum while bit c of `done` is high.
    done : Out, 1 bit a column
        One cycle, latency.array_element(packed) cycles after the last step entered the column.
    bus[c], broadcast : In, as activation and 1 bit; only with `bus`
        A value that all elements of a column see; while broadcast is high, it takes the place of activation.
    activation_out[c], takes : Out, as activation and 1 bit a column; only of kind PACKED
        The elements' registers, and whether they hold a step that counts.
    product[c], carry : In, signed BORROWED and 1 bit a column; only of kind PACKED
        The product, as their sum, latency.array_element(packed) - 2 cycles after the step was in the registers.

    packed: whether any row of the array is of kind PACKED, with which all elements take a cycle more.

    No flow control.
    """

    def __init__(
        self,
        cols: int,
        weight_bits: int = WEIGHT_BITS,
        bus: bool = False,
        kind: RowProduct = RowProduct.DSP,
        packed: bool = False,
    ):
        self.cols, self._weight_bits, self._bus, self._kind = cols, weight_bits, bus, kind
        self._element = latency.array_element(packed)
        weight, self._activation = signed(weight_bits), signed(DIGITS if kind is RowProduct.LUT else INT8.bits)
        shared = {
            "activation_out": Out(self._activation).array(cols),
            "takes": Out(cols),
            "product": In(signed(BORROWED)).array(cols),
            "carry": In(cols),
        }
        super().__init__(
            {
                "activation": In(self._activation),
                "control": In(StepControl),
                "weight": In(weight).array(cols),
                "enable": In(cols),
                "weight_out": Out(weight).array(cols),
                "enable_out": Out(cols),
                "sum": Out(signed(SUM.bits)).array(cols),
                "done": Out(cols),
                **({"bus": In(self._activation).array(cols), "broadcast": In(1)} if bus else {}),
                **(shared if kind is RowProduct.PACKED else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # What all elements do alike is one vector, bit c for column c: one operation in a simulator, not one a column.
        valid = Signal(self.cols)
        first = Signal(self.cols, reset_less=True)
        last = Signal(self.cols, reset_less=True)
        takes = Signal(self.cols)
        add = Signal(self.cols)
        starts = Signal(self.cols, reset_less=True)
        ends = Signal(self.cols)
        m.d.comb += takes.eq(valid & self.enable_out)
        m.d.sync += [
            valid.eq(Cat(self.control.valid, valid)),
            first.eq(Cat(self.control.first, first)),
            last.eq(Cat(self.control.last, last)),
            self.enable_out.eq(self.enable),
        ]
        to_sum = self._element - 2  # from the operands to the addition
        register(m, add, takes, to_sum, "add")
        register(m, starts, first, to_sum, "starts", reset_less=True)
        register(m, ends, takes & last, to_sum, "ends")
        m.d.sync += self.done.eq(ends)
        if self._kind is RowProduct.PACKED:
            m.d.comb += self.takes.eq(takes)
        passed: Value = self.activation
        for c in range(self.cols):
            activation = Signal(self._activation, name=f"activation{c}", reset_less=True)
            weight = Signal(signed(self._weight_bits), name=f"weight{c}", reset_less=True)
            total = Signal(signed(SUM.bits), name=f"sum{c}", reset_less=True)
            m.d.sync += [
                activation.eq(Mux(self.broadcast, self.bus[c], passed) if self._bus else passed),
                weight.eq(self.weight[c]),
            ]
            before = Mux(starts[c], 0, total)
            if self._kind is RowProduct.PACKED:
                m.d.comb += self.activation_out[c].eq(activation)
                after = plus_carry(before, self.product[c], self.carry[c])
            elif self._kind is RowProduct.DSP:
                after = before + product(
                    m, activation, weight, f"product{c}", stages=to_sum, enable=takes[c], platform=platform
                )
            else:
                parts = digit_product(m, activation, weight, f"product{c}", stages=to_sum, enable=takes[c])
                after = plus_carry(before, *parts)
            with m.If(add[c]):
                m.d.sync += total.eq(after)
            m.d.comb += [self.weight_out[c].eq(weight), self.sum[c].eq(total)]
            passed = activation
        return m


class Array(wiring.Component):
    """rows x cols processing elements with the skew of weights and the gathering of sums.

    Ports
    -----
    activation[r], control[r] : In, signed 8 and StepControl
        The stream of row r, which runs r cycles behind row 0.
    weight[c], enable[c] : In, signed 8 and 1 bit
        One step's weights for all columns in the cycle in which row 0 takes that step; skewed inside.
    weight_zero_point : In, signed 8; only with weight_zero_points
        Subtracted from each weight at its column's edge; stable while steps are under way.
    sum[c] : Out, signed 32
        Column c's sum of row r in the cycle r + c + latency.array(packed) after row 0's last step entered, 0 where no
        sum is complete.
    next_weight[c], split : In, signed 8 and 1 bit; only with two lanes
        While split is high, row 1 takes that step's next_weight in place of row 0's weight, and hands it on; split is
        stable while steps are under way.
    broadcast, bus[c] : In, 1 bit and signed 8; only with depthwise_delay
        While broadcast is high, column c's elements take bus[c], skewed as its weight is, in place of their row's
        activation.
    delays : In, DelaySchedule; only with depthwise_delay (words of the delay lines)
        While broadcast is high, weights take as long from row to row as it says, one cycle at least; enable takes one,
        and is to stay as it is while they take more.

    products: what each row's are made of, PACKED ones in pairs (Config.row_products); None for multipliers in all.

    No flow control. A column shows one row's sum a cycle: a tile lasts at least as many cycles as it has rows in use.
    """

    def __init__(
        self,
        rows: int,
        cols: int,
        weight_zero_points: bool = True,
        depthwise_delay: int = 0,
        lanes: int = 1,
        products: tuple[RowProduct, ...] | None = None,
    ):
        self._products = (RowProduct.DSP,) * rows if products is None else products
        self._packed = RowProduct.PACKED in self._products
        self.rows, self.cols, self.weight_zero_points, self.lanes = rows, cols, weight_zero_points, lanes
        self.depthwise_delay = depthwise_delay
        depthwise = {
            "broadcast": In(1),
            "bus": In(signed(INT8.bits)).array(cols),
            "delays": In(DelaySchedule(rows, depthwise_delay)),
        }
        super().__init__(
            {
                "activation": In(signed(INT8.bits)).array(rows),
                "control": In(StepControl).array(rows),
                "weight": In(signed(WEIGHT_BITS)).array(cols),
                **({"weight_zero_point": In(signed(WEIGHT_BITS))} if weight_zero_points else {}),
                **({"next_weight": In(signed(WEIGHT_BITS)).array(cols), "split": In(1)} if lanes == 2 else {}),
                "enable": In(1).array(cols),
                "sum": Out(signed(SUM.bits)).array(cols),
                **(depthwise if depthwise_delay else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = WEIGHT_BITS + self.weight_zero_points
        depthwise = self.depthwise_delay > 0
        weights = self._centred(m, skewed(m, list(self.weight), "weight"), "weight")
        enable = Cat(skewed(m, list(self.enable), "enable"))
        bus = skewed(m, list(self.bus), "bus") if depthwise else []
        rows: list[ArrayRow] = []
        for r, kind in enumerate(self._products):
            m.submodules[f"row{r}"] = row = ArrayRow(self.cols, bits, depthwise, kind, self._packed)
            rows.append(row)
            lut = kind is RowProduct.LUT
            m.d.comb += row.activation.eq(self.activation[r] + OFFSET if lut else self.activation[r])
            m.d.comb += [row.control.eq(self.control[r]), row.enable.eq(enable)]
            m.d.comb += [row.weight[c].eq(weight) for c, weight in enumerate(weights)]
            if depthwise:
                m.d.comb += [row.bus[c].eq(value + OFFSET if lut else value) for c, value in enumerate(bus)]
                m.d.comb += row.broadcast.eq(self.broadcast)
            weights, enable = list(row.weight_out), row.enable_out
            if depthwise and r + 1 < self.rows:
                m.submodules[f"delay_{r}"] = line = DelayLine(bits, self.cols, self.rows, self.depthwise_delay, r)
                m.d.comb += line.schedule.eq(self.delays)
                m.d.comb += [line.word[c].eq(weight) for c, weight in enumerate(weights)]
                weights = [word.as_signed() for word in line.out]
            if r == 0 and self.lanes == 2:
                late = [
                    delay(m, weight, 1, f"next_weight{c}", reset_less=True) for c, weight in enumerate(self.next_weight)
                ]
                second = self._centred(m, skewed(m, late, "next_weight"), "next_weight")
                for c, weight in enumerate(weights):
                    own = Signal(signed(bits), name=f"own{c}")
                    m.d.comb += own.eq(Mux(self.split, second[c], weight))
                    weights[c] = own
        shared = [r for r, kind in enumerate(self._products) if kind is RowProduct.PACKED]
        for upper, lower in zip(shared[::2], shared[1::2], strict=True):
            m.submodules[f"pair{upper}"] = pair = PackedProducts(self.cols, bits, depthwise)
            self._share(m, pair, rows[upper], rows[lower])

        # Column c shows a sum c cycles after column 0, whichever row's it is.
        element = latency.array_element(self._packed)
        showing = Signal(element - 1 + self.cols)
        ends = Cat(control.valid & control.last for control in self.control).any()
        m.d.sync += showing.eq(Cat(ends, showing))
        for c in range(self.cols):
            parts: list[Value] = [Mux(row.done[c], row.sum[c], 0) for row in rows]
            while len(parts) > 1:
                parts = [a | b for a, b in zip(parts[::2], parts[1::2], strict=False)] + parts[len(parts) & ~1 :]
            shown = Mux(showing[element - 1 + c], parts[0], 0)
            register(m, self.sum[c], shown, latency.ARRAY_GATHER, f"gathered{c}", reset_less=True)
        return m

    def _share(self, m: Module, pair: PackedProducts, upper: ArrayRow, lower: ArrayRow) -> None:
        """Both rows' operands to their multipliers, and the products back."""
        m.d.comb += [pair.takes.eq(upper.takes), pair.lower_takes.eq(lower.takes), lower.carry.eq(pair.carry)]
        for c in range(self.cols):
            m.d.comb += [
                pair.activation[c].eq(upper.activation_out[c]),
                pair.weight[c].eq(upper.weight_out[c]),
                pair.entering[c].eq(lower.activation_out[c - 1] if c else lower.activation),
                pair.lower_weight_in[c].eq(lower.weight[c]),
                upper.product[c].eq(pair.low[c]),
                lower.product[c].eq(pair.high[c]),
            ]
            if self.depthwise_delay:
                m.d.comb += [
                    pair.lower_activation[c].eq(lower.activation_out[c]),
                    pair.lower_weight[c].eq(lower.weight_out[c]),
                ]
        if self.depthwise_delay:
            m.d.comb += pair.broadcast.eq(self.broadcast)

    def _centred(self, m: Module, weights: list[Value], name: str) -> list[Value]:
        """Weights less the weights' zero point."""
        if not self.weight_zero_points:
            return weights
        centred: list[Value] = [Signal(signed(WEIGHT_BITS + 1), name=f"centred_{name}{c}") for c in range(self.cols)]
        m.d.comb += [to.eq(weight - self.weight_zero_point) for to, weight in zip(centred, weights, strict=True)]
        return centred


def skewed(m: Module, values: list[Value], name: str) -> list[Value]:
    """values[c], all of one shape, c cycles late. A cycle's registers are one word, the last column lowest."""
    shape = values[0].shape()
    word: Value = Cat(reversed(values))
    out: list[Value] = []
    for c in range(len(values)):
        if c:
            later = Signal(len(word) - shape.width, name=f"{name}_skew{c}", reset_less=True)
            m.d.sync += later.eq(word)
            word = later
        top = word[len(word) - shape.width :]
        out.append(top.as_signed() if shape.signed else top)
    return out
