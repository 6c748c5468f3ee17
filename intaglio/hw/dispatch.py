"""Hands each command, in program order, to the queue of its engine: one 32-bit word a cycle."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.faults import FAULT_BITS, Fault
from intaglio.machine.isa import ENGINE_OF, OPCODE_BITS, WORDS_OF, Engine, LocalMemory, Opcode, field_of, zero_bits


class Dispatch(wiring.Component):
    """Takes bus words apart and checks them.

    Ports
    -----
    begin : In, 1 bit
        One cycle; starts on a program.
    size : In, 32 bits
        Its bytes, in begin's cycle.
    run : In, 1 bit
        Words move only while it is high.
    words : In, stream of bus words
        The program, see Fetch; what follows its last command is left there.
    full : In, 1 bit for each engine
        Its queue takes no word (Engine order).
    write : Out, 1 bit for each engine
        `word` is a word of a command of its; at most one engine a cycle. Depends on words.valid and full.
    word : Out, 32 bits
    index : Out, 5 bits
        The word's place in its command.
    last : Out, 1 bit
        It completes the command.
    done : Out, 1 bit
        Every command is in its queue, latency.DISPATCH cycles after its last word.
    position : Out, 32 bits
        Byte offset of the command under way, or of the next.
    fault : Out, FAULT_BITS (machine.faults.Fault)
        Not NONE in the one cycle in which a word is refused, which is then not handed over. Whoever watches lowers
        `run` from the next cycle on.

    A word a cycle while its queue takes it. Refused are unknown opcodes, bits that no field names, transfers of no rows
    or bytes, or not in multiples of the bus, and memories that do not exist or that STORE does not read; and a program
    that ends inside a command.
    """

    def __init__(self, config: Config):
        self.lanes = config.bus_bytes // 4
        self._opcodes = [code for code in Opcode if code != Opcode.DEPTHWISE or config.depthwise_delay]
        super().__init__(
            {
                "begin": In(1),
                "size": In(32),
                "run": In(1),
                "words": In(stream.Signature(32 * self.lanes)),
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
        lane = Signal(range(max(self.lanes, 2)))
        index = Signal(5)
        left = Signal(30)  # 32-bit words of the program
        held = Signal(OPCODE_BITS)  # opcode of the command under way
        position = Signal(30)  # of the command under way, in 32-bit words

        opcode = Signal(OPCODE_BITS)
        word = Signal(32)
        engine = Signal(2)
        last_index = Signal(5)
        zero = Signal(32)
        known = Signal()
        m.d.comb += [
            word.eq(self.words.payload.word_select(lane, 32) if self.lanes > 1 else self.words.payload),
            opcode.eq(Mux(index == 0, word[:OPCODE_BITS], held)),
            self.word.eq(word),
            self.index.eq(index),
            self.last.eq(index == last_index),
            self.position.eq(position << 2),
        ]
        done: Value = left == 0
        if latency.DISPATCH > 1:
            on_the_way = Signal(latency.DISPATCH - 1)  # words between here and the queues
            m.d.sync += on_the_way.eq(Cat(self.write.any(), on_the_way))
            done = done & ~on_the_way.any()
        m.d.comb += self.done.eq(done)
        with m.Switch(opcode):
            for code in self._opcodes:
                with m.Case(int(code)):
                    masks = Array(Const(mask, 32) for mask in _zero_bits(code, 4 * self.lanes))
                    m.d.comb += [
                        known.eq(1),
                        engine.eq(int(ENGINE_OF[code])),
                        last_index.eq(WORDS_OF[code] - 1),
                        zero.eq(masks[index]),
                    ]
        transfer = (opcode == Opcode.LOAD) | (opcode == Opcode.STORE)
        memory = field_of(Opcode.LOAD, "memory")
        bad_memory = (index == memory.word) & (word[memory.lsb :] >= len(LocalMemory))
        nothing = (
            (index == field_of(Opcode.LOAD, "row_bytes").word) | (index == field_of(Opcode.LOAD, "rows").word)
        ) & (word == 0)
        present, accepted, blocked = Signal(), Signal(), Signal()
        m.d.comb += [
            present.eq(self.run & self.words.valid & (left != 0)),
            blocked.eq(self.full.bit_select(engine, 1)),
        ]
        with m.If(self.run & (left == 0) & (index != 0)):
            m.d.comb += self.fault.eq(Fault.CUT_SHORT)
        with m.Elif(present & ~known):
            m.d.comb += self.fault.eq(Fault.BAD_OPCODE)
        with m.Elif(present & (((word & zero) != 0) | (transfer & (bad_memory | nothing)))):
            m.d.comb += self.fault.eq(Fault.BAD_FIELD)
        with m.Elif(present & ~blocked):
            m.d.comb += accepted.eq(1)
        m.d.comb += [
            self.write.eq(accepted << engine),
            self.words.ready.eq(accepted & (lane == self.lanes - 1)),
        ]
        with m.If(self.begin):
            m.d.sync += left.eq(self.size[2:])
        with m.Elif(accepted):
            m.d.sync += [left.eq(left - 1), held.eq(opcode), index.eq(index + 1)]
            m.d.sync += lane.eq(Mux(lane == self.lanes - 1, 0, lane + 1))
            with m.If(self.last):
                m.d.sync += [index.eq(0), position.eq(position + last_index + 1)]
        return m


def _zero_bits(opcode: Opcode, bus_bytes: int) -> list[int]:
    """For each word, padded to 32: bits that must be zero. Those that no field names or that are reserved; the low bits
    of what is a multiple of the bus; and STORE has one memory."""
    masks = list(zero_bits(opcode))
    if ENGINE_OF[opcode] != Engine.COMPUTE:
        for name in ("external", "external_stride", "local", "local_stride", "row_bytes"):
            masks[field_of(opcode, name).word] |= bus_bytes - 1
    if opcode == Opcode.STORE:
        memory = field_of(opcode, "memory")
        masks[memory.word] |= ((1 << memory.width) - 1) << memory.lsb
    return masks + [0] * (32 - len(masks))
