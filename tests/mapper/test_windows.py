"""Pooling windows that do not fit on chip: slabs of channels, parts whose sums continue, and pieces that share words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from mapper_check import check
from mapper_graphs import Builder

from intaglio.machine.config_files import config_from_dict, load_config
from intaglio.machine.isa import Engine, Opcode
from intaglio.machine.timing import compute_cycles
from intaglio.mapper import map_network
from intaglio.network.arithmetic import has_empty_window
from intaglio.network.graph import MaxPool2D, Padding
from intaglio.program.program import Program
from tests.onnx_arithmetic import in_onnx_arithmetic

SMALL = ["activation_bytes=512", "weight_bytes=256", "channel_bytes=64", "activation_banks=1"]
SHAPES = [
    SMALL,
    [*SMALL, "bus_bytes=32"],
    ["rows=3", "cols=5", "requantizers=3", "activation_bytes=1024", "bus_bytes=4", "memory.bytes_per_cycle=4"],
]


def parts(program: Program) -> int:
    return sum(c["hold"] for c in program.commands if c.opcode is Opcode.POOL)


def above_bound(program: Program) -> bool:
    """Whether the commands of each layer take at least the cycles that it has as its bound."""
    config = config_from_dict(program.config)
    taken: Counter[int] = Counter()
    for c in program.commands:
        if c.engine is Engine.COMPUTE:
            taken[c["tag"]] += compute_cycles(config, c)
    return all(taken[i] >= layer.compute_cycles for i, layer in enumerate(program.layers))


def loaded(program: Program) -> int:
    return sum(c["rows"] * c["row_bytes"] for c in program.commands if c.opcode is Opcode.LOAD)


@pytest.mark.parametrize("overrides", SHAPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 8, 30, 64])
def test_mean(channels: int, overrides: list[str]) -> None:
    b = Builder(channels)
    y = b.mean(b.input(2, 23, 19, channels))
    program = check(b.graph(y), load_config("tiny16", overrides), seed=channels)
    assert channels == 1 or parts(program) or "bus_bytes=4" in overrides


@pytest.mark.parametrize("overrides", SHAPES)
def test_one_row_longer_than_the_memory(overrides: list[str]) -> None:
    b = Builder(2)
    x = b.input(1, 2, 700, 3)
    program = check(b.graph(b.mean(x), b.average(x, (2, 699), (1, 1))), load_config("tiny16", overrides))
    assert parts(program)


@pytest.mark.parametrize("overrides", SHAPES)
def test_windows_with_padding(overrides: list[str]) -> None:
    b = Builder(3)
    x = b.input(2, 14, 15, 21)
    padding = Padding(5, 6, 4, 5)
    y = b.average(x, (12, 11), (2, 3), padding), b.maximum(x, (12, 11), (2, 3), padding)
    check(b.graph(*y), load_config("tiny16", overrides))


@pytest.mark.parametrize("overrides", SHAPES)
def test_windows_in_onnx_arithmetic(overrides: list[str]) -> None:
    counted = set()
    for seed in range(3):
        b = Builder(seed)
        x = b.input(1, 14, 15, 11)
        y = b.average(x, (12, 11), (2, 3), Padding(5, 6, 4, 5))
        graph = in_onnx_arithmetic(b.graph(y, b.average(x, (2, 2), (2, 2)), b.mean(x)), seed)
        counted.add(graph.operators[0].count_padding)  # type: ignore[attr-defined]
        check(graph, load_config("tiny16", overrides), seed=seed)
    assert counted == {False, True}


def test_random_windows() -> None:
    for seed in range(40):
        random = np.random.default_rng(seed)
        b = Builder(seed)
        size = [int(n) for n in random.integers(4, 17, 2)]
        channels = int(random.integers(1, 41))
        window = (int(random.integers(1, size[0] + 1)), int(random.integers(1, size[1] + 1)))
        stride = (int(random.integers(1, 4)), int(random.integers(1, 4)))
        pad = Padding(*(int(random.integers(0, n)) for n in (window[0], window[0], window[1], window[1])))
        x = b.input(1, *size, channels)
        y = b.maximum(x, window, stride, pad) if seed % 2 else b.average(x, window, stride, pad)
        bus = int(random.choice([4, 8, 16, 32]))
        rate = f"memory.bytes_per_cycle={min(bus, 8)}"
        config = load_config(
            "tiny16", [*SMALL, "channel_bytes=256", f"bus_bytes={bus}", rate, f"requantizers={random.integers(1, 5)}"]
        )
        assert above_bound(check(b.graph(y), config, seed=seed))


def random_maximum(b: Builder, random: np.random.Generator) -> str:
    """A max pooling with dilation whose every window has an element inside."""
    while True:
        size = [int(n) for n in random.integers(3, 15, 2)]
        window, stride, dilation = (tuple(int(n) for n in random.integers(1, 5, 2)) for _ in range(3))
        span = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
        sides = [int(random.integers(0, s)) for s in (span[0], span[0], span[1], span[1])]
        if size[0] + sides[0] + sides[1] < span[0] or size[1] + sides[2] + sides[3] < span[1]:
            continue
        op = MaxPool2D("", (), (), window, stride, Padding(*sides), (-128, 127), dilation)  # type: ignore[arg-type]
        if not has_empty_window(op, (1, *size)):
            x = b.input(1, *size, int(random.integers(1, 20)))
            return b.maximum(x, window, stride, Padding(*sides), dilation)  # type: ignore[arg-type]


def test_dilated_maxima() -> None:
    """In memories that hold the layer, and in parts between whose elements lie others."""
    split = 0
    for seed in range(40):
        b = Builder(seed)
        y = random_maximum(b, np.random.default_rng(seed))
        small = ["activation_bytes=128", "weight_bytes=256", "channel_bytes=256", "activation_banks=1", "bus_bytes=4"]
        config = load_config("tiny16", [*small, "memory.bytes_per_cycle=4"] if seed % 4 else [])
        program = check(b.graph(y), config, seed=seed)
        assert above_bound(program)
        split += parts(program) > 0
    assert split > 5


def test_parts_of_whole_slabs() -> None:
    """A slab's window takes as many cycles as one pass's would, so that parts are of more than one pass where they fit."""
    b = Builder(6)
    program = check(b.graph(b.mean(b.input(1, 30, 30, 64))), load_config("tiny16", SMALL))
    pools = [c for c in program.commands if c.opcode is Opcode.POOL]
    assert parts(program) and {c["channels"] for c in pools} == {8}
    assert sum(c["kernel_rows"] * c["kernel_cols"] for c in pools) == 64 // 8 * 30 * 30


@pytest.mark.parametrize(
    ("size", "window", "stride", "cycles"),
    [
        ((112, 112, 64), (3, 3), (2, 2), 55 * 55 * 2 * 9),
        ((7, 7, 512), (7, 7), (1, 1), 16 * 49),
        ((8, 8, 33), (1, 2), (2, 2), 4 * 4 * 5),  # 2 slabs of 2 reads, but 5 passes
        ((8, 8, 4), (2, 2), (1, 1), 7 * 4),  # a row of outputs as one pixel of 28 channels
    ],
)
def test_bound_of_slabs(
    size: tuple[int, int, int], window: tuple[int, int], stride: tuple[int, int], cycles: int
) -> None:
    """The fewest cycles of a layer on 32 bytes a cycle and 8 requantizers, by hand."""
    b = Builder(7)
    program = map_network(
        b.graph(b.maximum(b.input(1, *size), window, stride)), load_config("edge256", ["requantizers=8"])
    )
    assert program.layers[0].compute_cycles == cycles
    assert above_bound(program)


@pytest.mark.parametrize("size", [(7, 7, 512), (16, 16, 256), (20, 20, 60), (20, 20, 61)])
def test_slabs_load_little_more_than_the_input(size: tuple[int, int, int]) -> None:
    b = Builder(4)
    program = check(b.graph(b.mean(b.input(1, *size))), load_config("tiny16"))
    assert not parts(program)
    assert loaded(program) < (1.6 if size[2] % 8 else 1.2) * np.prod(size)


def test_whole_windows_are_taken_where_they_fit() -> None:
    b = Builder(5)
    program = check(b.graph(b.mean(b.input(1, 8, 8, 64))), load_config("tiny16"))
    assert [c.opcode for c in program.commands] == [Opcode.LOAD, Opcode.POOL, Opcode.STORE]


@pytest.mark.parametrize("overrides", SHAPES)
@pytest.mark.parametrize("channels", [33, 47, 101, 239])
def test_pieces_that_share_bus_words(channels: int, overrides: list[str]) -> None:
    """Neither a row nor the least common multiple of pixel and bus word fits: pieces are whole pixels, and the
    word between two of them is carried from one to the next."""
    b = Builder(channels)
    x = b.conv(b.input(2, 2, 9, 5), channels, (1, 2))
    y = b.average(x, (2, 2), (1, 1))
    check(b.graph(y), load_config("tiny16", overrides), keep_all=True)
