"""The plan of one layer that runs by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from intaglio.mapper.tasks.groups import Groups
from intaglio.mapper.tasks.windows import Blocks
from intaglio.mapper.tiling.buffers import Buffers
from intaglio.mapper.tiling.estimate import Cycles
from intaglio.program.layout import Region


@dataclass(frozen=True)
class LayerPlan:
    """pieces: in order. groups: for convolutions. cycles: what it was chosen by. blocks: of windows that do not fit."""

    pieces: Sequence[Region]
    buffers: Buffers
    groups: Groups | None
    cycles: Cycles
    blocks: Blocks | None = None

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Once, and without the pieces, which may be many."""
        return hash((self.buffers, self.groups, self.cycles))
