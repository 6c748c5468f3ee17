"""Sums may continue only where they were kept."""

from __future__ import annotations

from intaglio.hw.config import load_config
from intaglio.hw.isa import Command, Opcode
from intaglio.mapper.continuation import continuation_faults
from intaglio.mapper.legality import faults


def pool(resume: int, hold: int, channels: int = 2) -> Command:
    return Command(Opcode.POOL, {"resume": resume, "hold": hold, "channels": channels})


def conv(start: int, drain: int, pixels: int = 4) -> Command:
    return Command(Opcode.CONV, {"start": start, "drain": drain, "last_pixels": pixels, "last_channels": 4})


def reasons(*commands: Command) -> list[tuple[int, str]]:
    return list(continuation_faults(commands))


def test_sequences_that_continue() -> None:
    load = Command(Opcode.LOAD, {})
    assert not reasons(pool(0, 0), pool(0, 1), load, pool(1, 1), pool(1, 0), pool(0, 0))
    assert not reasons(conv(1, 0), pool(0, 1), load, conv(0, 0), pool(1, 0), conv(0, 1), Command(Opcode.ADD, {}))


def test_sums_that_nothing_kept() -> None:
    assert reasons(pool(0, 0), pool(1, 0)) == [(1, "continues sums that no POOL before it kept")]
    assert reasons(conv(0, 1)) == [(0, "continues sums that no CONV before it kept")]


def test_sums_that_are_dropped() -> None:
    assert reasons(conv(1, 0), conv(1, 1)) == [(1, "drops the sums that command 0 kept")]
    assert reasons(conv(1, 0), Command(Opcode.DEPTHWISE, {}), conv(0, 1))[0] == (1, "drops the sums that command 0 kept")
    assert not reasons(pool(0, 1), Command(Opcode.DEPTHWISE, {}), pool(1, 0))
    assert reasons(pool(0, 1), pool(0, 0)) == [(1, "drops the sums that command 0 kept")]
    assert reasons(pool(0, 0), pool(0, 1)) == [(1, "keeps sums that no command takes")]


def test_other_sums() -> None:
    assert reasons(pool(0, 1), pool(1, 0, 1)) == [(1, "channels = 1 continues command 0, of 2")]
    largest = Command(Opcode.POOL, {"resume": 1, "channels": 2, "maximum": 1})
    assert reasons(pool(0, 1), largest) == [(1, "maximum = 1 continues command 0, of 0")]
    assert reasons(conv(1, 0), conv(0, 1, 3)) == [(1, "last_pixels = 3 continues command 0, of 4")]


def test_parts_of_several_pixels_or_passes() -> None:
    config = load_config("tiny16")
    sizes = {"kernel_rows": 1, "kernel_cols": 1, "region_rows": 1, "region_cols": 1, "channels": 2, "clamp_max": 9}
    whole = {**sizes, "in_base": 0, "out_base": 512, "rounding": 0}
    assert not list(faults(config, Command(Opcode.POOL, {**whole, "hold": 1}), 4096))
    for change in ({"region_cols": 2}, {"region_rows": 2}):
        (reason,) = faults(config, Command(Opcode.POOL, {**whole, "resume": 1, **change}), 4096)
        assert reason == "has 2 pixels, but only one may continue or keep its sums"
    (reason,) = faults(config, Command(Opcode.POOL, {**whole, "hold": 1, "channels": 3}), 4096)
    assert "channels = 3 is above requantizers (2)" in reason
