"""Products of two rows of the array by one multiplier a column: of 25 x 18 bits, as the DSP blocks of Xilinx have them.

x * y with x = 2 ** SPACING * x1 + x0 is 2 ** SPACING * x1 * y + x0 * y. Both products fit into SPACING bits, signed. So the
low ones are x0 * y, and the others are x1 * y but for a 1 that a negative x0 * y borrowed, which its sign gives back in the
carry of the sum that takes it (`plus_carry`).
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.pipeline import delay
from intaglio.hw.product import product
from intaglio.machine import latency
from intaglio.machine.formats import INT8

SPACING = 16
"""Bits of a product: an activation of 8 bits times a weight of 8, or of 9 that is not the least (a difference of two of 8)."""
BORROWED = SPACING + 1
"""Bits of a product less 1."""
PACKED = SPACING + 9
"""Bits of two operands of up to 9 in one: the upper half holds one less 1, too."""


class PackedProducts(wiring.Component):
    """The products of a pair of rows, upper and lower, which meet in both rows' elements at the cycles at which products of
    their own would, with latency.array_element(packed=True).

    Ports
    -----
    activation[c], weight[c] : In, signed 8 and weight_bits
        The upper row's registers.
    entering[c], lower_weight_in[c] : In, signed 8 and weight_bits
        What the lower row's registers take at the cycle's end. A step's are there a cycle after the upper row's.
    takes, lower_takes : In, 1 bit a column
        Whether that row's registers hold a step that counts.
    low[c], high[c], carry : Out, signed BORROWED twice, 1 bit a column
        The upper row's product is low, the lower row's high + carry: latency.array_element(packed=True) - 2 cycles after
        the row's registers have the operands.
    broadcast : In, 1 bit; only with `bus`
        Rows meet the same activation, not the same weight; stable while steps are under way.
    lower_activation[c], lower_weight[c] : In, signed 8 and weight_bits; only with `bus`
        The lower row's registers. While broadcast is high both rows' operands are taken from registers in one cycle.

    Of weights of 9 bits the least is not allowed. No flow control.
    """

    def __init__(self, cols: int, weight_bits: int, bus: bool):
        self.cols, self._weight_bits, self._bus = cols, weight_bits, bus
        activations, weights = In(signed(INT8.bits)).array(cols), In(signed(weight_bits)).array(cols)
        broadcast = {"broadcast": In(1), "lower_activation": activations, "lower_weight": weights}
        super().__init__(
            {
                "activation": activations,
                "weight": weights,
                "entering": activations,
                "lower_weight_in": weights,
                "takes": In(cols),
                "lower_takes": In(cols),
                "low": Out(signed(BORROWED)).array(cols),
                "high": Out(signed(BORROWED)).array(cols),
                "carry": Out(cols),
                **(broadcast if bus else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Without broadcast the upper row's step comes to its registers a cycle before the lower row's, whose weight it
        # waits for in the registers of x. With it both come when they come, and wait a cycle each.
        second = self.lower_takes
        if self._bus:
            second = Mux(self.broadcast, delay(m, self.lower_takes, 1, "lower_takes"), second)
        enable = delay(m, self.takes, 1, "takes") | second
        for c in range(self.cols):
            x0: Value = self.activation[c]
            x1: Value = self.entering[c]
            y: Value = self.lower_weight_in[c]
            if self._bus:
                x0 = Mux(self.broadcast, self.weight[c], x0)
                x1 = Mux(self.broadcast, self.lower_weight[c], x1)
                y = Mux(self.broadcast, self.lower_activation[c], y)
            packed = Signal(signed(PACKED), name=f"packed{c}", reset_less=True)
            shared = Signal(y.shape(), name=f"shared{c}", reset_less=True)
            m.d.sync += [packed.eq(pack(x0, x1)), shared.eq(y)]
            both = product(
                m,
                packed,
                shared,
                f"products{c}",
                stages=latency.array_element(packed=True) - 3,
                shape=signed(SPACING + BORROWED),
                enable=enable[c],
                part=PACKED - 1,
            )
            high, carry = both[SPACING:].as_signed(), both[SPACING - 1]
            # The lower row's step came to its registers a cycle after the upper row's.
            high_late = delay(m, high, 1, f"high{c}", reset_less=True)
            carry_late = delay(m, carry, 1, f"carry{c}", reset_less=True)
            m.d.comb += [
                self.low[c].eq(both[:SPACING].as_signed()),
                self.high[c].eq(Mux(self.broadcast, high, high_late) if self._bus else high_late),
                self.carry[c].eq(Mux(self.broadcast, carry, carry_late) if self._bus else carry_late),
            ]
        return m


def pack(x0: Value, x1: Value) -> Value:
    """2 ** SPACING * x1 + x0 of two signed values of up to 9 bits; x1 of 9 bits is not the least of them. Only the
    upper bits are added up."""
    sign = x0[-1]
    low = Cat(x0, sign.replicate(SPACING - len(x0)))
    return Cat(low, (x1 - sign)[: PACKED - SPACING]).as_signed()
