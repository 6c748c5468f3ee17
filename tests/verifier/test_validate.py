"""The validator accepts what the mapper makes, refuses edits that matter, and never crashes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from intaglio.errors import InputError
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import FIELDS, Command, Engine, LocalMemory, Opcode, token_bit
from intaglio.mapper import map_network
from intaglio.network.graph import Padding
from intaglio.program.program import Program
from intaglio.verifier.validate import validate
from tests.mapper.mapper_graphs import Builder

CONFIG = load_config(
    "tiny16",
    [
        "activation_bytes=4096",
        "weight_bytes=2048",
        "rounding=[double, single, away]",
        "weight_zero_points=false",
        "partial_bytes=8192",
    ],
)


def sample() -> Program:
    b = Builder(1)
    x = b.conv(b.input(1, 16, 16, 6), 12, (3, 3), padding=Padding(1, 1, 1, 1))
    y = b.conv(x, 12, (3, 3), padding=Padding(1, 1, 1, 1))
    return map_network(b.graph(b.average(b.add(x, y), (2, 2), (2, 2))), CONFIG)


PROGRAM = sample()


def edited(changes: dict[int, dict[str, int]]) -> Program:
    """PROGRAM with some fields changed, by command; its image agrees where the commands can be encoded."""
    commands = list(PROGRAM.commands)
    for index, fields in changes.items():
        commands[index] = Command(commands[index].opcode, {**commands[index].fields, **fields})
    return with_commands(commands)


def with_commands(commands: list[Command]) -> Program:
    program = replace(PROGRAM, commands=tuple(commands))
    try:
        code = program.words().astype("<u4").tobytes()
    except ValueError:
        return program
    return replace(program, image=code + PROGRAM.image[len(code) :])


def first(opcode: Opcode) -> int:
    return next(i for i, c in enumerate(PROGRAM.commands) if c.opcode is opcode)


def test_every_token_is_needed() -> None:
    """Taking away any wait together with its signal leaves a pair unordered."""
    tried = 0
    for index, command in enumerate(PROGRAM.commands):
        me = command.engine
        for other in (e for e in Engine if e != me):
            if not command["wait"] >> token_bit(me, other) & 1:
                continue
            nth = sum(c["wait"] >> token_bit(me, other) & 1 for c in PROGRAM.commands[:index] if c.engine is me)
            bit = token_bit(other, me)
            signals = [i for i, c in enumerate(PROGRAM.commands) if c.engine is other and c["signal"] >> bit & 1]
            source = signals[nth]
            program = edited(
                {
                    index: {"wait": command["wait"] & ~(1 << token_bit(me, other))},
                    source: {"signal": PROGRAM.commands[source]["signal"] & ~(1 << bit)},
                }
            )
            try:
                validate(program, CONFIG)
            except InputError as error:
                assert "may overlap" in str(error)
                tried += 1
    waits = sum(c["wait"].bit_count() for c in PROGRAM.commands)
    assert tried >= waits * 0.6  # the others follow from tokens by way of the third engine


def test_a_wait_without_signal_never_ends() -> None:
    index = first(Opcode.CONV)
    program = edited({len(PROGRAM.commands) - 1: {"wait": 3}, index: {"wait": 3}})
    with pytest.raises(InputError, match="never comes"):
        validate(program, CONFIG)


def test_too_many_tokens() -> None:
    load = Command(Opcode.LOAD, {"row_bytes": 8, "rows": 1, "memory": int(LocalMemory.CHANNEL), "signal": 2})
    store = Command(Opcode.STORE, {"row_bytes": 8, "rows": 1, "external": 4096 * 16, "wait": 1})
    loads = [replace(load, fields={**load.fields, "signal": 1 << token_bit(Engine.LOAD, Engine.STORE)})] * 300
    program = replace(with_commands([*loads, *[store] * 300]), memory_bytes=1 << 20)
    with pytest.raises(InputError, match="more than 255 tokens"):
        validate(program, CONFIG)


@pytest.mark.parametrize(
    ("opcode", "fields", "message"),
    [
        (Opcode.LOAD, {"local": 4}, "not a multiple of bus_bytes"),
        (Opcode.LOAD, {"local": 1 << 20}, "which has"),
        (Opcode.LOAD, {"external": 1 << 30}, "external memory, which has"),
        (Opcode.LOAD, {"rows": 0}, "rows is 0"),
        (Opcode.LOAD, {"memory": 3}, "configuration field tables is 0"),
        (Opcode.POOL, {"table": 1}, "table = 1, configuration field tables is 0"),
        (Opcode.STORE, {"memory": 1}, "another memory"),
        (Opcode.CONV, {"chunk_bytes": 9}, "above feed_bytes"),
        (Opcode.CONV, {"last_slot_cycles": 1}, "last_slot_cycles"),
        (
            Opcode.CONV,
            {"start": 0},
            "continues sums in word 0 of the partial-sum memory that no command before it kept",
        ),
        (Opcode.CONV, {"drain_from": 1}, "keeps sums in words 0 to"),
        (Opcode.CONV, {"drain_from": 1, "partial_base": 4000}, "of the partial-sum memory, which has"),
        (Opcode.CONV, {"rounding": 3}, r"rounding 'float' is not built in \(double, single, away\)"),
        (Opcode.CONV, {"weight_zero_point": -1}, "weight_zero_point = -1, but weight_zero_points is not built in"),
        (Opcode.CONV, {"rounding": 4}, "cannot be encoded"),
        (Opcode.CONV, {"row_step": 1}, "do not name one row stride"),
        (Opcode.CONV, {"weight_base": 4000}, "weight memory, which has"),
        (Opcode.CONV, {"channel_base": 4000}, "channel memory, which has"),
        (Opcode.CONV, {"early_pixels": 1, "early_base": 4000}, "channel memory, which has"),
        (Opcode.CONV, {"out_base": 4090}, "activation memory, which has"),
        (Opcode.CONV, {"origin": 5000}, "activation memory, which has"),
        (Opcode.CONV, {"tag": 99}, "layers"),
        (Opcode.CONV, {"clamp_min": 5, "clamp_max": 4}, "clamp_min"),
        (Opcode.ADD, {"shift_a": 31}, "shift_a"),
        (Opcode.ADD, {"mult_b": 1 << 31}, "mult_b"),
        (Opcode.ADD, {"rounding": 3}, r"rounding 'float' is not built in"),
        (Opcode.POOL, {"in_base": 4000}, "activation memory, which has"),
        (Opcode.POOL, {"channels": 1 << 33}, "cannot be encoded"),
        (Opcode.POOL, {"nothing": 1}, "nothing"),
    ],
)
def test_illegal_commands(opcode: Opcode, fields: dict[str, int], message: str) -> None:
    index = first(opcode)
    with pytest.raises(InputError, match=message) as caught:
        validate(edited({index: fields}), CONFIG)
    assert f"command {index} ({opcode.name})" in str(caught.value)


def test_frame() -> None:
    for program, message in [
        (replace(PROGRAM, config_hash=1), "configuration hash"),
        (replace(PROGRAM, version=9), "version 9"),
        (replace(PROGRAM, image=b"\0" + PROGRAM.image[1:]), "does not begin with its commands"),
        (replace(PROGRAM, memory_bytes=5), "memory_bytes"),
        (replace(PROGRAM, places={}), "no place"),
    ]:
        with pytest.raises(InputError, match=message):
            validate(program, CONFIG)


def test_random_edits_never_crash() -> None:
    random = np.random.default_rng(11)
    refused = 0
    for _ in range(400):
        index = int(random.integers(len(PROGRAM.commands)))
        choices = FIELDS[PROGRAM.commands[index].opcode][1:]
        field = choices[int(random.integers(len(choices)))]
        top = 1 << (field.width - field.signed)
        value = int(random.choice([0, 1, top - 1, top // 2, int(random.integers(top))]))
        try:
            validate(edited({index: {field.name: value}}), CONFIG)
        except InputError:
            refused += 1
    assert refused > 200
