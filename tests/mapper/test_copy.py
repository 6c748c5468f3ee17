"""Copies between rows of different lengths: which bytes they move, in how many commands, however many rows there are."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from mapper_check import check_program
from mapper_graphs import Builder

from intaglio.machine.config_files import load_config
from intaglio.mapper import map_network
from intaglio.mapper.lower.accept import examined
from intaglio.mapper.tasks.elementwise import CopyTask, Segments, segments
from intaglio.mapper.tasks.task import FIELD_LIMIT
from intaglio.program.layout import View


def moved(found: list[Segments]) -> list[tuple[int, int]]:
    """(from, to) of each byte, in order."""
    return [
        (s.in_at + run * s.in_step + byte, s.out_at + run * s.out_step + byte)
        for s in found
        for run in range(s.count)
        for byte in range(s.length)
    ]


@pytest.mark.parametrize("seed", range(40))
def test_every_byte_is_moved_once(seed: int) -> None:
    draw = random.Random(seed)
    in_row, out_row = draw.choice([(draw.randint(1, 12), draw.randint(1, 12)), (3, 12), (24, 2), (1, 40), (30, 1)])
    pads = draw.choice([(0, 0), (draw.randint(0, 5), draw.randint(0, 5))])
    views = (
        View(draw.randint(-9, 99), in_row + pads[0]),
        View(draw.randint(-9, 99), out_row + pads[1], ring=draw.choice([0, 0, 5])),
    )
    start = draw.randint(0, 30)
    elements = range(start, start + draw.randint(1, 90))
    found = segments(views[0], in_row, views[1], out_row, elements)
    assert moved(found) == [
        (views[0].address(*divmod(e, in_row)), views[1].address(*divmod(e, out_row))) for e in elements
    ]
    for a, b in pairwise(found):  # one entry cannot take the first run of the next
        steps = b.in_at - a.in_at - (a.count - 1) * a.in_step, b.out_at - a.out_at - (a.count - 1) * a.out_step
        assert a.length != b.length or (a.count > 1 and steps != (a.in_step, a.out_step))


def test_a_regular_copy_is_one_entry() -> None:
    assert segments(View(0, 4), 3, View(100, 12), 12, range(24)) == [Segments(0, 100, 3, 8, 4, 3)]


def test_more_rows_than_a_command_counts() -> None:
    runs = segments(View(0, 4), 3, View(0, 0), 240_000, range(240_000))
    assert [(s.count, s.in_at, s.out_at) for s in runs] == [
        (FIELD_LIMIT, 0, 0),
        (80_000 - FIELD_LIMIT, 4 * FIELD_LIMIT, 3 * FIELD_LIMIT),
    ]
    b = Builder(1)
    graph = b.graph(b.reshape(b.input(40_000, 2, 1, 3), 1, 1, 1, 240_000))
    config = load_config("tiny16", ["activation_bytes=2097152", "activation_banks=1"])
    program = map_network(graph, config)
    check_program(graph, config, program, list(program.outputs), 1)


def test_only_cuts_that_fit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long row in a memory that holds hundredths of it: thousands of cuts are too coarse, each of pieces by the hundred. Those
    are neither measured piece by piece nor made into commands: `check` of such a network took ten minutes."""
    counted = {"commands": 0, "reads": 0}
    for name in counted:
        plain = getattr(CopyTask, name)

        def counting(self: CopyTask, *args: object, name: str = name, plain: Callable[..., object] = plain) -> object:
            counted[name] += 1
            return plain(self, *args)

        monkeypatch.setattr(CopyTask, name, counting)
    b = Builder(1)
    graph = b.graph(b.reshape(b.input(4, 6, 15, 1955), 4, 1, 1, 175_950))
    config = load_config("tiny16", ["activation_bytes=16384"])
    tasks, refused = examined(graph, config)
    assert len(tasks) == 1
    assert not refused
    assert counted["commands"] < 1_000
    assert counted["reads"] < 200_000
