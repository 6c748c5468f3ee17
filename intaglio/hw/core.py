"""The compute core: memories on chip, the array, the vector path, the requantizers, and the one schedule."""

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.activation_memory import ActivationMemory
from intaglio.hw.add_path import AddPath
from intaglio.hw.array import Array
from intaglio.hw.command_view import CommandView
from intaglio.hw.conv_feed import FeedSequencer
from intaglio.hw.depthwise_feed import PatchSequencer
from intaglio.hw.drain import Drain
from intaglio.hw.feed_rows import FeedRows
from intaglio.hw.feed_step import FeedRequest, FeedStep
from intaglio.hw.output_pass import OutputPass
from intaglio.hw.pipeline import delay, register
from intaglio.hw.pool_path import PoolPath
from intaglio.hw.product import product
from intaglio.hw.row_delay import RowDelays
from intaglio.hw.scale import Requantizer
from intaglio.hw.step_memory import StepMemory
from intaglio.hw.weight_memory import WeightMemory
from intaglio.machine import latency
from intaglio.machine.config import CHANNEL_RECORD_BYTES, Config
from intaglio.machine.isa import CHANNEL_FIELDS_BY_NAME, COMMAND_BITS, OPCODE_BITS, LocalMemory, Opcode


class ComputeEvents(data.Struct):
    """What happened in this cycle, for the counters of the same names (machine.counters.Counter)."""

    macs: unsigned(14)
    activation_reads: unsigned(2)
    activation_writes: unsigned(2)
    weight_reads: 2
    channel_reads: 1
    requantizations: unsigned(8)
    partial_reads: 1
    partial_writes: 1


class ComputeCore(wiring.Component):
    """Executes CONV, DEPTHWISE, ADD and POOL commands, one at a time.

    start: In, stream of commands (1024 bits, word 0 lowest); ready while idle. retire: Out, high in the command's last cycle, in
    which its last write is in its memory. From the handshake's cycle to retire's, both counted, a command takes
    timing.compute_cycles(config, command) cycles: fixed by the command, no handshake inside.
    write_en, write_memory (isa.LocalMemory), write_address, write_data: In, one bus word of LOAD, always accepted; readable
    by a command that starts in the next cycle. read_en, read_address: In, STORE's read of activations; read_data: Out,
    latency.ACTIVATION_READ cycles later. conflict: Out, two owners of one port in this cycle (the program lacks a token).
    events: Out, ComputeEvents.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "start": In(stream.Signature(COMMAND_BITS)),
                "retire": Out(1),
                "write_en": In(1),
                "write_memory": In(2),
                "write_address": In(30),
                "write_data": In(8 * config.bus_bytes),
                "read_en": In(1),
                "read_address": In(30),
                "read_data": Out(8 * config.bus_bytes),
                "conflict": Out(1),
                "events": Out(ComputeEvents),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        q = config.requantizers

        m.submodules.activations = activations = ActivationMemory(config)
        m.submodules.weights = weights = WeightMemory(config)
        m.submodules.channels = channels = StepMemory(
            config.channel_bytes, config.channel_word_bytes, config.bus_bytes, latency.CHANNEL_READ
        )
        for target, port_en, port_address, port_data in (
            (LocalMemory.ACTIVATION, activations.load_en, activations.load_address, activations.load_data),
            (LocalMemory.WEIGHT, weights.write_en, weights.write_address, weights.write_data),
            (LocalMemory.CHANNEL, channels.write_en, channels.write_address, channels.write_data),
        ):
            m.d.comb += [
                port_en.eq(self.write_en & (self.write_memory == target)),
                port_address.eq(self.write_address),
                port_data.eq(self.write_data),
            ]
        m.d.comb += [
            activations.store_en.eq(self.read_en),
            activations.store_address.eq(self.read_address),
            self.read_data.eq(activations.store_data),
            self.conflict.eq(activations.conflict),
        ]

        # One command at a time.
        command = Signal(COMMAND_BITS)
        busy = Signal()
        started = Signal()
        m.d.comb += self.start.ready.eq(~busy)
        adds = Signal()
        pools = Signal()
        with m.If(self.start.valid & self.start.ready):
            m.d.sync += [command.eq(self.start.payload), busy.eq(1)]
            m.d.sync += [
                adds.eq(self.start.payload[:OPCODE_BITS] == Opcode.ADD),
                pools.eq(self.start.payload[:OPCODE_BITS] == Opcode.POOL),
            ]
        register(m, started, self.start.valid & self.start.ready, latency.COMMAND_START - 1, "started")
        with m.If(self.retire):
            m.d.sync += busy.eq(0)
        opcode = command[:OPCODE_BITS]
        is_conv = opcode == Opcode.CONV
        is_add = opcode == Opcode.ADD

        # CONV and DEPTHWISE: sequencers, feed, array, drain. What both name stands in the same place (isa.py).
        m.submodules.sequencer = sequencer = FeedSequencer(config)
        m.submodules.rows = rows = FeedRows(config)
        m.submodules.array = array = Array(
            config.rows, config.cols, config.weight_zero_points, config.depthwise_delay, config.lanes
        )
        m.submodules.drain = drain = Drain(config)
        conv = CommandView(command, Opcode.CONV)
        request, walked = sequencer.request.as_value(), sequencer.step.as_value()
        on_array = is_conv
        if config.depthwise_delay:
            is_depthwise = opcode == Opcode.DEPTHWISE
            on_array = is_conv | is_depthwise
            m.submodules.patches = patches = PatchSequencer(config)
            m.submodules.row_delays = row_delays = RowDelays(config.rows, config.depthwise_delay)
            request = Mux(is_depthwise, patches.request.as_value(), request)
            walked = Mux(is_depthwise, patches.step.as_value(), walked)
            m.d.comb += [
                patches.command.eq(command),
                patches.start.eq(started & is_depthwise),
                row_delays.command.eq(command),
                row_delays.active.eq(busy & is_depthwise),
                rows.delays.eq(row_delays.schedule),
                array.delays.eq(row_delays.schedule),
                array.broadcast.eq(is_depthwise),
                *(array.bus[c].eq(rows.bus[c]) for c in range(config.cols)),
            ]
        feed = Signal(FeedRequest(config))
        stepping = Signal(FeedStep(config))
        m.d.comb += [
            sequencer.command.eq(command),
            sequencer.start.eq(started & is_conv),
            drain.command.eq(command),
            drain.start.eq(started & on_array),
            feed.eq(request),
            stepping.eq(walked),
            rows.request.eq(feed),
            rows.read_data.eq(activations.read_data),
            rows.zero_point.eq(conv["in_zero_point"]),
        ]
        # A step of row 0 meets its weights at the array's edge.
        to_array = latency.SEQUENCER_REQUEST + latency.ACTIVATION_READ + latency.FEED_ROWS
        to_weights = to_array - latency.WEIGHT_READ
        step = delay(m, stepping, to_weights, "step")
        m.d.comb += [weights.read_en.eq(step.control.valid), weights.read_address.eq(step.weight_address)]
        entering = delay(m, step, latency.WEIGHT_READ, "entering")
        m.d.comb += [rows.control.eq(entering.control), rows.pixels.eq(entering.pixels)]
        if config.weight_zero_points:
            m.d.comb += array.weight_zero_point.eq(conv["weight_zero_point"])
        for r in range(config.rows):
            m.d.comb += [array.activation[r].eq(rows.activation[r]), array.control[r].eq(rows.control_out[r])]
        words_read = weights.read_en.as_unsigned()
        if config.lanes == 2:
            split = is_conv & conv["split"]
            words_read = weights.read_en << split
            m.d.comb += [weights.read_both.eq(split), array.split.eq(split)]
            m.d.comb += [
                array.next_weight[c].eq(weights.read_next.word_select(c, 8).as_signed()) for c in range(config.cols)
            ]
        # DEPTHWISE's unused columns add up what is never read: enable has no delay lines.
        all_columns = is_depthwise if config.depthwise_delay else 0
        for c in range(config.cols):
            m.d.comb += [
                array.weight[c].eq(weights.read_data.word_select(c, 8).as_signed()),
                array.enable[c].eq((c < entering.channels) | all_columns),
                drain.sum[c].eq(array.sum[c]),
            ]
        last_steps = Cat(control.valid & control.last for control in (rows.control_out[r] for r in range(config.rows)))
        m.d.comb += drain.row0_done.eq(delay(m, last_steps.any(), latency.ARRAY, "row0_done"))

        # ADD and POOL, which stand still in other commands.
        add = AddPath(config)
        pool = PoolPath(config)
        m.submodules.add = EnableInserter(adds)(add)
        m.submodules.pool = EnableInserter(pools)(pool)
        m.d.comb += [
            add.command.eq(command),
            add.start.eq(started & is_add),
            add.read_data.eq(activations.read_data),
            pool.command.eq(command),
            pool.start.eq(started & (opcode == Opcode.POOL)),
            pool.read_data.eq(activations.read_data),
        ]
        vector = Mux(is_add, add.read.as_value(), pool.read.as_value())
        vector = add.read.shape()(vector)
        m.d.comb += [
            activations.read_en.eq(Mux(on_array, feed.read, vector.count != 0)),
            activations.read_address.eq(Mux(on_array, feed.address, vector.address)),
            activations.read_low.eq(Mux(on_array, feed.low, 0)),
            activations.read_high.eq(Mux(on_array, feed.high, vector.count)),
        ]

        # Requantizers: the array's constants come from the channel memory, the others' from the command, ADD's as POOL's.
        m.d.comb += [channels.read_en.eq(drain.channel_en), channels.read_address.eq(drain.channel_address)]
        # While no pass of the array's is in them they stand still: from the request for its records on it takes
        # latency.CHANNEL_READ cycles to them. ADD and POOL always move them.
        through = latency.requantizer(config.rounding)
        passes = Signal(through)
        requantizing = Signal()
        soon = delay(m, drain.channel_en, latency.CHANNEL_READ - 2, "soon")
        m.d.sync += [passes.eq(Cat(soon, passes)), requantizing.eq(passes.any() | ~on_array)]
        pool_view = CommandView(command, Opcode.POOL)
        results = []
        for lane in range(q):
            record = channels.read_data.word_select(lane, 8 * CHANNEL_RECORD_BYTES)

            def of_record(name: str, record: object = record) -> object:
                f = CHANNEL_FIELDS_BY_NAME[name]
                low = 32 * f.word + f.lsb
                return record[low : low + f.width]  # type: ignore[index]

            lane_unit = Requantizer(config.rounding)
            m.submodules[f"requantizer{lane}"] = EnableInserter(requantizing)(lane_unit)
            vector_sum = Mux(is_add, add.sums[lane], pool.sums[lane])
            m.d.comb += [
                lane_unit.sum.eq(Mux(on_array, drain.sums[lane], vector_sum)),
                lane_unit.bias.eq(Mux(on_array, of_record("bias"), pool_view["bias"])),
                lane_unit.multiplier.eq(Mux(on_array, of_record("multiplier"), pool_view["mult_out"])),
                lane_unit.shift.eq(Mux(on_array, of_record("shift"), pool_view["shift_out"])),
                lane_unit.rounding.eq(conv["rounding"]),
                lane_unit.zero_point.eq(conv["out_zero_point"]),
                lane_unit.clamp_min.eq(conv["clamp_min"]),
                lane_unit.clamp_max.eq(conv["clamp_max"]),
            ]
            results.append(lane_unit.out)
        entering_pass = Signal(OutputPass(config))
        m.d.comb += entering_pass.eq(
            Mux(on_array, drain.output.as_value(), Mux(is_add, add.output.as_value(), pool.output.as_value()))
        )
        leaving = delay(m, entering_pass, through, "leaving")
        m.d.comb += [
            activations.write_count.eq(leaving.count),
            activations.write_address.eq(leaving.address),
            activations.write_data.eq(Cat(results)),
        ]

        # The end: the last write is in its memory, or, where a window's sums stay, the last element has been added.
        written = delay(m, leaving.final & (leaving.count != 0), latency.ACTIVATION_WRITE - 1, "written")
        held = delay(m, pool.finished & pool_view["hold"], pool.OUTPUT_LATENCY, "held")
        m.d.comb += self.retire.eq(drain.kept | held | written)

        # Events.
        in_use = product(m, stepping.pixels, stepping.channels, "in_use", stages=1, shape=self.events.macs.shape())
        stepped = delay(m, stepping.control.valid, 1, "stepped")
        m.d.comb += [
            self.events.macs.eq(Mux(stepped, in_use, 0)),
            self.events.activation_reads.eq(activations.read_touched),
            self.events.activation_writes.eq(activations.write_touched),
            self.events.weight_reads.eq(words_read),
            self.events.channel_reads.eq(channels.read_en),
            self.events.requantizations.eq(leaving.count),
            self.events.partial_reads.eq(drain.partial_reads),
            self.events.partial_writes.eq(drain.partial_writes),
        ]
        return m
