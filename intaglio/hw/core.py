"""The compute core: memories on chip, the array, the vector path, the requantizers, and the one schedule."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.activation_memory import ActivationMemory
from intaglio.hw.add_path import AddPath
from intaglio.hw.array_path import ArrayPath
from intaglio.hw.command_view import CommandView, runs
from intaglio.hw.pipeline import delay, register
from intaglio.hw.pool_path import PoolPath
from intaglio.hw.requantizers import Requantizers
from intaglio.hw.step_memory import StepMemory
from intaglio.hw.tables import Tables
from intaglio.hw.turnover import Turnover
from intaglio.hw.weight_memory import WeightMemory
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, LocalMemory, Opcode


class ComputeEvents(data.StructLayout):
    """Events of this cycle, for the counters of the same names (machine.counters.Counter)."""

    def __init__(self, config: Config):
        super().__init__(
            {
                "macs": range(config.rows * config.cols + 1),
                "activation_reads": 2,
                "activation_writes": 2,
                "weight_reads": range(config.lanes + 1),
                "channel_reads": 1,
                "requantizations": range(config.requantizers + 1),
                "partial_reads": 1,
                "partial_writes": 1,
            }
        )


class ComputeCore(wiring.Component):
    """Executes CONV, DEPTHWISE, ADD and POOL commands one after another; what comes before a command's first read lies beside
    the end of the one before.

    Ports
    -----
    start : In, stream of commands, 1024 bits, word 0 lowest
        Ready while idle, and timing.lead_cycles before the end of the command that runs; ready depends on the payload,
        which stays for a cycle after the handshake.
    busy : Out, 1 bit
        A command runs, the cycle of its start left out; from a register.
    retire : Out, 1 bit
        High in a command's last cycle, in which its last write is in its memory; in the order of their starts.
    write_en, write_memory, write_address, write_data : In, 1, 2 (isa.LocalMemory) and 30 bits (bytes), a bus word
        LOAD's write, always accepted; readable by a command that starts in the next cycle.
    read_en, read_address : In, 1 and 30 bits (bytes)
        STORE's read of activations.
    read_data : Out, a bus word
        latency.ACTIVATION_READ cycles after its read.
    conflict : Out, 1 bit
        Two owners of one port in this cycle: the program lacks a token.
    events : Out, ComputeEvents

    From the handshake's cycle to retire's, both counted, a command takes timing.compute_cycles(config, command) cycles:
    fixed by the command, no handshake inside.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "start": In(stream.Signature(COMMAND_BITS)),
                "busy": Out(1),
                "retire": Out(1),
                "write_en": In(1),
                "write_memory": In(2),
                "write_address": In(30),
                "write_data": In(8 * config.bus_bytes),
                "read_en": In(1),
                "read_address": In(30),
                "read_data": Out(8 * config.bus_bytes),
                "conflict": Out(1),
                "events": Out(ComputeEvents(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.activations = activations = ActivationMemory(config)
        m.submodules.weights = weights = WeightMemory(config)
        m.submodules.channels = channels = StepMemory(
            config.channel_bytes, config.channel_word_bytes, config.bus_bytes, latency.CHANNEL_READ
        )
        self._load_and_store(m, activations, weights, channels)
        m.submodules.turnover = turnover = Turnover(config)
        # A register of its own between the handshake, which much lies behind, and the command's thousand.
        self._taken = delay(m, self.start.valid & self.start.ready, 1, "taken")
        command, before = self._command(m, turnover)
        on_array, is_add = self._kind(m, Opcode.CONV, Opcode.DEPTHWISE), self._kind(m, Opcode.ADD)

        m.submodules.array_path = path = ArrayPath(config)
        add, pool = self._vector(m, command, activations)
        m.submodules.requantizers = requantizers = Requantizers(config)
        m.d.comb += [
            path.command.eq(command),
            path.start_conv.eq(self._start(m, Opcode.CONV)),
            path.busy.eq(self.busy & ~self._taken & ~delay(m, self._taken, 1, "fresh")),
            path.read_data.eq(activations.read_data),
            weights.read_en.eq(path.weight_en),
            weights.read_address.eq(path.weight_address),
            path.weight_data.eq(weights.read_data),
            channels.read_en.eq(path.channel_en),
            channels.read_address.eq(path.channel_address),
            requantizers.command.eq(command),
            requantizers.inside.eq(before),
            requantizers.on_array.eq(on_array),
            requantizers.soon.eq(path.channel_en),
            requantizers.records.eq(channels.read_data),
        ]
        if config.depthwise_delay:
            m.d.comb += path.start_depthwise.eq(self._start(m, Opcode.DEPTHWISE))
        if config.lanes == 2:
            m.d.comb += [weights.read_both.eq(path.weight_both), path.weight_next.eq(weights.read_next)]

        # Who has the activation memory, and the requantizers.
        read = add.read.shape()(Mux(is_add, add.read.as_value(), pool.read.as_value()))
        vector_pass = Mux(is_add, add.output.as_value(), pool.output.as_value())
        m.d.comb += [
            activations.read_en.eq(Mux(on_array, path.read.read, read.count != 0)),
            activations.read_address.eq(Mux(on_array, path.read.address, read.address)),
            activations.read_low.eq(Mux(on_array, path.read.low, 0)),
            activations.read_high.eq(Mux(on_array, path.read.high, read.count)),
            requantizers.entering.eq(Mux(on_array, path.output.as_value(), vector_pass)),
        ]
        self._write(m, before, activations, requantizers)
        m.d.comb += requantizers.carries.eq(Mux(is_add, add.carries, 0))
        for lane in range(config.requantizers):
            vector_sum = Mux(is_add, add.sums[lane], pool.sums[lane])
            m.d.comb += requantizers.sums[lane].eq(Mux(on_array, path.sums[lane], vector_sum))

        # The end: the last write is in its memory, or, where a window's sums stay, the last element has been added.
        entering = requantizers.entering
        held = pool.finished & CommandView(command, Opcode.POOL)["hold"]
        m.d.comb += [
            turnover.valid.eq(self.start.valid),
            turnover.opcode.eq(self.start.payload),
            turnover.writes.eq(entering.final & (entering.count != 0)),
            turnover.keeps.eq(path.keeps_last),
            turnover.holds.eq(delay(m, held, pool.OUTPUT_LATENCY - latency.HOLD_END, "held")),
            self.start.ready.eq(turnover.ready),
            self.busy.eq(turnover.busy),
            self.retire.eq(turnover.retire),
        ]
        if config.tables:
            m.d.comb += turnover.table.eq(CommandView(command, Opcode.CONV)["table"] != 0)
        self._events(m, activations, path, requantizers)
        return m

    def _write(self, m: Module, before: Signal, activations: ActivationMemory, requantizers: Requantizers) -> None:
        """Results into the activation memory, through a table where tables are built in and the command has one."""
        results, leaving = requantizers.results, requantizers.leaving
        if self.config.tables:
            m.submodules.tables = tables = Tables(self.config)
            m.d.comb += [
                tables.table.eq(CommandView(before, Opcode.CONV)["table"]),
                tables.results.eq(results),
                tables.leaving.eq(leaving),
                tables.write_en.eq(self.write_en & (self.write_memory == LocalMemory.TABLE)),
                tables.write_address.eq(self.write_address),
                tables.write_data.eq(self.write_data),
            ]
            results, leaving = tables.data, tables.output
        m.d.comb += [
            activations.write_count.eq(leaving.count),
            activations.write_address.eq(leaving.address),
            activations.write_data.eq(results),
        ]

    def _load_and_store(
        self, m: Module, activations: ActivationMemory, weights: WeightMemory, channels: StepMemory
    ) -> None:
        """LOAD's writes into the memories, and STORE's reads."""
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

    def _command(self, m: Module, turnover: Turnover) -> tuple[Signal, Signal]:
        """The command that started last; the one before it as long as that one runs, then it too."""
        command, before = (Signal(COMMAND_BITS, name=name, reset_less=True) for name in ("command", "before"))
        with m.If(self._taken):
            m.d.sync += command.eq(self.start.payload)
        with m.If(~turnover.second):
            m.d.sync += before.eq(command)
        return command, before

    def _start(self, m: Module, opcode: Opcode) -> Signal:
        """A pulse three cycles before the first slot or read of a command of this opcode; from a register, since it resets what
        counts."""
        start = Signal(name=f"start_{opcode.name.lower()}")
        opens = self._taken & runs(self.start.payload, opcode)
        register(m, start, opens, latency.COMMAND_START - 4, f"{opcode.name.lower()}_starts")
        return start

    def _kind(self, m: Module, *opcodes: Opcode) -> Signal:
        """A register that tells whether the command that started last is one of these."""
        kind = Signal(name="is_" + "_or_".join(opcode.name.lower() for opcode in opcodes))
        with m.If(self._taken):
            m.d.sync += kind.eq(Cat(runs(self.start.payload, opcode) for opcode in opcodes).any())
        return kind

    def _vector(self, m: Module, command: Signal, activations: ActivationMemory) -> tuple[AddPath, PoolPath]:
        """ADD's path and POOL's."""
        m.submodules.add = add = AddPath(self.config)
        m.submodules.pool = pool = PoolPath(self.config)
        m.d.comb += [add.start.eq(self._start(m, Opcode.ADD)), pool.start.eq(self._start(m, Opcode.POOL))]
        for path in (add, pool):
            m.d.comb += [path.command.eq(command), path.read_data.eq(activations.read_data)]
        return add, pool

    def _events(self, m: Module, activations: ActivationMemory, path: ArrayPath, requantizers: Requantizers) -> None:
        """Signals for the counters."""
        step = path.step
        # Bit by bit, without a multiplier of which the array may be short.
        in_use = Signal.like(self.events.macs)
        stepped = delay(m, step.control.valid, 1, "stepped")
        m.d.sync += in_use.eq(sum(Mux(bit, step.channels << i, 0) for i, bit in enumerate(step.pixels)))
        words: Value = path.weight_en << path.weight_both if self.config.lanes == 2 else path.weight_en
        m.d.comb += [
            self.events.macs.eq(Mux(stepped, in_use, 0)),
            self.events.activation_reads.eq(activations.read_touched),
            self.events.activation_writes.eq(activations.write_touched),
            self.events.weight_reads.eq(words),
            self.events.channel_reads.eq(path.channel_en),
            self.events.requantizations.eq(requantizers.leaving.count),
            self.events.partial_reads.eq(path.partial_reads),
            self.events.partial_writes.eq(path.partial_writes),
        ]
