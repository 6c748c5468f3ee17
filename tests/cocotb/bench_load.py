"""LOAD alone: random transfers; requests and beats are held up at random."""

from __future__ import annotations

import random

import cocotb
from bench_side import TIMEOUT_MS, Odds, started, tick
from rtl_bench import parameters
from transfers import random_transfer, start_all

from intaglio.machine.isa import Opcode
from tests.hw.units import expected_bursts

COMMANDS = 40


class Port:
    """External memory's side: takes requests and returns beats of random data."""

    def __init__(self) -> None:
        self.data: dict[int, int] = {}
        self.requests: list[tuple[int, int]] = []

    async def run(self, dut, bus: int, outstanding: int) -> None:
        in_flight: list[tuple[int, int]] = []
        at = 0
        takes, gives = Odds(), Odds()
        while True:
            ready = len(in_flight) < outstanding and takes()
            beat = bool(in_flight) and gives()
            word, last = random.getrandbits(8 * bus), random.getrandbits(1)
            if beat:
                address, beats = in_flight[0]
                word, last = self.data.setdefault(address + at * bus, word), at == beats - 1
            dut.request_ready.value = ready
            dut.beat.value = beat
            dut.beat_data.value = word
            dut.beat_last.value = last
            await tick(dut)
            if beat:
                at = 0 if last else at + 1
                del in_flight[: int(last)]
            if ready and dut.request_valid.value:
                payload = int(dut.request_payload.value)
                in_flight.append((payload & 0xFFFFFFFF, (payload >> 32) + 1))
                self.requests.append(in_flight[-1])


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def transfers(dut) -> None:
    """Bursts, writes on chip and retirements, all in order, and nothing else."""
    bus, base = parameters()["bus"], 4096 * random.randrange(1 << 16)
    commands = [random_transfer(Opcode.LOAD, number, bus) for number in range(COMMANDS)]
    dut.base.value = base
    dut.start_valid.value = 0
    port = Port()
    await started(dut)
    cocotb.start_soon(port.run(dut, bus, parameters()["outstanding"]))
    cocotb.start_soon(start_all(dut, commands))
    bursts = []
    for c in commands:
        mine = expected_bursts(c, bus, base)
        bursts += [(address, beats) for address, beats, _, _ in mine]
        words = [(address + i * bus, local + i * bus) for address, beats, local, _ in mine for i in range(beats)]
        for left, (address, local) in zip(reversed(range(len(words))), words, strict=True):
            await tick(dut)
            while not dut.write_en.value:
                assert not dut.retire.value
                await tick(dut)
            assert int(dut.write_data.value) == port.data[address]
            assert (int(dut.write_memory.value), int(dut.write_address.value)) == (c["memory"], local)
            assert dut.retire.value == (left == 0)
            assert not dut.idle.value
        assert (int(dut.signal.value), int(dut.tag.value)) == (c["signal"], c["tag"])
    for _ in range(20):
        await tick(dut)
        assert dut.idle.value and not dut.write_en.value and not dut.retire.value
    assert port.requests == bursts
