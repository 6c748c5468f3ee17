"""What commands, addresses and tags cannot count is refused by name before mapping, and what they just can is mapped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mapper_check import check
from mapper_graphs import Builder

from intaglio.errors import RefusedError
from intaglio.machine.config_files import load_config
from intaglio.mapper import map_network
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.lower.lower import MOST_LAYERS
from intaglio.network.graph import Graph, Padding

LARGE = ["activation_bytes=16777216", "weight_bytes=16777216"]
Make = Callable[[Builder], str]
FITS: dict[str, Make] = {
    "a batch of more rows than a field counts": lambda b: b.dense(b.input(300, 300, 4, 4), 8),
    "a batch whose entries are several images' rows": lambda b: b.dense(b.input(4, 300, 300, 4), 8),
    "a stride beyond the only output": lambda b: b.conv(b.input(1, 4, 4, 4), 8, (1, 1), stride=(70000, 70000)),
    "a dilation of one tap": lambda b: b.conv(b.input(1, 4, 4, 4), 8, (1, 1), dilation=(70000, 70000)),
    "a window's stride beyond the only output": lambda b: b.average(b.input(1, 20, 20, 1), (2, 2), (70000, 70000)),
    "taps of a whole column": lambda b: b.conv(b.input(1, 65535, 1, 1), 1, (65535, 1)),
    "taps of a whole row": lambda b: b.conv(b.input(1, 1, 65535, 1), 1, (1, 65535)),
    "many inputs": lambda b: b.dense(b.input(1, 300000), 4),
    "many channels": lambda b: b.conv(b.input(1, 1, 1, 200000), 8, (1, 1)),
    "a wide picture": lambda b: b.conv(b.input(1, 2, 65535, 3), 3, (1, 1)),
    "a tall picture and kernel": lambda b: b.conv(b.input(1, 20000, 1, 1), 1, (200, 1)),
    "padding of many rows": lambda b: b.conv(
        b.input(1, 3, 3, 8), 8, (3, 3), (900, 1), padding=Padding(30000, 30000, 3, 3), groups=8
    ),
}
REFUSED: dict[str, tuple[Make, str]] = {
    "a stride": (
        lambda b: b.conv(b.input(1, 40000, 1, 4), 8, (1, 1), (70000, 1), padding=Padding(50000, 60000)),
        "a stride of 70000",
    ),
    "padding": (
        lambda b: b.conv(
            b.input(1, 2, 2, 3), 3, (3, 3), (40000, 40000), padding=Padding(60000, 60000, 70000, 1), groups=3
        ),
        "a padding of 70000",
    ),
    "a row": (
        lambda b: b.conv(b.input(1, 2, 2, 60000), 2, (1, 1), (1, 30000), padding=Padding(0, 0, 50000, 50000)),
        "a padded row of 6000180000 bytes",
    ),
    "addresses": (lambda b: b.maximum(b.input(30, 8192, 8192, 3), (1, 1), (1, 1)), "addresses have 32 bits"),
}


def graph_of(make: Make) -> Graph:
    b = Builder(1)
    return b.graph(make(b))


@pytest.mark.parametrize("overrides", [[], LARGE], ids=["small", "large"])
@pytest.mark.parametrize("what", FITS)
def test_what_fits(what: str, overrides: list[str]) -> None:
    check(graph_of(FITS[what]), load_config("edge64", overrides))


@pytest.mark.parametrize("overrides", [[], LARGE], ids=["small", "large"])
@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not(what: str, overrides: list[str]) -> None:
    make, reason = REFUSED[what]
    with pytest.raises(RefusedError, match=reason) as caught:
        map_network(graph_of(make), load_config("edge64", overrides))
    assert {refusal.layer for refusal in caught.value.refusals} == {"op0"}


def test_tags() -> None:
    """The first layer that no tag names is the one refused."""
    b = Builder(1)
    x = b.input(1, 8)
    for _ in range(MOST_LAYERS + 1):
        x = b.rescale(x)
    graph = b.graph(x)
    with pytest.raises(RefusedError, match=f"{MOST_LAYERS + 1} operators; commands count {MOST_LAYERS}") as caught:
        accepted(graph, load_config("tiny16"))
    assert [refusal.layer for refusal in caught.value.refusals] == [f"op{MOST_LAYERS}"]
