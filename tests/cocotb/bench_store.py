"""STORE alone: random transfers; requests, words and responses are held up at random."""

from __future__ import annotations

import random

import cocotb
from bench_side import TIMEOUT_MS, Odds, started, tick
from rtl_bench import parameters
from transfers import random_transfer, start_all

from intaglio.machine.isa import Opcode
from tests.hw.units import expected_bursts

COMMANDS = 40


async def activations(dut, bus: int, latency: int, content: dict[int, int]) -> None:
    """The activation memory: a read's word comes `latency` cycles later; anything else is noise."""
    pipe: list[int | None] = [None] * (latency - 1)
    while True:
        await tick(dut)
        pipe.append(int(dut.read_address.value) if dut.read_en.value else None)
        address, noise = pipe.pop(0), random.getrandbits(8 * bus)
        dut.read_data.value = noise if address is None else content.setdefault(address, noise)


class Port:
    """External memory's side: takes requests and words, and responds."""

    def __init__(self) -> None:
        self.requests: list[tuple[int, int]] = []
        self.words: list[tuple[int, bool]] = []

    async def run(self, dut, bus: int, outstanding: int) -> None:
        takes, accepts, answers = Odds(), Odds(), Odds()
        received = answered = 0  # bursts
        offered = None
        while True:
            ready = len(self.requests) - answered < outstanding and takes()
            word_ready = accepts()
            response = answered < received and answers()
            dut.request_ready.value = ready
            dut.words_ready.value = word_ready
            dut.response.value = response
            await tick(dut)
            answered += response
            word = (int(dut.words_payload.value), bool(dut.word_last.value)) if dut.words_valid.value else None
            assert offered in (None, word), "an offer stands until it is taken"
            offered = None if word_ready else word
            if word_ready and word is not None:
                self.words.append(word)
                received += word[1]
                assert received <= len(self.requests)
            if ready and dut.request_valid.value:
                payload = int(dut.request_payload.value)
                self.requests.append((payload & 0xFFFFFFFF, (payload >> 32) + 1))


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def transfers(dut) -> None:
    """Bursts, their words and retirements, all in order, and nothing else."""
    bus, base = parameters()["bus"], 4096 * random.randrange(1 << 16)
    commands = [random_transfer(Opcode.STORE, number, bus) for number in range(COMMANDS)]
    content: dict[int, int] = {}
    port = Port()
    dut.base.value = base
    dut.start_valid.value = 0
    await started(dut)
    cocotb.start_soon(activations(dut, bus, parameters()["latency"], content))
    cocotb.start_soon(port.run(dut, bus, parameters()["outstanding"]))
    cocotb.start_soon(start_all(dut, commands))
    for c in commands:
        await tick(dut)
        while not dut.retire.value:
            await tick(dut)
        assert (int(dut.signal.value), int(dut.tag.value)) == (c["signal"], c["tag"])
        assert not dut.idle.value
    for _ in range(20):
        await tick(dut)
        assert dut.idle.value and not dut.words_valid.value and not dut.retire.value
    bursts = [burst for c in commands for burst in expected_bursts(c, bus, base)]
    assert port.requests == [(address, beats) for address, beats, _, _ in bursts]
    assert port.words == [
        (content[local + i * bus], i == beats - 1) for _, beats, local, _ in bursts for i in range(beats)
    ]
