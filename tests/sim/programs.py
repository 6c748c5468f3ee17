"""Random programs: everything loaded, random compute commands, all activations stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.isa import WORDS_OF, Command, Engine, LocalMemory, Opcode, token_bit
from intaglio.program.program import BASE_ALIGNMENT, Place, Program
from tests.hw.core_commands import random_add, random_chain, random_conv, random_maximum, random_pool, with_tables
from tests.hw.depthwise_commands import random_depthwise
from tests.hw.split_commands import random_split

SMALL = Config(
    name="small",
    rows=3,
    cols=5,
    requantizers=2,
    activation_bytes=2048,
    activation_banks=2,
    weight_bytes=4096,
    channel_bytes=2048,
    partial_bytes=8 * 301,
    bus_bytes=8,
)
"""Sizes that are not powers of two, in little Verilog."""


def token(engine: Engine, other: Engine) -> int:
    return 1 << token_bit(engine, other)


def random_commands(config: Config, rng: np.random.Generator, count: int) -> list[Command]:
    """At least `count` compute commands, tags from 0 on; parts of a reduction with others in between."""
    makers = [
        lambda: random_conv(config, rng, small=True),
        *([lambda: random_depthwise(config, rng)] if config.depthwise_delay else []),
        lambda: random_add(config, rng),
        lambda: random_pool(config, rng),
        lambda: random_maximum(config, rng),
        *([lambda: random_split(config, rng)] if config.lanes == 2 else []),
    ]

    def another() -> Command:
        return makers[int(rng.integers(len(makers)))]()

    out: list[Command] = []
    while len(out) < count:
        if count < 4 or rng.random() < 0.7:
            out.append(another())
            continue
        for part in random_chain(config, rng, small=True):
            out += [part, another()] if rng.random() < 0.4 else [part]
    out = with_tables(config, rng, out)
    return [Command(command.opcode, {**command.fields, "tag": tag}) for tag, command in enumerate(out)]


def random_image(config: Config, rng: np.random.Generator) -> list[np.ndarray]:
    """Contents of the local memories that are built in, in LocalMemory order, uint8; channel records with sensible scales."""
    sizes = [config.activation_bytes, config.weight_bytes, config.channel_bytes]
    sizes += [config.table_bytes] if config.tables else []
    images = [rng.integers(0, 256, size, np.uint8) for size in sizes]
    records = images[LocalMemory.CHANNEL].view(np.int32).reshape(-1, 4)
    records[:, 0] = rng.integers(-1000, 1000, len(records))
    records[:, 1] = rng.integers(2**30, 2**31, len(records))
    records[:, 2] = rng.integers(-9, -3, len(records))
    return images


def program_of(config: Config, compute: list[Command], images: list[np.ndarray]) -> Program:
    """Loads the images, runs the compute commands one after the other and stores all activations as tensor "all"."""
    size = 4 * sum(WORDS_OF[c.opcode] for c in compute) + 4 * 8 * (len(images) + 1)
    at = -(-size // BASE_ALIGNMENT) * BASE_ALIGNMENT
    commands, data = [], []
    for memory, image in enumerate(images):
        commands.append(
            Command(
                Opcode.LOAD,
                {
                    "external": at,
                    "memory": memory,
                    "row_bytes": image.size,
                    "rows": 1,
                    "tag": 0,
                    "signal": token(Engine.LOAD, Engine.COMPUTE) if memory == len(images) - 1 else 0,
                },
            )
        )
        data.append((at, image))
        at += -(-image.size // BASE_ALIGNMENT) * BASE_ALIGNMENT
    first, last = 0, len(compute) - 1
    for i, command in enumerate(compute):
        commands.append(
            Command(
                command.opcode,
                {
                    **command.fields,
                    "wait": token(Engine.COMPUTE, Engine.LOAD) if i == first else 0,
                    "signal": token(Engine.COMPUTE, Engine.STORE) if i == last else 0,
                },
            )
        )
    stored = config.activation_bytes
    commands.append(
        Command(
            Opcode.STORE,
            {
                "external": at,
                "row_bytes": stored,
                "rows": 1,
                "tag": compute[-1]["tag"],
                "wait": token(Engine.STORE, Engine.COMPUTE),
            },
        )
    )
    program = Program(
        network="random",
        config=config.to_dict(),
        config_hash=config.hardware_hash(),
        commands=tuple(commands),
        image=b"",
        memory_bytes=at + stored,
        places={"all": Place(at, 1, stored, stored)},
        inputs=(),
        outputs=("all",),
        layers=(),
    )
    image = np.zeros(at, np.uint8)
    words = program.words().view(np.uint8)
    image[: words.size] = words
    for offset, part in data:
        image[offset : offset + part.size] = part
    return replace(program, image=image.tobytes())


def random_program(config: Config, seed: int, count: int = 8) -> Program:
    rng = np.random.default_rng(seed)
    return program_of(config, random_commands(config, rng, count), random_image(config, rng))
