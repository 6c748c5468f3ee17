"""FETCH and DISPATCH: beats are late, queues are full at random; commands arrive whole and in order, or are refused."""

from __future__ import annotations

import random
from dataclasses import dataclass

import cocotb
from bench_side import TIMEOUT_MS, Odds, started, tick
from rtl_bench import parameters

from intaglio.machine.config import Config
from intaglio.machine.faults import Fault
from intaglio.machine.isa import Command, Engine, LocalMemory, Opcode, field_of, zero_bits
from intaglio.machine.limits import FETCH_BLOCK_BYTES
from tests.hw.streams import random_stream, words_of
from tests.hw.units import small_config

PROGRAMS = 40


@dataclass
class Refused:
    """A command's words with a fault at word `at`, which is len(words) for a program that ends too soon."""

    words: list[int]
    at: int
    fault: Fault


def refused(command: Command) -> Refused:
    """The command with one random fault, for a machine without tables."""
    words = command.words()
    transfer = command.engine != Engine.COMPUTE
    unnamed = [(i, bit) for i, mask in enumerate(zero_bits(command.opcode)) for bit in range(32) if mask >> bit & 1]
    match random.choice(["opcode", "unnamed", *(["transfer"] if transfer else ["short", "table"])]):
        case "opcode":
            words[0] = words[0] & ~0xFF | random.choice([code for code in range(256) if code not in list(Opcode)])
            return Refused(words, 0, Fault.BAD_OPCODE)
        case "unnamed":
            at, bit = random.choice(unnamed)
            words[at] |= 1 << bit
            return Refused(words, at, Fault.BAD_FIELD)
        case "table":
            words[0] |= random.randint(1, 15) << field_of(command.opcode, "table").lsb
            return Refused(words, 0, Fault.BAD_FIELD)
        case "transfer":
            name, value = random.choice(
                [("rows", 0), ("row_bytes", 0), ("memory", int(LocalMemory.TABLE)), ("local", 2)]
            )
            f = field_of(command.opcode, name)
            words[f.word] = words[f.word] & ~(((1 << f.width) - 1) << f.lsb) | value << f.lsb
            return Refused(words, f.word, Fault.BAD_FIELD)
        case _:
            kept = random.choice([8, 16, 24])
            return Refused(words[:kept], kept, Fault.CUT_SHORT)


async def memory(dut, bus: int, image: bytes, address: int) -> None:
    """Takes requests, block after block, and returns the image's words; noise where there is no beat."""
    takes, gives = Odds(), Odds()
    waiting: list[int] = []
    requested = 0
    while True:
        ready, beat = takes(), bool(waiting) and gives()
        at = waiting.pop(0) if beat else None
        dut.request_ready.value = ready
        dut.beat.value = beat
        dut.beat_data.value = (
            random.getrandbits(8 * bus) if at is None else int.from_bytes(image[at : at + bus], "little")
        )
        await tick(dut)
        if ready and dut.request_valid.value:
            payload = int(dut.request_payload.value)
            beats = (payload >> 32) + 1
            assert payload & 0xFFFFFFFF == address + requested
            assert beats * bus == min(FETCH_BLOCK_BYTES, len(image) - requested)
            waiting += [requested + i * bus for i in range(beats)]
            requested += beats * bus


async def run(dut, config: Config, words: list[int]) -> tuple[list[tuple[int, int, int, bool]], Fault, int]:
    """One program from reset to done or fault: (engine, word, index, last) handed over, the fault, the position."""
    bus, address = config.bus_bytes, 4096 * random.randrange(1 << 20)
    code = b"".join(word.to_bytes(4, "little") for word in words)
    image = code + random.randbytes(-len(code) % bus)
    dut.rst.value = 1
    for port in (dut.run, dut.beat, dut.request_ready):
        port.value = 0
    await tick(dut)
    dut.rst.value = 0
    dut.begin.value = 1
    dut.address.value = address
    dut.size.value = len(code)
    await tick(dut)
    dut.begin.value = 0
    dut.run.value = 1
    outside = cocotb.start_soon(memory(dut, bus, image, address))
    busy = [Odds() for _ in Engine]
    got = []
    while True:
        full = [odds() for odds in busy]
        dut.full.value = sum(1 << engine for engine in Engine if full[engine])
        await tick(dut)
        write, fault = int(dut.write.value), Fault(int(dut.fault.value))
        assert write in (0, 1, 2, 4) and not (write and fault)
        if write:
            engine = Engine(write.bit_length() - 1)
            assert not full[engine]
            got.append((engine, int(dut.word.value), int(dut.index.value), bool(dut.last.value)))
        if fault or dut.done.value:
            outside.cancel()
            return got, fault, int(dut.position.value)


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def programs(dut) -> None:
    """Programs without a fault, and with one followed by more commands."""
    config = small_config(parameters()["bus"])
    await started(dut)
    for number in range(PROGRAMS):
        source = random.Random(random.getrandbits(32))
        commands = random_stream(source, config, random.randint(1, 20))
        handed = [(c.engine, word, i, i == len(c.words()) - 1) for c in commands for i, word in enumerate(c.words())]
        words = words_of(commands)
        fault, position = Fault.NONE, 4 * len(words)
        if number % 2:
            command = random_stream(source, config, 1)[0]
            bad = refused(command)
            fault = bad.fault
            handed += [(command.engine, word, i, False) for i, word in enumerate(bad.words[: bad.at])]
            words += bad.words
            if fault != Fault.CUT_SHORT:
                words += words_of(random_stream(source, config, 3))
        assert await run(dut, config, words) == (handed, fault, position)
