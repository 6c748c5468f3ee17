"""The accelerator: every engine between the two AXI ports."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.arbiter import Arbiter
from intaglio.hw.axi import INCR, Axi4, Axi4Lite
from intaglio.hw.dispatch import Dispatch
from intaglio.hw.fetch import Fetch
from intaglio.hw.ledger import CAUSES, Ledger, StallCause, Watchdog
from intaglio.hw.load import Load
from intaglio.hw.pipeline import delay
from intaglio.hw.queues import CommandQueue
from intaglio.hw.registers import Registers
from intaglio.hw.released import released
from intaglio.hw.store import Store
from intaglio.hw.tokens import Tokens
from intaglio.machine.config import Config
from intaglio.machine.counters import LOAD_COUNTERS, Counter
from intaglio.machine.faults import Fault
from intaglio.machine.isa import FIELDS, WORDS_OF, Engine, Field, LocalMemory, Opcode
from intaglio.machine.limits import QUEUE_DEPTHS

QUEUE_WORDS = {
    Engine.LOAD: WORDS_OF[Opcode.LOAD],
    Engine.COMPUTE: WORDS_OF[Opcode.CONV],
    Engine.STORE: WORDS_OF[Opcode.STORE],
}


class Accelerator(wiring.Component):
    """An accelerator as configured. core: an object with ComputeCore's ports (a command takes it at least 2
    cycles); None builds the ComputeCore.

    Ports
    -----
    m_axi : Out, Axi4 (a master)
        To external memory. Every output from registers; rready and bready are always high.
    s_axi : In, Axi4Lite (a slave)
        See Registers.
    irq : Out, 1 bit
        The interrupt, a level, see Registers.
    counting : Out, 1 bit
        This cycle counts (see Registers): the k-th cycle with it, from 0, is cycle k.
    retire : Out, 1 bit for each engine
        A command of its is complete in this cycle (Engine order).
    tags : Out, 16 bits for each engine
        Their tags; no meaning without the retire bit.
    rst : In, 1 bit, with `reset: rst` alone
        The reset, active high, for a cycle at least. It acts two cycles after the port, from a register: the domain `sync`, whose
        clock all has, needs no reset.
    clk, aresetn : In, 1 bit each, with `reset: aresetn` alone
        The clock, in place of that of `sync`, and the reset, active low: it is caught without a clock, acts two cycles
        later, and ends within four, at an edge of the clock.
    """

    def __init__(self, config: Config, core: Any = None):
        self.config = config
        if core is None:
            from intaglio.hw.core import ComputeCore

            core = ComputeCore(config)
        self.core = core
        super().__init__(
            {
                "m_axi": Out(Axi4(config.bus_bytes)),
                "s_axi": In(Axi4Lite()),
                "irq": Out(1),
                "counting": Out(1),
                "retire": Out(len(Engine)),
                "tags": Out(16 * len(Engine)),
                **({"rst": In(1)} if config.reset == "rst" else {"clk": In(1), "aresetn": In(1)}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, core = self.config, self.core
        # From a register, and to few: the others are reset by `clear` alone, so that no gate lies before thousands of registers.
        reset = Signal()
        m.d.sync += reset.eq(self.rst if config.reset == "rst" else released(m, self.clk, self.aresetn))
        m.submodules.registers = _reset(reset, registers := Registers(config))
        m.d.comb += registers.reset.eq(reset)
        clear = registers.clear
        m.submodules.fetch = _reset(clear, fetch := Fetch(config))
        m.submodules.dispatch = _reset(clear, dispatch := Dispatch(config))
        m.submodules.tokens = _reset(clear, tokens := Tokens())
        m.submodules.load = _reset(clear, load := Load(config))
        m.submodules.store = _reset(clear, store := Store(config))
        m.submodules.arbiter = _reset(clear, arbiter := Arbiter(config))
        m.submodules.core = _reset(clear, core)
        queues = {}
        for engine in Engine:
            queue = queues[engine] = CommandQueue(
                QUEUE_WORDS[engine], QUEUE_DEPTHS[engine], stays=engine is Engine.COMPUTE
            )
            m.submodules[f"{engine.name.lower()}_queue"] = _reset(clear, queue)
        wiring.connect(m, wiring.flipped(self.s_axi), registers.lite)
        self._program(m, registers, fetch, dispatch, arbiter, queues)
        self._engines(m, registers, load, store, tokens, queues)
        m.d.comb += [load.base.eq(registers.base_address), store.base.eq(registers.base_address)]

        # The external port.
        wiring.connect(m, load.request, arbiter.load)
        wiring.connect(m, store.request, arbiter.store)
        fetch_beat = self._external(m, registers, arbiter, fetch, load, store)

        # Memories on chip.
        m.d.comb += [
            core.write_en.eq(load.write_en),
            core.write_memory.eq(load.write_memory),
            core.write_address.eq(load.write_address),
            core.write_data.eq(load.write_data),
            core.read_en.eq(store.read_en),
            core.read_address.eq(store.read_address),
            store.read_data.eq(core.read_data),
        ]

        # What the machine is doing.
        cause = self._cause(m, registers, dispatch, tokens, queues[Engine.COMPUTE])
        m.d.comb += [
            registers.finished.eq(
                fetch.idle
                & dispatch.done
                & ~Cat(q.commands.valid for q in queues.values()).any()
                & ~core.busy
                & load.idle
                & store.idle
                & (arbiter.in_flight == 0)
            ),
            registers.in_flight.eq(arbiter.in_flight != 0),
            self.irq.eq(registers.irq),
            self.counting.eq(registers.counting),
        ]
        watchdog = self._watchdog(m, registers, dispatch, cause.busy)
        self._faults(m, registers, arbiter, dispatch, tokens, watchdog)
        if config.counters:
            self._ledger(m, registers, cause, load, store, fetch_beat)
        return m

    def _program(
        self,
        m: Module,
        registers: Registers,
        fetch: Fetch,
        dispatch: Dispatch,
        arbiter: Arbiter,
        queues: dict[Engine, CommandQueue],
    ) -> None:
        """The program, on its way to the queues."""
        wiring.connect(m, fetch.request, arbiter.fetch)
        wiring.connect(m, fetch.words, dispatch.words)
        m.d.comb += [
            fetch.begin.eq(registers.begin),
            fetch.address.eq(registers.program_address),
            fetch.size.eq(registers.program_size),
            dispatch.begin.eq(registers.begin),
            dispatch.size.eq(registers.program_size),
            dispatch.run.eq(registers.run),
        ]
        for engine, queue in queues.items():
            m.d.comb += [
                queue.write.eq(dispatch.write[engine]),
                queue.word.eq(dispatch.word),
                queue.index.eq(dispatch.index),
                queue.last.eq(dispatch.last),
                dispatch.full[engine].eq(queue.full),
            ]

    def _engines(
        self,
        m: Module,
        registers: Registers,
        load: Load,
        store: Store,
        tokens: Tokens,
        queues: dict[Engine, CommandQueue],
    ) -> None:
        """Starts, through the gate; retirements, back to it."""
        core = self.core
        starts = {Engine.LOAD: load.start, Engine.COMPUTE: core.start, Engine.STORE: store.start}
        core_signal, core_tag = Signal(2), Signal(16)
        retired = {
            Engine.LOAD: (load.retire, load.signal, load.tag),
            Engine.COMPUTE: (core.retire, core_signal, core_tag),
            Engine.STORE: (store.retire, store.signal, store.tag),
        }
        counts = []
        for engine, queue in queues.items():
            start, waits, available = starts[engine], Signal(2), Signal(2)
            retire, signal, tag = retired[engine]
            count = Signal(32, name=f"retired_{engine.name.lower()}")
            counts.append(count)
            allowed = Signal(name=f"allowed_{engine.name.lower()}")
            m.d.comb += [
                waits.eq(_header(queue.commands.payload, "wait")),
                available.eq(tokens.available.word_select(int(engine), 2)),
                allowed.eq(registers.run & ((waits & ~available) == 0)),
                start.valid.eq(queue.commands.valid & allowed),
                start.payload.eq(queue.commands.payload),
                queue.commands.ready.eq(start.ready & allowed),
                tokens.start[engine].eq(start.valid & start.ready),
                tokens.waits.word_select(int(engine), 2).eq(waits),
                tokens.retire[engine].eq(retire),
                tokens.signals.word_select(int(engine), 2).eq(signal),
                self.retire[engine].eq(retire),
                self.tags.word_select(int(engine), 16).eq(tag),
            ]
            with m.If(registers.clear):
                m.d.sync += count.eq(0)
            with m.Else():
                m.d.sync += count.eq(count + retire)
        m.d.comb += registers.retired.eq(Cat(*counts))
        # Of the command that ends next, and of one that begins before it ends.
        staged = queues[Engine.COMPUTE].commands.payload
        given = Cat(_header(staged, "signal"), _header(staged, "tag"))
        ending, following = Cat(core_signal, core_tag), Signal(len(given))
        with m.If(core.start.valid & core.start.ready):
            m.d.sync += following.eq(given)
        with m.If(core.start.valid & core.start.ready & (core.retire | ~core.busy)):
            m.d.sync += ending.eq(given)
        with m.Elif(core.retire):
            m.d.sync += ending.eq(following)

    def _cause(
        self, m: Module, registers: Registers, dispatch: Dispatch, tokens: Tokens, queue: CommandQueue
    ) -> StallCause:
        """COMPUTE's use of the cycle."""
        m.submodules.stall_cause = cause = StallCause()
        staged = queue.commands
        m.d.comb += [
            cause.busy.eq(self.core.busy | self.core.start.valid),
            cause.staged.eq(staged.valid),
            cause.waits.eq(_header(staged.payload, "wait")),
            cause.available.eq(tokens.available.word_select(int(Engine.COMPUTE), 2)),
            cause.dispatched.eq(dispatch.done & ~registers.begin),
        ]
        return cause

    def _watchdog(self, m: Module, registers: Registers, dispatch: Dispatch, busy: Signal) -> Watchdog:
        """The events that count as progress."""
        axi = self.m_axi
        m.submodules.watchdog = _reset(registers.clear, watchdog := Watchdog())
        m.d.comb += [
            watchdog.run.eq(registers.run),
            watchdog.limit.eq(registers.watchdog),
            watchdog.progress.eq(
                Cat(
                    axi.rvalid,
                    axi.bvalid,
                    axi.wvalid & axi.wready,
                    axi.arvalid & axi.arready,
                    axi.awvalid & axi.awready,
                    dispatch.write,
                    busy,
                    self.retire,
                ).any()
            ),
        ]
        return watchdog

    def _external(
        self, m: Module, registers: Registers, arbiter: Arbiter, fetch: Fetch, load: Load, store: Store
    ) -> Signal:
        """The five channels of the master. Returns whether a beat of FETCH's has come."""
        axi, size = self.m_axi, self.config.bus_bytes.bit_length() - 1
        addressed = self._addressed(m, registers.reset)
        m.d.comb += [
            axi.arvalid.eq(arbiter.ar_valid),
            arbiter.ar_ready.eq(axi.arready),
            axi.awvalid.eq(arbiter.aw_valid),
            arbiter.aw_ready.eq(axi.awready),
            arbiter.r_last.eq(axi.rvalid & axi.rlast),
            arbiter.b.eq(axi.bvalid),
            axi.wvalid.eq(store.words.valid & addressed),
            axi.wdata.eq(store.words.payload),
            axi.wlast.eq(store.word_last),
            axi.wstrb.eq(-1),
            store.words.ready.eq(axi.wready & addressed),
            axi.rready.eq(1),
            axi.bready.eq(1),
            axi.arcache.eq(self.config.axi_cache),
            axi.awcache.eq(self.config.axi_cache),
        ]
        for address, length, sizes, burst in (
            (axi.araddr, axi.arlen, axi.arsize, axi.arburst),
            (axi.awaddr, axi.awlen, axi.awsize, axi.awburst),
        ):
            m.d.comb += [
                address.eq(arbiter.request.address),
                length.eq(arbiter.request.length),
                sizes.eq(size),
                burst.eq(INCR),
            ]
        fetch_beat, load_beat = Signal(), Signal()
        m.d.comb += [
            arbiter.run.eq(registers.run),
            fetch_beat.eq(axi.rvalid & arbiter.r_known & arbiter.r_fetch),
            load_beat.eq(axi.rvalid & arbiter.r_known & ~arbiter.r_fetch),
            fetch.beat.eq(fetch_beat),
            fetch.beat_data.eq(axi.rdata),
            load.beat.eq(load_beat),
            load.beat_data.eq(axi.rdata),
            load.beat_last.eq(axi.rlast),
            store.response.eq(axi.bvalid),
        ]
        return fetch_beat

    def _addressed(self, m: Module, reset: Signal) -> Value:
        """The permission to offer a word: with write_after_address, once its burst's address was taken."""
        if not self.config.write_after_address:
            return Const(1)
        axi = self.m_axi
        waiting = Signal(range(self.config.memory.outstanding + 1), name="addressed_bursts")  # with words to come
        m.d.sync += waiting.eq(waiting + (axi.awvalid & axi.awready) - (axi.wvalid & axi.wready & axi.wlast))
        with m.If(reset):
            m.d.sync += waiting.eq(0)
        return waiting != 0

    def _faults(
        self, m: Module, registers: Registers, arbiter: Arbiter, dispatch: Dispatch, tokens: Tokens, watchdog: Watchdog
    ) -> None:
        """The one error of a cycle, in the next one."""
        axi, address = self.m_axi, Signal(32)
        bad_read, bad_write = axi.rvalid & axi.rresp[1], axi.bvalid & axi.bresp[1]
        with m.If(bad_read):
            m.d.comb += address.eq(arbiter.r_address)
        with m.Elif(bad_write):
            m.d.comb += address.eq(arbiter.b_address)
        with m.Else():
            m.d.comb += address.eq(dispatch.position)
        m.d.comb += registers.fault_address.eq(delay(m, address, 1, "fault_address", reset_less=True))
        dispatched, refused = (
            delay(m, value, 1, name)
            for value, name in ((dispatch.fault, "dispatch_fault"), (dispatch.fault != 0, "refused"))
        )
        causes = {  # the first one counts
            Fault.READ_RESPONSE: bad_read,
            Fault.WRITE_RESPONSE: bad_write,
            Fault.PORT_CONFLICT: self.core.conflict,
        }
        late = {fault: delay(m, cause, 1, fault.name.lower()) for fault, cause in causes.items()}
        late[Fault.TOKEN_OVERFLOW] = tokens.overflow
        late[Fault.WATCHDOG] = delay(m, watchdog.expired & (dispatch.fault == 0), 1, "watchdog_expired")
        fault: Value = dispatched
        for number, cause in reversed(late.items()):
            fault = Mux(cause, number, fault)
        m.d.comb += [
            registers.fault.eq(fault),
            registers.failed.eq(delay(m, registers.run, 1, "ran") & (Cat(*late.values()).any() | refused)),
        ]

    def _ledger(
        self, m: Module, registers: Registers, cause: StallCause, load: Load, store: Store, fetch_beat: Signal
    ) -> None:
        """The events of each counter."""
        counting, causes = delay(m, registers.counting, 1, "counted"), delay(m, cause.causes, 1, "cause")
        events = {counter: counting & causes[i] for i, counter in enumerate(CAUSES)}
        events[Counter.CYCLES] = counting
        for memory, counter in LOAD_COUNTERS.items():
            if memory is not LocalMemory.TABLE or self.config.tables:
                written = load.write_en & (load.write_memory == memory)
                events[counter] = events[counter] | written if counter in events else written
        events[Counter.STORE_WORDS] = store.words.valid & store.words.ready
        events[Counter.FETCH_WORDS] = fetch_beat
        events[Counter.COMMANDS] = sum(self.retire[engine] for engine in Engine)
        for counter in Counter:
            if counter not in events:
                events[counter] = getattr(self.core.events, counter.name.lower())
        m.submodules.ledger = _reset(registers.clear, ledger := Ledger({c: len(v) for c, v in events.items()}))
        m.d.comb += [ledger.increments[c.name.lower()].eq(v) for c, v in events.items()]
        m.d.comb += [
            ledger.run.eq(registers.run),
            ledger.asked.eq(registers.asked),
            ledger.wanted.eq(registers.wanted),
            registers.shown.eq(ledger.shown),
            registers.word.eq(ledger.word),
        ]


def _reset(clear: Signal, component: wiring.Component) -> Any:
    """component, also reset by clear."""
    return ResetInserter(clear)(component)


def _header(payload: Any, name: str) -> Any:
    """A field of a command's header."""
    f: Field = next(f for f in FIELDS[Opcode.LOAD] if f.name == name)
    return payload[f.lsb : f.lsb + f.width]
