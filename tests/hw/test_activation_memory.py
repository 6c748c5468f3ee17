"""The activation memory alone against bytes in an array: unaligned windows of COMPUTE beside LOAD's and STORE's words, what a
request touches, and every conflict of two on one port."""

from __future__ import annotations

import random

import pytest
from units import simulate

from intaglio.hw.activation_memory import ActivationMemory
from intaglio.machine import latency
from intaglio.machine.config import Config, MemoryConfig

SHAPES = {
    "feed wider than the bus": dict(rows=4, feed_bytes=16, bus_bytes=4, activation_banks=2, activation_bytes=1024),
    "bus wider than the feed": dict(rows=2, requantizers=1, bus_bytes=16, activation_banks=4, activation_bytes=1024),
    "one bank": dict(rows=3, requantizers=3, bus_bytes=8, activation_banks=1, activation_bytes=512),
    "eight banks": dict(rows=1, requantizers=1, bus_bytes=4, activation_banks=8, activation_bytes=256),
}
CYCLES = 600


class Bytes:
    """What the memory holds, and who uses which port of it. A port is (bank, parity of the word)."""

    def __init__(self, config: Config):
        self.config = config
        self.half = config.half_word_bytes
        self.data = [0] * config.activation_bytes

    def port(self, address: int) -> tuple[int, int]:
        address %= self.config.activation_bytes
        return address // self.config.bank_bytes, address // self.half % 2

    def ports(self, address: int, low: int, high: int) -> list[tuple[int, int]]:
        """Of the words that hold bytes low <= i < high of the window at address."""
        first = address - address % self.half
        words = {(address + i - first) // self.half for i in range(low, high)}
        return [self.port(first + word * self.half) for word in sorted(words)]

    def read(self, address: int, i: int) -> int:
        return self.data[(address + i) % self.config.activation_bytes]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_requests_at_random(shape: dict[str, int]) -> None:
    config = Config(
        **{"cols": 4, "requantizers": 2, "weight_bytes": 1024, "channel_bytes": 512, "memory": MemoryConfig(4), **shape}
    )
    dut, model = ActivationMemory(config), Bytes(config)
    rng = random.Random(f"{shape}")
    size, bus, feed, q = config.activation_bytes, config.bus_bytes, config.feed_bytes, config.requantizers
    seen = {"read": 0, "write": 0, "wrapped": 0, "two": 0}

    async def check(ctx) -> None:
        for at in range(0, size, bus):  # no byte of it is unknown
            word = rng.getrandbits(8 * bus)
            ctx.set(dut.load_en, 1)
            ctx.set(dut.load_address, at)
            ctx.set(dut.load_data, word)
            await ctx.tick()
            model.data[at : at + bus] = word.to_bytes(bus, "little")
        reads: list[tuple | None] = [None] * (latency.ACTIVATION_READ - 4)
        stores: list[tuple | None] = [None] * (latency.ACTIVATION_READ - 4)
        # Of two cycles ago and of the cycle before: they meet at the ports, and are read in the next cycle.
        asked = [(False, 0, 0, 0, False, 0)] * 2
        at_memory = [asked[0]]
        no_write = ((0, 0, 0, []), None)
        writes: list[tuple] = [no_write] * (latency.ACTIVATION_WRITE - 1)
        ctx.set(dut.load_en, 0)
        await ctx.tick()
        busy = (0.9, 0.9, 0.5, 0.5)
        for cycle in range(CYCLES):
            if cycle % 100 == 0:
                busy = tuple(rng.choice((0.1, 0.5, 0.9)) for _ in range(4))
            # Most addresses are near each other, so that ports meet; some at the memory's end, where windows wrap.
            near = rng.choice((rng.randrange(size), size - 3))
            reading, storing, writing, loading = (rng.random() < p for p in busy)
            low, high = sorted(rng.sample(range(feed + 1), 2))
            read_at = (near + rng.randrange(-feed, feed)) % size
            store_at = (near + rng.randrange(2 * feed)) % size // bus * bus
            count = rng.randrange(1, q + 1) if writing else 0
            write_at = (near + rng.randrange(-q, q + 1)) % size
            load_at = (near + rng.randrange(2 * feed)) % size // bus * bus
            data, word = rng.getrandbits(8 * q), rng.getrandbits(8 * bus)
            for port, value in (
                (dut.read_en, reading),
                (dut.read_address, read_at),
                (dut.read_low, low),
                (dut.read_high, high),
                (dut.store_en, storing),
                (dut.store_address, store_at),
                (dut.write_count, count),
                (dut.write_address, write_at),
                (dut.write_data, data),
                (dut.load_en, loading),
                (dut.load_address, load_at),
                (dut.load_data, word),
            ):
                ctx.set(port, int(value))

            asked.append((reading, read_at, low, high, storing, store_at))
            reading, read_at, low, high, storing, store_at = asked.pop(0)
            read_ports = model.ports(read_at, low, high) if reading else []
            store_port = model.port(store_at) if storing else None
            write_ports = model.ports(write_at, 0, count)
            touched = writes[2 - latency.ACTIVATION_WRITE][0][3]  # by the write of so many cycles ago
            assert ctx.get(dut.read_touched) == len(read_ports) and ctx.get(dut.write_touched) == len(touched)
            writes.append(((write_at, count, data, write_ports), (load_at, word) if loading else None))
            compute, load = writes.pop(0)
            clash = load is not None and model.port(load[0]) in compute[3]
            assert ctx.get(dut.conflict) == ((store_port is not None and store_port in read_ports) or clash)
            seen["read"] += store_port is not None and store_port in read_ports
            seen["write"] += clash
            seen["two"] += len(write_ports) == 2
            seen["wrapped"] += reading and read_at + high > size

            # Reads see what was in the memory before this cycle's writes, in words that none of them touches.
            written = set(compute[3]) | ({model.port(load[0])} if load else set())
            expected = None
            at_memory.append((reading, read_at, low, high, storing, store_at))
            reading, read_at, low, high, storing, store_at = at_memory.pop(0)
            read_ports = model.ports(read_at, low, high) if reading else []
            store_port = model.port(store_at) if storing else None
            if reading:
                expected = [
                    (i, model.read(read_at, i)) for i in range(low, high) if model.port(read_at + i) not in written
                ]
            reads.append((expected,))
            stores.append(
                (model.data[store_at : store_at + bus],)
                if storing and store_port not in written and store_port not in read_ports
                else None
            )
            if load is not None and not clash:  # COMPUTE's is served
                model.data[load[0] : load[0] + bus] = load[1].to_bytes(bus, "little")
            at, number, value, _ = compute
            for i in range(number):
                model.data[(at + i) % size] = value >> 8 * i & 255
            await ctx.tick()
            old, stored = reads.pop(0), stores.pop(0)
            if old and old[0] is not None:
                got = ctx.get(dut.read_data)
                for i, byte in old[0]:
                    assert got >> 8 * i & 255 == byte, (cycle, i)
            if stored:
                assert ctx.get(dut.store_data) == int.from_bytes(bytes(stored[0]), "little"), cycle

    simulate(dut, check)
    assert all(seen[what] for what in seen if what != "two" or q > 1), seen
