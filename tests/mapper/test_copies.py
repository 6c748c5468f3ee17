"""Reshapes between rows that do not match, larger than the activation memory."""

from __future__ import annotations

import pytest
from mapper_check import check
from mapper_graphs import Builder

from intaglio.machine.config_files import load_config

SMALL = ["activation_bytes=512", "weight_bytes=256", "channel_bytes=64", "activation_banks=1"]


@pytest.mark.parametrize("bus", [8, 32])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, 30, 9, 7), (1, 27, 7, 10)),
        ((1, 1, 9, 301), (1, 3, 3, 301)),
        ((1, 3, 3, 301), (1, 9, 301)),
        ((1, 2, 15, 301), (1, 3, 10, 301)),
        ((3, 5, 3), (5, 3, 3)),
        ((2, 3, 1, 1001), (1, 1001, 6)),
        ((2, 1001, 3), (1, 2, 1001, 3)),
    ],
)
def test_copy(before: tuple[int, ...], after: tuple[int, ...], bus: int) -> None:
    b = Builder(1)
    x = b.input(*before)
    y = b.reshape(b.rescale(x), *after)
    check(b.graph(y), load_config("tiny16", [*SMALL, f"bus_bytes={bus}"]), keep_all=True)
