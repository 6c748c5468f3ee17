"""FETCH's blocks and DISPATCH's words, checks and refusals, alone."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from streams import random_stream, words_of
from units import BUSES, simulate, small_config

from intaglio.hw.dispatch import Dispatch
from intaglio.hw.fetch import Fetch
from intaglio.hw.queues import CommandQueue
from intaglio.machine import latency
from intaglio.machine.faults import Fault
from intaglio.machine.isa import WORDS_OF, Command, Engine, Opcode
from intaglio.machine.limits import FETCH_BLOCK_BYTES, FETCH_FIFO_BYTES, QUEUE_DEPTHS


class Both(wiring.Component):
    """Fetch's words go to Dispatch."""

    def __init__(self, config):
        self.fetch, self.dispatch = Fetch(config), Dispatch(config)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.fetch, m.submodules.dispatch = self.fetch, self.dispatch
        wiring.connect(m, self.fetch.words, self.dispatch.words)
        return m


def run(bus: int, words: list[int], rng: random.Random, program_bytes: int | None = None, **fields: int):
    """Memory answers after random waits, queues are full at random. Returns words by engine, fault, position.
    fields: of the configuration, other than usual."""
    dut = Both(replace(small_config(bus), **fields))
    size = 4 * len(words) if program_bytes is None else program_bytes
    program = b"".join(w.to_bytes(4, "little") for w in words) + b"\xff" * 64
    address = 0x7000
    got: dict[Engine, list[tuple[int, int, bool]]] = {e: [] for e in Engine}
    result = {}
    ended = False

    async def memory(ctx):
        pending, expected = [], address
        in_fifo = 0
        request = dut.fetch.request
        while not ended:
            ctx.set(request.ready, rng.random() < 0.5)
            if ctx.get(request.valid) and ctx.get(request.ready):
                at, beats = ctx.get(request.payload.address), ctx.get(request.payload.length) + 1
                assert at == expected and 1 <= beats <= FETCH_BLOCK_BYTES // bus
                assert at // 4096 == (at + beats * bus - 1) // 4096
                expected += beats * bus
                pending += [at + i * bus for i in range(beats)]
            in_fifo -= ctx.get(dut.dispatch.words.freed)
            beat = bool(pending) and rng.random() < 0.6
            ctx.set(dut.fetch.beat, beat)
            if beat:
                at = pending.pop(0) - address
                data = program[at : at + bus]
                ctx.set(dut.fetch.beat_data, int.from_bytes(data.ljust(bus, b"\xff"), "little"))
                in_fifo += 1
            assert len(pending) + in_fifo <= FETCH_FIFO_BYTES // bus
            await ctx.tick()

    async def check(ctx):
        nonlocal ended
        d = dut.dispatch
        for component in (dut.fetch, d):
            ctx.set(component.begin, 1)
            ctx.set(component.size, size)
        ctx.set(dut.fetch.address, address)
        await ctx.tick()
        ctx.set(dut.fetch.begin, 0)
        ctx.set(d.begin, 0)
        ctx.set(d.run, 1)
        for _ in range(40 * len(words) + 200):
            ctx.set(d.full, rng.randrange(8) & rng.randrange(8))
            write, fault = ctx.get(d.write), ctx.get(d.fault)
            assert write in (0, 1, 2, 4) and not (write and fault)
            if write:
                engine = Engine(write.bit_length() - 1)
                assert not ctx.get(d.full) >> engine & 1
                got[engine].append((ctx.get(d.word), ctx.get(d.index), bool(ctx.get(d.last))))
            if fault:
                result["fault"] = Fault(fault)
                break
            if ctx.get(d.done):
                break
            await ctx.tick()
        else:
            raise AssertionError("neither done nor refused")
        result["position"] = ctx.get(d.position)
        ended = True

    simulate(dut, check, memory)  # full is set before memory looks
    return got, result.get("fault", Fault.NONE), result["position"]


@pytest.mark.parametrize("bus", BUSES)
@pytest.mark.parametrize("count", [1, 40])
def test_words_in_order(bus: int, count: int) -> None:
    rng = random.Random(f"{bus} {count}")
    commands = random_stream(rng, small_config(bus), count)
    words = words_of(commands)
    got, fault, position = run(bus, words, rng)
    assert fault == Fault.NONE and position == 4 * len(words)
    for engine in Engine:
        expected = []
        for c in commands:
            if c.engine == engine:
                part = c.words()
                expected += [(w, i, i == len(part) - 1) for i, w in enumerate(part)]
        assert got[engine] == expected


LOAD = Command(Opcode.LOAD, {"row_bytes": 64, "rows": 1}).words()
STORE = Command(Opcode.STORE, {"row_bytes": 64, "rows": 1}).words()
POOL = Command(Opcode.POOL, {"channels": 4}).words()


def _changed(words: list[int], at: int, value: int) -> list[int]:
    return words[:at] + [value] + words[at + 1 :]


REFUSED = {
    "opcode 0": ([0] * 8, Fault.BAD_OPCODE),
    "opcode 7": (_changed(POOL, 0, 7), Fault.BAD_OPCODE),
    "opcode 128 higher": (_changed(LOAD, 0, Opcode.LOAD | 1 << 7), Fault.BAD_OPCODE),
    "header": (_changed(LOAD, 0, Opcode.LOAD | 1 << 12), Fault.BAD_FIELD),
    "tail": (_changed(LOAD, 7, 1), Fault.BAD_FIELD),
    "word 31": (_changed(POOL, 31, 1 << 31), Fault.BAD_FIELD),
    "memory": (_changed(LOAD, 3, 3 << 30), Fault.BAD_FIELD),
    "memory, and an address beside the bus": (_changed(LOAD, 3, 3 << 30 | 2), Fault.BAD_FIELD),
    "no bytes": (_changed(LOAD, 5, 0), Fault.BAD_FIELD),
    "address beside the bus": (_changed(LOAD, 1, 2), Fault.BAD_FIELD),
    "bytes beside the bus": (_changed(LOAD, 5, 66), Fault.BAD_FIELD),
    "STORE of weights": (_changed(STORE, 3, 1 << 30), Fault.BAD_FIELD),
    "no rows": (_changed(LOAD, 6, 0), Fault.BAD_FIELD),
    "cut short": (POOL[:24], Fault.CUT_SHORT),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("bus", [4, 64])
def test_refused(name: str, bus: int) -> None:
    words, fault = REFUSED[name]
    before = LOAD + POOL + LOAD
    got, found, position = run(bus, before + words, random.Random(name))
    assert (found, position) == (fault, 4 * len(before))
    for engine in Engine:
        assert sum(last for _, _, last in got[engine]) == {Engine.LOAD: 2, Engine.COMPUTE: 1, Engine.STORE: 0}[engine]


def test_a_command_that_is_not_built_in() -> None:
    words = LOAD + Command(Opcode.DEPTHWISE, {}).words()
    assert run(8, words, random.Random(0))[1] == Fault.NONE
    assert run(8, words, random.Random(0), depthwise_delay=0)[1:] == (Fault.BAD_OPCODE, 4 * len(LOAD))


def test_zero_bits_of_every_word() -> None:
    from intaglio.machine.isa import zero_bits

    rng = random.Random(3)
    for opcode in Opcode:
        fields = {"row_bytes": 64, "rows": 1} if opcode in (Opcode.LOAD, Opcode.STORE) else {}
        words = Command(opcode, fields).words()
        for i, mask in enumerate(zero_bits(opcode)):
            if mask and i:
                bit = rng.choice([b for b in range(32) if mask >> b & 1])
                _, found, _ = run(8, _changed(words, i, words[i] | 1 << bit), rng)
                assert found == Fault.BAD_FIELD, (opcode, i)


def test_the_longest_program() -> None:
    """Of 2 GiB: its first blocks and words, and neither part takes it to be at its end."""
    dut = Both(small_config(8))
    words = LOAD * 60

    async def check(ctx):
        for component in (dut.fetch, dut.dispatch):
            ctx.set(component.begin, 1)
            ctx.set(component.size, 1 << 31)
        ctx.set(dut.fetch.address, 1 << 31)
        await ctx.tick()
        for component in (dut.fetch, dut.dispatch):
            ctx.set(component.begin, 0)
        ctx.set(dut.dispatch.run, 1)
        ctx.set(dut.fetch.request.ready, 1)
        asked = beat = handed = 0
        for _ in range(400):
            request = dut.fetch.request
            if ctx.get(request.valid):
                assert (
                    ctx.get(request.payload.address) == (1 << 31) + asked
                    and ctx.get(request.payload.length) == FETCH_BLOCK_BYTES // 8 - 1
                )
                asked += FETCH_BLOCK_BYTES
            assert not ctx.get(dut.fetch.idle) and not ctx.get(dut.dispatch.done) and not ctx.get(dut.dispatch.fault)
            due = beat + 2 < len(words) and 4 * beat < asked
            ctx.set(dut.fetch.beat, due)
            if due:
                ctx.set(dut.fetch.beat_data, words[beat] | words[beat + 1] << 32)
                beat += 2
            if ctx.get(dut.dispatch.write):
                assert ctx.get(dut.dispatch.word) == words[handed]
                handed += 1
            await ctx.tick()
        assert handed > 300

    simulate(dut, check)


@pytest.mark.parametrize(
    ("engine", "stays", "depth"),
    [*((engine, engine == Engine.COMPUTE, None) for engine in Engine), (Engine.COMPUTE, True, 2)],
)
def test_queue(engine: Engine, stays: bool, depth: int | None) -> None:
    """stays: each command stands for a cycle longer than it is shown, at any depth."""
    rng = random.Random(engine)
    words, depth = (32, depth or 1) if engine == Engine.COMPUTE else (8, QUEUE_DEPTHS[engine])
    assert (
        words == WORDS_OF[{Engine.LOAD: Opcode.LOAD, Engine.COMPUTE: Opcode.CONV, Engine.STORE: Opcode.STORE}[engine]]
    )
    dut = CommandQueue(words, depth, stays)
    sent = [[rng.getrandbits(32) for _ in range(words)] for _ in range(12)]
    most = 0

    async def count(ctx):
        """It is full with `depth` whole commands, no sooner and no later, and has the first to give as late as stated and all
        others one after another."""
        nonlocal most
        held, shown, on_the_way = 0, 0, [0] * (latency.DISPATCH - 1)
        since = least = 3 if stays else 1  # cycles from a command to the next one
        while True:
            most = max(most, held)
            assert ctx.get(dut.full) == (held == depth)
            assert ctx.get(dut.commands.valid) == (shown > 0 and since >= least)
            on_the_way.append(ctx.get(dut.write) & ctx.get(dut.last))
            popped = ctx.get(dut.commands.valid) & ctx.get(dut.commands.ready)
            held, shown = held + on_the_way[-1] - popped, shown + on_the_way.pop(0) - popped
            since = 1 if popped else since + 1
            await ctx.tick()

    async def writer(ctx):
        for command in sent:
            for i, word in enumerate(command):
                while ctx.get(dut.full) or rng.random() < 0.1:
                    ctx.set(dut.write, 0)
                    await ctx.tick()
                ctx.set(dut.write, 1)
                ctx.set(dut.word, word)
                ctx.set(dut.index, i)
                ctx.set(dut.last, i == words - 1)
                await ctx.tick()
            ctx.set(dut.write, 0)

    async def reader(ctx):
        for command in sent:
            for _ in range(rng.choice([0, 0, 100])):
                await ctx.tick()
            ctx.set(dut.commands.ready, 1)
            (got,) = await ctx.tick().sample(dut.commands.payload).until(dut.commands.valid)
            ctx.set(dut.commands.ready, 0)
            assert got == sum(w << 32 * i for i, w in enumerate(command))
            assert not stays or ctx.get(dut.commands.payload) == got

    simulate(dut, writer, reader, background=(count,))
    assert most == depth
