"""Work in parts on the host's cores."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.sim import cores
from intaglio.sim.cores import in_parts


@pytest.mark.parametrize("count, parts", [(1, 1), (1, 9), (7, 3), (100, 2), (100, 1000), (5, 0)])
def test_every_number_is_in_one_part(count: int, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 4)
    seen = np.zeros(count, np.int64)
    calls: list[tuple[int, int]] = []

    def run(first: int, last: int) -> None:
        seen[first:last] += 1
        calls.append((first, last))

    in_parts(run, count, parts)
    assert (seen == 1).all()
    assert len(calls) == max(1, min(parts, 4, count))


@pytest.mark.parametrize("fails", [0, 1])
def test_an_error_in_a_part_is_the_callers(fails: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 2)

    def run(first: int, last: int) -> None:
        if first == fails:
            raise IndexError("beyond")

    with pytest.raises(IndexError, match="beyond"):
        in_parts(run, 2, 2)
