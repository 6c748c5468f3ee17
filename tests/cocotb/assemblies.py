"""Parts that are tested together, as one component with ports."""

from __future__ import annotations

from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.activation_memory import ActivationMemory
from intaglio.hw.bursts import Request
from intaglio.hw.command_view import CommandView
from intaglio.hw.conv_feed import FeedSequencer
from intaglio.hw.dispatch import Dispatch
from intaglio.hw.feed_rows import FeedRows
from intaglio.hw.fetch import Fetch
from intaglio.hw.operand_scale import Multiples, OperandScale
from intaglio.hw.pipeline import delay
from intaglio.hw.row_delay import RowDelays
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.faults import FAULT_BITS
from intaglio.machine.isa import Engine, Opcode


class CommandPath(wiring.Component):
    """FETCH and DISPATCH; ports as theirs, `begin` and `size` for both."""

    def __init__(self, config: Config):
        self._config = config
        super().__init__(
            {
                "begin": In(1),
                "address": In(32),
                "size": In(32),
                "run": In(1),
                "request": Out(stream.Signature(Request)),
                "beat": In(1),
                "beat_data": In(8 * config.bus_bytes),
                "full": In(len(Engine)),
                "write": Out(len(Engine)),
                "word": Out(32),
                "index": Out(5),
                "last": Out(1),
                "done": Out(1),
                "position": Out(32),
                "fault": Out(FAULT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetch = fetch = Fetch(self._config)
        m.submodules.dispatch = dispatch = Dispatch(self._config)
        wiring.connect(m, fetch.words, dispatch.words)
        wiring.connect(m, fetch.request, wiring.flipped(self.request))
        for name in ("begin", "size"):
            m.d.comb += [getattr(part, name).eq(getattr(self, name)) for part in (fetch, dispatch)]
        for name in ("address", "beat", "beat_data"):
            m.d.comb += getattr(fetch, name).eq(getattr(self, name))
        for name in ("run", "full"):
            m.d.comb += getattr(dispatch, name).eq(getattr(self, name))
        for name in ("write", "word", "index", "last", "done", "position", "fault"):
            m.d.comb += getattr(self, name).eq(getattr(dispatch, name))
        return m


class Feed(wiring.Component):
    """CONV's sequencer, the activation memory and the rows' shift registers, with the delays of the core.

    command, start, active: as FeedSequencer's. load_*: as ActivationMemory's. activation[r]: row r's byte; row[r]: StepControl's
    bits beside it. weight_address, channels: of row 0's step.
    """

    LATENCY = latency.SEQUENCER_REQUEST + latency.ACTIVATION_READ + latency.FEED_ROWS

    def __init__(self, config: Config):
        self._config = config
        self._sequencer, self._memory = FeedSequencer(config), ActivationMemory(config)
        step = self._sequencer.step
        super().__init__(
            {
                "command": In(1024),
                "start": In(1),
                "active": Out(1),
                "load_en": In(1),
                "load_address": In(len(self._memory.load_address)),
                "load_data": In(8 * config.bus_bytes),
                "activation": Out(8).array(config.rows),
                "row": Out(3).array(config.rows),
                "weight_address": Out(len(step.weight_address)),
                "channels": Out(len(step.channels)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.sequencer = sequencer = self._sequencer
        m.submodules.memory = memory = self._memory
        m.submodules.rows = rows = FeedRows(self._config)
        request = sequencer.request
        step = delay(m, sequencer.step, self.LATENCY - latency.SEQUENCER_STEP, "step")
        m.d.comb += [
            sequencer.command.eq(self.command),
            sequencer.start.eq(self.start),
            self.active.eq(sequencer.active),
            memory.load_en.eq(self.load_en),
            memory.load_address.eq(self.load_address),
            memory.load_data.eq(self.load_data),
            memory.read_en.eq(request.read),
            memory.read_address.eq(request.address),
            memory.read_low.eq(request.low),
            memory.read_high.eq(request.high),
            rows.request.eq(request),
            rows.read_data.eq(memory.read_data),
            rows.zero_point.eq(CommandView(self.command, Opcode.CONV)["in_zero_point"]),
            rows.control.eq(step.control),
            rows.pixels.eq(step.pixels),
            self.weight_address.eq(step.weight_address),
            self.channels.eq(step.channels),
        ]
        # Idle, so that control takes one cycle from row to row.
        m.submodules.delays = delays = RowDelays(self._config.rows, self._config.depthwise_delay)
        m.d.comb += rows.delays.eq(delays.schedule)
        for r in range(self._config.rows):
            control = rows.control_out[r]
            m.d.comb += [
                self.activation[r].eq(rows.activation[r]),
                self.row[r].eq(Cat(control.valid, control.first, control.last)),
            ]
        return m


class Operand(wiring.Component):
    """An OperandScale, with the Multiples that one without multipliers needs; ports as theirs."""

    def __init__(self, multipliers: bool) -> None:
        self._multipliers = multipliers
        ports = {"start": 1, "multiplier": 32, "value": 8, "zero_point": 8, "shift": 8}
        super().__init__({**{name: In(bits) for name, bits in ports.items()}, "out": Out(29), "up": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.scale = scale = OperandScale(self._multipliers)
        m.d.comb += [
            scale.value.eq(self.value),
            scale.zero_point.eq(self.zero_point),
            scale.shift.eq(self.shift),
            self.out.eq(scale.out),
            self.up.eq(scale.up),
        ]
        if self._multipliers:
            m.d.comb += scale.multiplier.eq(self.multiplier)
        else:
            m.submodules.multiples = multiples = Multiples()
            m.d.comb += [
                multiples.start.eq(self.start),
                multiples.multiplier.eq(self.multiplier),
                scale.write.eq(multiples.write),
            ]
        return m
