"""Hands each command, in program order, to the queue of its engine: one 32-bit word a cycle."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.pipeline import delay
from intaglio.hw.ram import Collision, ram
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.faults import FAULT_BITS, Fault
from intaglio.machine.isa import ENGINE_OF, OPCODE_BITS, WORDS_OF, Engine, LocalMemory, Opcode, field_of, zero_bits

_ROOM = 5
"""Words that are taken and not handed over, at most: as many as there are cycles from one's being taken to the next that its
being handed over lets in, Dispatch.STAGES + 1."""


class ProgramWords(wiring.Signature):
    """Bus words of a program, as a stream (payload, valid, ready); and back `freed`, 1 bit: a word that was taken needs its
    place no more, since all commands in it are handed over."""

    def __init__(self, width: int):
        super().__init__({"payload": Out(width), "valid": Out(1), "ready": In(1), "freed": In(1)})


class Dispatch(wiring.Component):
    """Takes bus words apart and checks them.

    Ports
    -----
    begin : In, 1 bit
        One cycle; starts on a program.
    size : In, 32 bits
        Its bytes, in begin's cycle.
    run : In, 1 bit
        Words move only while it was high in the cycle before.
    words : In, ProgramWords
        The program, see Fetch; what follows its last command is left there.
    full : In, 1 bit for each engine
        Its queue takes no word (Engine order).
    write : Out, 1 bit for each engine
        `word` is a word of a command of its; at most one engine a cycle. Depends on run and full, else on registers.
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

    A word a cycle while its queue takes it, STAGES cycles after it was taken at the earliest: registers for the
    word, for what it is, for the bits that it may have, and for whether it has others. They never wait: as many words are
    taken as a queue behind them has room for. Refused are unknown opcodes, bits that no field names, transfers of no rows
    or bytes, or not in multiples of the bus, and memories that do not exist or that STORE does not read; and a program
    that ends inside a command.
    """

    STAGES = 4

    def __init__(self, config: Config):
        self.lanes = config.bus_bytes // 4
        self._tables = config.tables
        self._opcodes = [code for code in Opcode if code != Opcode.DEPTHWISE or config.depthwise_delay]
        super().__init__(
            {
                "begin": In(1),
                "size": In(32),
                "run": In(1),
                "words": In(ProgramWords(32 * self.lanes)),
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
        taken, read, looked_up, checked = (
            Signal(shape, name=name, reset_less=True)
            for name, shape in (
                ("taken", _Taken),
                ("read", _Read),
                ("looked_up", _Read),
                ("checked", _Checked),
            )
        )
        found = Signal(_Checked)
        taken_valid, read_valid, looked_up_valid, valid = (Signal() for _ in range(4))
        accepted, full = Signal(), Signal()
        self._take(m, taken, taken_valid, full, accepted)
        self._read(m, taken, taken_valid, read)
        wrong = self._look_up(m, read, looked_up)
        m.d.sync += [read_valid.eq(taken_valid), looked_up_valid.eq(read_valid)]
        self._check(m, read, looked_up, wrong, found)
        self._wait(m, found, looked_up_valid, checked, valid, accepted)
        self._decide(m, checked, valid, accepted)
        return m

    def _take(self, m: Module, taken: data.View, valid: Signal, full: Signal, accepted: Signal) -> None:
        """A 32-bit word of the program, while there are any, and room for all that are taken and not handed over."""
        words, lane = self.words, Signal(range(max(self.lanes, 2)))
        left, more = Signal(30), Signal()
        last_lane, takes_one = Signal(), Signal()
        inside = Signal(range(_ROOM + 1))
        m.d.comb += [
            last_lane.eq(lane == self.lanes - 1),
            takes_one.eq(~full & words.valid & more),
            words.ready.eq(~full & more & last_lane),
        ]
        with m.If(takes_one ^ accepted):
            m.d.sync += inside.eq(inside + Mux(takes_one, 1, -1))
        with m.If(self.begin):
            m.d.sync += [left.eq(self.size[2:]), more.eq(self.size[2:] != 0)]
        with m.Elif(takes_one):
            m.d.sync += [left.eq(left - 1), more.eq(left != 1), lane.eq(Mux(last_lane, 0, lane + 1))]
        m.d.sync += [
            full.eq(~accepted & (full | (takes_one & (inside == _ROOM - 1)))),
            valid.eq(takes_one),
            taken.word.eq(words.payload.word_select(lane, 32) if self.lanes > 1 else words.payload),
            taken.last_lane.eq(last_lane),
        ]

    def _read(self, m: Module, taken: data.View, valid: Value, read: data.View) -> None:
        """The word's place, and what the command is that it belongs to: a header says it, the others follow."""
        header, index = Signal(init=1), Signal(5)
        said, held = Signal(_Kind), Signal(_Kind)
        with m.Switch(taken.word[:OPCODE_BITS]):
            for code in self._opcodes:
                with m.Case(int(code)):
                    m.d.comb += [
                        said.known.eq(1),
                        said.number.eq(self._opcodes.index(code)),
                        said.engine.eq(int(ENGINE_OF[code])),
                        said.last_index.eq(WORDS_OF[code] - 1),
                    ]
        last = Signal()
        m.d.comb += last.eq(~header & (index == held.last_index))
        with m.If(valid):
            m.d.sync += [header.eq(last), index.eq(Mux(last, 0, index + 1))]
            with m.If(header):
                m.d.sync += held.eq(said)
        m.d.sync += [
            read.word.eq(taken.word),
            read.last_lane.eq(taken.last_lane),
            read.index.eq(index),
            read.last.eq(last),
            read.kind.eq(Mux(header, said.as_value(), held.as_value())),
        ]

    def _look_up(self, m: Module, read: data.View, looked_up: data.View) -> list[Signal]:
        """The word, and beside it, for each opcode, whether a bit is set that must be zero in its word of that place; a bit
        for each byte."""
        wrong = []
        m.d.sync += looked_up.eq(read)
        for code in self._opcodes:
            masks = Array(Const(mask, 32) for mask in _zero_bits(code, 4 * self.lanes, self._tables))
            wrong.append(of_bytes := Signal(4, name=f"wrong_{code.name.lower()}"))
            bits = read.word & masks[read.index]
            m.d.sync += of_bytes.eq(Cat(bits.word_select(byte, 8).any() for byte in range(4)))
        return wrong

    def _check(self, m: Module, read: data.View, looked_up: data.View, wrong: list[Signal], found: data.View) -> None:
        """Bits that must be zero, memories that must exist, sizes that must not be nothing."""
        # Beside the look-up.
        memory = field_of(Opcode.LOAD, "memory")
        sizes = [field_of(Opcode.LOAD, name).word for name in ("row_bytes", "rows")]
        of_transfer = read.kind.engine != int(Engine.COMPUTE)
        memories = len(LocalMemory) - (not self._tables)
        bad_memory, is_size, nothing = Signal(), Signal(), Signal(4)
        m.d.sync += [
            bad_memory.eq(of_transfer & (read.index == memory.word) & (read.word[memory.lsb :] >= memories)),
            is_size.eq(of_transfer & Cat(read.index == word for word in sizes).any()),
            nothing.eq(Cat(read.word.word_select(byte, 8) == 0 for byte in range(4))),
        ]
        bad = Array(wrong)[looked_up.kind.number].any() | bad_memory | (is_size & nothing.all())
        m.d.comb += [
            found.word.eq(looked_up.word),
            found.last_lane.eq(looked_up.last_lane),
            found.index.eq(looked_up.index),
            found.last.eq(looked_up.last),
            found.to.eq((looked_up.kind.known & ~bad) << looked_up.kind.engine),
            found.known.eq(looked_up.kind.known),
            found.bad.eq(bad),
        ]

    def _wait(
        self, m: Module, found: data.View, arrives: Signal, checked: data.View, valid: Signal, accepted: Signal
    ) -> None:
        """The word that is handed over next, and a queue for those that come while it waits."""
        storage = ram(m, "waiting", shape=_Checked, depth=_ROOM - 1, read_latency=0, collision=Collision.OLD)
        stored, some, one = Signal(range(_ROOM)), Signal(), Signal()
        produce, consume = Signal(range(_ROOM - 1)), Signal(range(_ROOM - 1))
        moves, stays, leaves = Signal(), Signal(), Signal()
        m.d.comb += [
            moves.eq(~valid | accepted),
            stays.eq(arrives & (some | ~moves)),
            leaves.eq(moves & some),
            one.eq(stored == 1),
            storage.write_en.eq(arrives),
            storage.write_address.eq(produce),
            storage.write_data.eq(found),
            storage.read_address.eq(consume),
        ]
        m.d.sync += [
            produce.eq(produce + stays),
            consume.eq(consume + leaves),
            some.eq(Mux(some, arrives | ~(moves & one), arrives & ~moves)),
        ]
        with m.If(stays ^ leaves):
            m.d.sync += stored.eq(stored + Mux(stays, 1, -1))
        with m.If(moves):
            m.d.sync += [
                valid.eq(arrives | some),
                checked.eq(Mux(some, storage.read_data.as_value(), found.as_value())),
            ]

    def _decide(self, m: Module, checked: data.View, valid: Signal, accepted: Signal) -> None:
        """A word is handed over, waits for its queue, or is refused."""
        left, none_left = Signal(30), Signal(init=1)
        under_way, position = Signal(), Signal(30)  # in 32-bit words
        done: Value = none_left
        if latency.DISPATCH > 1:
            on_the_way = Signal(latency.DISPATCH - 1)  # words between here and the queues
            m.d.sync += on_the_way.eq(Cat(accepted, on_the_way))
            done = done & ~on_the_way.any()
        present = Signal()
        m.d.comb += [
            present.eq(delay(m, self.run, 1, "run") & valid),
            self.word.eq(checked.word),
            self.index.eq(checked.index),
            self.last.eq(checked.last),
            self.position.eq(position << 2),
            self.done.eq(done),
            self.write.eq(present.replicate(len(Engine)) & checked.to & ~self.full),
            accepted.eq(self.write.any()),
            self.words.freed.eq(accepted & checked.last_lane),
        ]
        with m.If(self.run & none_left & under_way):
            m.d.comb += self.fault.eq(Fault.CUT_SHORT)
        with m.Elif(present & ~checked.known):
            m.d.comb += self.fault.eq(Fault.BAD_OPCODE)
        with m.Elif(present & checked.bad):
            m.d.comb += self.fault.eq(Fault.BAD_FIELD)
        with m.If(self.begin):
            m.d.sync += [left.eq(self.size[2:]), none_left.eq(self.size[2:] == 0)]
        with m.Elif(accepted):
            m.d.sync += [left.eq(left - 1), none_left.eq(left == 1), under_way.eq(~checked.last)]
            with m.If(checked.last):
                m.d.sync += position.eq(position + checked.index + 1)


class _Kind(data.Struct):
    """A command's opcode, as its place among those that are built in, and what follows from it. last_index: of its
    words."""

    known: 1
    number: 3
    engine: 2
    last_index: 5


class _Taken(data.Struct):
    """A word of the program. last_lane: of a bus word."""

    word: 32
    last_lane: 1


class _Read(data.Struct):
    """A word, its place, and what its command is."""

    word: 32
    last_lane: 1
    index: 5
    last: 1
    kind: _Kind


class _Checked(data.Struct):
    """A word and all that is to be known of it. to: a bit for each engine, high where its queue is to take the word. known:
    its opcode is; bad: it is to be refused for something else."""

    word: 32
    last_lane: 1
    index: 5
    last: 1
    to: len(Engine)
    known: 1
    bad: 1


def _zero_bits(opcode: Opcode, bus_bytes: int, tables: int) -> list[int]:
    """For each word, padded to 32: bits that must be zero. Those that no field names or that are reserved; the low bits
    of what is a multiple of the bus; STORE has one memory; and without tables none is named."""
    masks = list(zero_bits(opcode))
    if ENGINE_OF[opcode] is Engine.COMPUTE and not tables:
        table = field_of(opcode, "table")
        masks[table.word] |= table.mask << table.lsb
    if ENGINE_OF[opcode] != Engine.COMPUTE:
        for name in ("external", "external_stride", "local", "local_stride", "row_bytes"):
            masks[field_of(opcode, name).word] |= bus_bytes - 1
    if opcode == Opcode.STORE:
        memory = field_of(opcode, "memory")
        masks[memory.word] |= ((1 << memory.width) - 1) << memory.lsb
    return masks + [0] * (32 - len(masks))
