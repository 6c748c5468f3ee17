"""Random command streams that end: every wait names a signal of an earlier command."""

from __future__ import annotations

import random

from intaglio.machine.config import Config
from intaglio.machine.isa import Command, Engine, LocalMemory, Opcode, token_bit

EXTERNAL = 0x20000
EXTERNAL_BYTES = 0x10000


def random_stream(rng: random.Random, config: Config, count: int, most_cycles: int = 200) -> list[Command]:
    """count commands; a compute command's first word after the header is its cycles, as FakeCore takes them."""
    waiting = {(a, b): 0 for a in Engine for b in Engine if a != b}
    out = []
    weights = [rng.random() + 0.05 for _ in Engine]
    eager = rng.random()
    for number in range(count):
        engine = rng.choices(list(Engine), weights)[0]
        fields = {"tag": rng.randrange(1 << 16) if number % 2 else number}
        wait = signal = 0
        for other in Engine:
            if other == engine:
                continue
            if waiting[other, engine] and rng.random() < eager:
                waiting[other, engine] -= 1
                wait |= 1 << token_bit(engine, other)
            if waiting[engine, other] < 200 and rng.random() < eager:
                waiting[engine, other] += 1
                signal |= 1 << token_bit(engine, other)
        fields |= {"wait": wait, "signal": signal}
        if engine == Engine.COMPUTE:
            opcode = rng.choice([Opcode.CONV, Opcode.ADD, Opcode.POOL, Opcode.DEPTHWISE])
            name = {Opcode.ADD: "a_base", Opcode.POOL: "in_base"}.get(opcode, "origin")
            fields[name] = rng.choice([2, 3, 4, rng.randint(2, most_cycles)])
        else:
            opcode = Opcode.LOAD if engine == Engine.LOAD else Opcode.STORE
            fields |= _transfer(rng, config, engine)
        out.append(Command(opcode, fields))
    return out


def _transfer(rng: random.Random, config: Config, engine: Engine) -> dict[str, int]:
    b = config.bus_bytes
    rows = rng.choice([1, 1, 2, 5])
    row_words = rng.choice([1, 2, 3, rng.randint(1, 40), rng.randint(1, 300) if rows == 1 else 4])
    row_words = min(row_words, EXTERNAL_BYTES // 8 // b)
    fields = {
        "external": EXTERNAL + b * rng.randrange(EXTERNAL_BYTES // 2 // b),
        "external_stride": b * rng.randrange(EXTERNAL_BYTES // 16 // b),
        "local": b * rng.randrange(64),
        "local_stride": b * rng.randrange(32),
        "row_bytes": b * row_words,
        "rows": rows,
    }
    if engine == Engine.LOAD:
        fields["memory"] = int(
            rng.choice([memory for memory in LocalMemory if memory != LocalMemory.TABLE or config.tables])
        )
    return fields


def words_of(commands: list[Command]) -> list[int]:
    return [w for c in commands for w in c.words()]


def compute_lengths(commands: list[Command]) -> list[int]:
    """FakeCore's cycles of each compute command."""
    return [c.words()[1] for c in commands if c.engine == Engine.COMPUTE]
