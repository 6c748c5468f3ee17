"""The requantizers: Q sums a pass become Q bytes, of the array's or the vector path's."""

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.command_view import CommandView, runs
from intaglio.hw.output_pass import OutputPass
from intaglio.hw.pipeline import delay
from intaglio.hw.scale import Requantizer
from intaglio.machine import latency
from intaglio.machine.config import CHANNEL_RECORD_BYTES, Config
from intaglio.machine.formats import SUM
from intaglio.machine.isa import CHANNEL_FIELDS_BY_NAME, COMMAND_BITS, Opcode


class Requantizers(wiring.Component):
    """Q lanes. The array's constants come from the channel memory, the vector path's from the command, ADD's as POOL's.

    Ports
    -----
    command : In, 1024 bits
        Stable while a pass of its enters.
    inside : In, 1024 bits
        The command whose passes are in the lanes, from its first one's entry to its last one's result.
    on_array : In, 1 bit
        The passes that enter are the array's.
    soon : In, 1 bit
        The array's pass asks for its records; latency.CHANNEL_READ cycles later it is here.
    records : In, a word of the channel memory
        The pass's records.
    sums, carries : In, Q x signed 32 and Q bits
        The pass's sums, to which the carries are added.
    entering : In, OutputPass
        The pass, in the cycle of its sums and records.
    results : Out, Q bytes
        latency.requantizer(rounding) cycles later, lane 0 lowest.
    leaving : Out, OutputPass
        With its results.

    No flow control: a pass every cycle. While no pass of the array's is in them the lanes stand still; ADD and POOL
    always move them.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "command": In(COMMAND_BITS),
                "inside": In(COMMAND_BITS),
                "on_array": In(1),
                "soon": In(1),
                "records": In(8 * config.channel_word_bytes),
                "sums": In(signed(SUM.bits)).array(config.requantizers),
                "carries": In(config.requantizers),
                "entering": In(OutputPass(config)),
                "results": Out(8 * config.requantizers),
                "leaving": Out(OutputPass(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        through = latency.requantizer(self.config.rounding)
        passes, moving = Signal(through), Signal()
        soon = delay(m, self.soon, latency.CHANNEL_READ - 2, "soon")
        of_vector = Cat(runs(self.inside, opcode) for opcode in (Opcode.ADD, Opcode.POOL)).any()
        m.d.sync += [passes.eq(Cat(soon, passes)), moving.eq(passes.any() | of_vector)]
        # What both name stands in the same place (isa.py).
        array, vector = CommandView(self.inside, Opcode.CONV), CommandView(self.command, Opcode.POOL)
        for lane in range(self.config.requantizers):
            unit = Requantizer(self.config.rounding)
            m.submodules[f"requantizer{lane}"] = EnableInserter(moving)(unit)
            record = self.records.word_select(lane, 8 * CHANNEL_RECORD_BYTES)
            m.d.comb += [
                unit.sum.eq(self.sums[lane]),
                unit.carry.eq(self.carries[lane]),
                unit.bias.eq(Mux(self.on_array, _field(record, "bias"), vector["bias"])),
                unit.multiplier.eq(Mux(self.on_array, _field(record, "multiplier"), vector["mult_out"])),
                unit.shift.eq(Mux(self.on_array, _field(record, "shift"), vector["shift_out"])),
                unit.rounding.eq(array["rounding"]),
                unit.zero_point.eq(array["out_zero_point"]),
                unit.clamp_min.eq(array["clamp_min"]),
                unit.clamp_max.eq(array["clamp_max"]),
                self.results.word_select(lane, 8).eq(unit.out),
            ]
        m.d.comb += self.leaving.eq(delay(m, self.entering, through, "leaving"))
        return m


def _field(record: Value, name: str) -> Value:
    """A field of a channel's record."""
    f = CHANNEL_FIELDS_BY_NAME[name]
    low = 32 * f.word + f.lsb
    return record[low : low + f.width]
