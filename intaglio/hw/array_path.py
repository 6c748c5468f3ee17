"""CONV's and DEPTHWISE's part of the core: sequencers, feed, array and drain, from the activation memory to the
requantizers."""

from amaranth.hdl import Cat, Module, Mux, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.array import Array
from intaglio.hw.command_view import CommandView, runs
from intaglio.hw.conv_feed import FeedSequencer
from intaglio.hw.depthwise_feed import PatchSequencer
from intaglio.hw.drain import Drain
from intaglio.hw.feed_rows import FeedRows
from intaglio.hw.feed_step import FeedRequest, FeedStep
from intaglio.hw.output_pass import OutputPass
from intaglio.hw.pipeline import delay
from intaglio.hw.row_delay import RowDelays
from intaglio.hw.widths import index_bits
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.formats import SUM
from intaglio.machine.isa import COMMAND_BITS, Opcode


class ArrayPath(wiring.Component):
    """Walks a CONV or DEPTHWISE command. What both name stands in the same place (isa.py).

    Ports
    -----
    command : In, 1024 bits
        Stable from start to the last pass.
    start_conv, start_depthwise : In, 1 bit each
        A pulse with a CONV, a DEPTHWISE; the first slot comes three cycles later. start_depthwise only with `depthwise_delay`.
    busy : In, 1 bit
        A command of any opcode runs; low in the first cycle of one.
    read : Out, FeedRequest
        A read of the activation memory.
    read_data : In, feed_bytes bytes
        latency.ACTIVATION_READ cycles after its read.
    weight_en, weight_address, weight_both : Out, 1 bit, a word's address, 1 bit
        A read of the weight memory; weight_both, only with two lanes: of the next word as well.
    weight_data, weight_next : In, weight_word_bytes bytes each
        latency.WEIGHT_READ cycles after their read; weight_next only with two lanes.
    channel_en, channel_address : Out, 1 bit, a word's address
        A read of the channel memory for a pass.
    sums : Out, Q x signed 32
        latency.CHANNEL_READ cycles after that read.
    output : Out, OutputPass
        In the same cycle as its sums.
    keeps_last : Out, 1 bit
        As Drain's.
    partial_reads, partial_writes : Out, 1 bit each
        Accesses of the partial-sum memory.
    step : Out, FeedStep
        Row 0's, as the sequencer has it, for the counters.

    No flow control: the schedule is fixed by the command.
    """

    def __init__(self, config: Config):
        self.config = config
        words = unsigned(index_bits(config.weight_bytes // config.weight_word_bytes))
        records = unsigned(index_bits(config.channel_bytes // config.channel_word_bytes))
        word = 8 * config.weight_word_bytes
        super().__init__(
            {
                "command": In(COMMAND_BITS),
                "start_conv": In(1),
                **({"start_depthwise": In(1)} if config.depthwise_delay else {}),
                "busy": In(1),
                "read": Out(FeedRequest(config)),
                "read_data": In(8 * config.feed_bytes),
                "weight_en": Out(1),
                "weight_address": Out(words),
                "weight_data": In(word),
                **({"weight_both": Out(1), "weight_next": In(word)} if config.lanes == 2 else {}),
                "channel_en": Out(1),
                "channel_address": Out(records),
                "sums": Out(signed(SUM.bits)).array(config.requantizers),
                "output": Out(OutputPass(config)),
                "keeps_last": Out(1),
                "partial_reads": Out(1),
                "partial_writes": Out(1),
                "step": Out(FeedStep(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.rows = rows = FeedRows(config)
        m.submodules.array = array = Array(
            config.rows,
            config.cols,
            config.weight_zero_points,
            config.depthwise_delay,
            config.lanes,
            config.row_products,
        )
        if config.depthwise_delay:  # right from the cycle after start on
            self._is_depthwise = delay(m, runs(self.command, Opcode.DEPTHWISE), 1, "is_depthwise")
        self._sequence(m)
        m.d.comb += [
            rows.request.eq(self.read),
            rows.read_data.eq(self.read_data),
            rows.zero_point.eq(CommandView(self.command, Opcode.CONV)["in_zero_point"]),
        ]
        self._feed(m, rows, array)
        if config.depthwise_delay:
            self._spread(m, rows, array)
        self._drain(m, rows, array)
        return m

    def _sequence(self, m: Module) -> None:
        """The sequencer of the command's opcode."""
        m.submodules.sequencer = sequencer = FeedSequencer(self.config)
        request, step = sequencer.request.as_value(), sequencer.step.as_value()
        if self.config.depthwise_delay:
            m.submodules.patches = patches = PatchSequencer(self.config)
            request = Mux(self._is_depthwise, patches.request.as_value(), request)
            step = Mux(self._is_depthwise, patches.step.as_value(), step)
            m.d.comb += [
                patches.command.eq(self.command),
                patches.start.eq(self.start_depthwise),
            ]
        m.d.comb += [
            sequencer.command.eq(self.command),
            sequencer.start.eq(self.start_conv),
            self.read.eq(request),
            self.step.eq(step),
        ]

    def _feed(self, m: Module, rows: FeedRows, array: Array) -> None:
        """The operands: a step of row 0 meets its weights at the array's edge."""
        config = self.config
        conv = CommandView(self.command, Opcode.CONV)
        to_array = latency.SEQUENCER_REQUEST + latency.ACTIVATION_READ + latency.FEED_ROWS
        step = delay(m, self.step, to_array - latency.WEIGHT_READ - latency.SEQUENCER_STEP, "step")
        entering = delay(m, step, latency.WEIGHT_READ, "entering")
        m.d.comb += [
            self.weight_en.eq(step.control.valid),
            self.weight_address.eq(step.weight_address),
            rows.control.eq(entering.control),
            rows.pixels.eq(entering.pixels),
        ]
        if config.weight_zero_points:
            m.d.comb += array.weight_zero_point.eq(conv["weight_zero_point"])
        for r in range(config.rows):
            m.d.comb += [array.activation[r].eq(rows.activation[r]), array.control[r].eq(rows.control_out[r])]
        if config.lanes == 2:
            split = delay(m, runs(self.command, Opcode.CONV) & conv["split"], 1, "split")
            m.d.comb += [self.weight_both.eq(split), array.split.eq(split)]
            m.d.comb += [
                array.next_weight[c].eq(self.weight_next.word_select(c, 8).as_signed()) for c in range(config.cols)
            ]
        # DEPTHWISE's unused columns add up what is never read: enable has no delay lines.
        all_columns = self._is_depthwise if config.depthwise_delay else 0
        for c in range(config.cols):
            m.d.comb += [
                array.weight[c].eq(self.weight_data.word_select(c, 8).as_signed()),
                array.enable[c].eq((c < entering.channels) | all_columns),
            ]

    def _spread(self, m: Module, rows: FeedRows, array: Array) -> None:
        """DEPTHWISE's delays from row to row, and its activations, which all rows see."""
        config = self.config
        m.submodules.row_delays = row_delays = RowDelays(config.rows, config.depthwise_delay)
        m.d.comb += [
            row_delays.command.eq(self.command),
            row_delays.active.eq(self.busy & self._is_depthwise),
            rows.delays.eq(row_delays.schedule),
            array.delays.eq(row_delays.schedule),
            array.broadcast.eq(self._is_depthwise),
            *(array.bus[c].eq(rows.bus[c]) for c in range(config.cols)),
        ]

    def _drain(self, m: Module, rows: FeedRows, array: Array) -> None:
        """The sums' way out."""
        config = self.config
        m.submodules.drain = drain = Drain(config)
        last_steps = Cat(control.valid & control.last for control in (rows.control_out[r] for r in range(config.rows)))
        m.d.comb += [
            drain.command.eq(self.command),
            drain.start.eq(self.start_conv | (self.start_depthwise if config.depthwise_delay else 0)),
            *(drain.sum[c].eq(array.sum[c]) for c in range(config.cols)),
            drain.row0_done.eq(delay(m, last_steps.any(), latency.array(config.packed), "row0_done")),
            *(self.sums[lane].eq(drain.sums[lane]) for lane in range(config.requantizers)),
            self.channel_en.eq(drain.channel_en),
            self.channel_address.eq(drain.channel_address),
            self.output.eq(drain.output),
            self.keeps_last.eq(drain.keeps_last),
            self.partial_reads.eq(drain.partial_reads),
            self.partial_writes.eq(drain.partial_writes),
        ]
