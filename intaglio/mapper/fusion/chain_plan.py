"""The plan of layers that run together, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from intaglio.mapper.tasks.groups import Groups
from intaglio.mapper.tiling.buffers import Buffers
from intaglio.mapper.tiling.estimate import Cycles
from intaglio.program.layout import Region


@dataclass(frozen=True)
class ChainPlan:
    """pieces: of the last task's output, in order. groups: for each task, None where it has no weights. cycles: what it was
    chosen by. slabs: channels that run one after another in each piece, one of the tasks' groups of channel tiles each; empty
    where all run together. rings: rows of each task's ring; empty where there is none."""

    pieces: Sequence[Region]
    buffers: Buffers
    groups: tuple[Groups | None, ...]
    cycles: Cycles
    slabs: tuple[range, ...] = ()
    rings: tuple[int, ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Once, and without the pieces, which may be many."""
        return hash((self.buffers, self.groups, self.cycles))
