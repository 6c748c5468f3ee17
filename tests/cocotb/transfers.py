"""Random LOAD and STORE commands for the benches."""

from __future__ import annotations

import random

from bench_side import tick

from intaglio.machine.isa import Command, LocalMemory, Opcode
from tests.hw.units import payload_of


def random_transfer(opcode: Opcode, tag: int, bus: int) -> Command:
    """Rows of all lengths, in any place, some across pages."""
    return Command(
        opcode,
        {
            "external": bus * random.randrange(1 << 14),
            "external_stride": bus * random.randrange(1 << 10),
            "row_bytes": bus * random.choice([1, 2, random.randint(1, 40), random.randint(1, 600)]),
            "rows": random.choice([1, 1, 2, 5]),
            "local": bus * random.randrange(1 << 12),
            "local_stride": bus * random.randrange(1 << 8),
            "memory": random.choice(list(LocalMemory)) if opcode == Opcode.LOAD else LocalMemory.ACTIVATION,
            "signal": random.randrange(4),
            "tag": tag,
        },
    )


async def start_all(dut, commands: list[Command]) -> None:
    """Offers the commands at `start`, with pauses."""
    for command in commands:
        while random.random() < 0.3:
            await tick(dut)
        dut.start_valid.value = 1
        dut.start_payload.value = payload_of(command)
        await tick(dut)
        while not dut.start_ready.value:
            await tick(dut)
        dut.start_valid.value = 0
