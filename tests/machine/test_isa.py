"""The command format: fields do not overlap, commands survive encoding, malformed ones are named."""

import importlib
import sys

import numpy as np
import pytest

from intaglio.machine.isa import (
    CHANNEL_FIELDS_BY_NAME,
    ENGINE_OF,
    FIELDS,
    WORDS_OF,
    Command,
    Engine,
    Opcode,
    built_fields,
    decode,
    pack,
    token_bit,
    unpack,
    zero_bits,
)


@pytest.mark.parametrize("opcode", Opcode)
def test_fields_do_not_overlap(opcode):
    bits = [(f.word, b) for f in FIELDS[opcode] for b in range(f.lsb, f.lsb + f.width)]
    assert len(bits) == len(set(bits))
    assert all(word < WORDS_OF[opcode] and bit < 32 for word, bit in bits)
    free = sum(mask.bit_count() for mask in zero_bits(opcode))
    assert free + sum(f.width for f in built_fields(opcode)) == 32 * WORDS_OF[opcode]


def test_conv_and_depthwise_share_places():
    """Hardware reads what both have without looking at the opcode."""
    conv = {f.name: f for f in FIELDS[Opcode.CONV]}
    shared = [f for f in FIELDS[Opcode.DEPTHWISE] if f.name in conv]
    assert len(shared) > 20 and all(f == conv[f.name] for f in shared)


def random_command(opcode, rng):
    def value(f):
        low, high = (-(1 << (f.width - 1)), 1 << (f.width - 1)) if f.signed else (0, 1 << f.width)
        return int(rng.integers(low, high))

    values = {f.name: 0 if f.reserved else value(f) for f in FIELDS[opcode] if f.name != "opcode"}
    return Command(opcode, values)


def test_commands_survive_encoding():
    rng = np.random.default_rng(5)
    commands = [random_command(Opcode(int(rng.integers(1, len(Opcode) + 1))), rng) for _ in range(200)]
    assert decode([word for c in commands for word in c.words()]) == commands


def test_malformed_programs_are_named():
    good = Command(Opcode.LOAD, {"rows": 1}).words()
    with pytest.raises(ValueError, match="word 8: unknown opcode 0"):
        decode([*good, 0])
    with pytest.raises(ValueError, match="word 8: LOAD is cut short"):
        decode([*good, *good[:5]])
    with pytest.raises(ValueError, match="word 7: LOAD sets bits that are reserved"):
        decode([*good[:7], 1])


def test_values_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="field rows = 4294967296 does not fit: 0 to 4294967295"):
        Command(Opcode.LOAD, {"rows": 1 << 32}).words()
    with pytest.raises(ValueError, match="field zero_a = 128 does not fit: -128 to 127"):
        Command(Opcode.ADD, {"zero_a": 128}).words()
    with pytest.raises(ValueError, match="no field colour"):
        Command(Opcode.ADD, {"colour": 1}).words()


def test_records_hold_the_extremes():
    for record in (
        {"bias": -(1 << 31), "multiplier": (1 << 31) - 1, "shift": -31},
        {"bias": 5, "multiplier": 0, "shift": 30},
    ):
        assert unpack(CHANNEL_FIELDS_BY_NAME, pack(CHANNEL_FIELDS_BY_NAME, record, 4)) == record


def test_each_pair_of_engines_has_its_bit():
    for me in Engine:
        assert sorted(token_bit(me, other) for other in Engine if other != me) == [0, 1]
    assert set(ENGINE_OF) == set(Opcode)


@pytest.mark.parametrize(("moved", "name"), [("counters", "Counter"), ("isa", "decode")])
def test_names_of_the_documents_go_on_working(moved: str, name: str) -> None:
    sys.modules.pop(f"intaglio.hw.{moved}", None)
    with pytest.warns(DeprecationWarning, match=rf"intaglio\.machine\.{moved}"):
        old = importlib.import_module(f"intaglio.hw.{moved}")
    assert getattr(old, name) is getattr(importlib.import_module(f"intaglio.machine.{moved}"), name)
