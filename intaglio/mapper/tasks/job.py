"""The argument of every task's `commands`: what is to be computed, and where all of it lies."""

from __future__ import annotations

from typing import NamedTuple

from intaglio.mapper.tasks.geometry import Part
from intaglio.program.layout import Region, View


class Job(NamedTuple):
    """A region of a task's output, and where its operands and constants are.

    region: of the output. inputs, output: where the operands lie on chip; an input's view may have a ring of at least as many rows as
    the task reads for the region, the output's one whose end the region does not pass. The rest narrows what is computed, for tasks
    that can (`Task.weighted`, `Task.pooled`), by default everything. channels: of windows without weights. tiles: channel tiles of a
    convolution; part: of its reduction; weight_base, channel_base: the first tile's words in the memories of weights and of records.
    """

    region: Region
    inputs: tuple[View, ...]
    output: View
    channels: range | None = None
    tiles: range | None = None
    part: Part | None = None
    weight_base: int = 0
    channel_base: int = 0
