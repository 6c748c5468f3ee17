"""Sums may continue only where they were kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Command, Opcode, conv_pixels
from intaglio.verifier.continuation import continuation_faults, partial_words
from intaglio.verifier.legality import faults
from tests.hw.core_commands import random_chain

TINY = load_config("tiny16")  # 4 columns, 2 requantizers


def pool(resume: int, hold: int, channels: int = 2) -> Command:
    return Command(Opcode.POOL, {"resume": resume, "hold": hold, "channels": channels})


def conv(start: int, drain_from: int, pixels: int = 4, base: int = 0, channels: int = 4, tiles: int = 1) -> Command:
    fields = {
        "start": start,
        "drain_from": drain_from,
        "partial_base": base,
        "pixel_tiles": 1,
        "rows_per_tile": pixels,
        "last_pixels": pixels,
        "channel_tiles": tiles,
        "last_channels": channels,
    }
    return Command(Opcode.CONV, fields)


def reasons(*commands: Command) -> list[tuple[int, str]]:
    return list(continuation_faults(TINY, commands))


def test_sequences_that_continue() -> None:
    load = Command(Opcode.LOAD, {})
    assert not reasons(pool(0, 0), pool(0, 1), load, pool(1, 1), pool(1, 0), pool(0, 0))
    assert not reasons(conv(1, 9), pool(0, 1), load, conv(0, 4), pool(1, 0), conv(0, 0), Command(Opcode.ADD, {}))
    assert not reasons(conv(1, 4), conv(1, 0), Command(Opcode.DEPTHWISE, {}), conv(0, 0))


def test_parts_of_what_was_kept() -> None:
    """Four pixels of two words: some taken alone, in any order, or together with others next to them."""
    assert not reasons(conv(1, 4), conv(0, 0, 1, 4), conv(0, 0, 2, 0), conv(0, 0, 1, 6))
    assert not reasons(conv(1, 4), conv(1, 2, 2, 8), conv(0, 0, 6))
    assert not reasons(conv(1, 3), conv(1, 4, 4, 6), conv(0, 0, 3), conv(0, 0, 4, 6))
    assert not reasons(conv(1, 4), conv(0, 1, 2, 4), conv(0, 0, 3))
    # Two channel tiles, the second of 3 channels; then each by itself. And of one channel a word a pixel.
    assert not reasons(conv(1, 4, channels=3, tiles=2), conv(0, 0, base=8, channels=3), conv(0, 0))
    assert not reasons(conv(1, 4, channels=1, tiles=2), conv(0, 0, base=8, channels=1), conv(0, 0))


def test_sums_that_nothing_kept() -> None:
    assert reasons(pool(0, 0), pool(1, 0)) == [(1, "continues sums that no POOL before it kept")]
    unkept = "continues sums in word {} of the partial-sum memory that no command before it kept"
    assert reasons(conv(0, 0)) == [(0, unkept.format(0))]
    assert reasons(conv(1, 0), conv(0, 0)) == [(1, unkept.format(0))]
    assert reasons(conv(1, 3), conv(0, 0)) == [(1, unkept.format(6))]
    assert reasons(conv(1, 4), conv(0, 0, 3), conv(0, 0)) == [(2, unkept.format(0))]
    assert reasons(conv(1, 1), conv(1, 4, 4, 4), conv(0, 0, 6))[0] == (2, unkept.format(2))


def test_sums_that_are_dropped() -> None:
    assert reasons(conv(1, 4), conv(1, 1, 4, 6), conv(0, 0, 3), conv(0, 0, 1, 6)) == [
        (1, "drops the sums that command 0 kept")
    ]
    assert reasons(conv(1, 4)) == [(0, "keeps sums in words 0 to 7 that no command takes")]
    assert reasons(conv(1, 4), conv(0, 0, 2, 2)) == [
        (0, "keeps sums in words 0 to 1 that no command takes"),
        (0, "keeps sums in words 6 to 7 that no command takes"),
    ]
    assert not reasons(pool(0, 1), Command(Opcode.DEPTHWISE, {}), pool(1, 0))
    assert reasons(pool(0, 1), pool(0, 0)) == [(1, "drops the sums that command 0 kept")]
    assert reasons(pool(0, 0), pool(0, 1)) == [(1, "keeps sums that no command takes")]


def test_other_sums() -> None:
    assert reasons(pool(0, 1), pool(1, 0, 1)) == [(1, "channels = 1 continues command 0, of 2")]
    largest = Command(Opcode.POOL, {"resume": 1, "channels": 2, "maximum": 1})
    assert reasons(pool(0, 1), largest) == [(1, "maximum = 1 continues command 0, of 0")]
    assert reasons(conv(1, 4), conv(0, 0, channels=3)) == [(1, "continues sums of 3 channels, command 0 kept 4")]
    assert reasons(conv(1, 4), conv(0, 0, base=0, pixels=2, channels=1, tiles=2))[0][1].startswith(
        "continues sums of 1 "
    )
    assert reasons(conv(1, 4), conv(0, 0, 1, 3))[0] == (1, "continues sums from within a pixel that command 0 kept")


@pytest.mark.parametrize("seed", range(20))
def test_random_chains_are_whole(seed: int) -> None:
    """No fault; and one with any of their commands left out that keeps less than it takes, or moved by a word."""
    rng = np.random.default_rng(seed)
    config = Config(
        rows=3,
        cols=5,
        requantizers=2,
        activation_bytes=2048,
        weight_bytes=4096,
        channel_bytes=2048,
        partial_bytes=8 * 301,
    )
    chain = random_chain(config, rng, small=True)
    assert not list(continuation_faults(config, chain))
    assert not [fault for command in chain for fault in faults(config, command, 0)]
    for i, command in enumerate(chain):
        if command["start"] or command["drain_from"] < conv_pixels(command):
            assert list(continuation_faults(config, chain[:i] + chain[i + 1 :]))
        moved = Command(Opcode.CONV, {**command.fields, "partial_base": command["partial_base"] + 1})
        assert list(continuation_faults(config, [*chain[:i], moved, *chain[i + 1 :]]))
        assert partial_words(config, moved).start == command["partial_base"] + 1


def test_passes_lie_in_the_memory() -> None:
    rng = np.random.default_rng(1)
    config = Config(
        rows=3,
        cols=5,
        requantizers=2,
        activation_bytes=2048,
        weight_bytes=4096,
        channel_bytes=2048,
        partial_bytes=8 * 301,
    )
    command = random_chain(config, rng, small=True)[0]
    words = partial_words(config, command)
    exact = dataclasses.replace(config, partial_bytes=8 * max(words.stop, 36))
    assert not list(faults(exact, command, 0))
    moved = Command(Opcode.CONV, {**command.fields, "partial_base": exact.partial_words - len(words) + 1})
    (reason,) = faults(exact, moved, 0)
    assert reason.endswith(f"of the partial-sum memory, which has {exact.partial_words}")
    untouched = Command(Opcode.CONV, {**moved.fields, "partial_base": 1 << 30, "drain_from": 0})
    assert not list(faults(exact, untouched, 0)) and not partial_words(exact, untouched)


def test_parts_of_several_pixels_or_passes() -> None:
    sizes = {"kernel_rows": 1, "kernel_cols": 1, "region_rows": 1, "region_cols": 1, "channels": 2, "clamp_max": 9}
    whole = {**sizes, "in_base": 0, "out_base": 512, "rounding": 0}
    for channels in (2, 8):
        assert not list(faults(TINY, Command(Opcode.POOL, {**whole, "hold": 1, "channels": channels}), 4096))
    for change in ({"region_cols": 2}, {"region_rows": 2}):
        (reason,) = faults(TINY, Command(Opcode.POOL, {**whole, "resume": 1, **change}), 4096)
        assert reason == "has 2 pixels, but only one may continue or keep its sums"
    (reason,) = faults(TINY, Command(Opcode.POOL, {**whole, "hold": 1, "channels": 9}), 4096)
    assert "channels = 9 is above slab_channels (8)" in reason
