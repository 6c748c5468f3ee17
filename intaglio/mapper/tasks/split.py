"""Layers of one output pixel, such as fully connected ones at batch 1, on two weight lanes: each of the array's first two
rows takes half of every run of the reduction, with weights of its own."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.timing import least_tile_cycles
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.geometry import Part, chunks_of
from intaglio.mapper.tasks.grouped import cost

LANES = 2


def with_lanes(task: ConvTask, config: Config) -> ConvTask:
    """The task with its reduction over two rows, where that is possible and costs less."""
    g = task.geometry
    if config.lanes < LANES or g.out_rows * g.out_cols != 1 or not g.runs_merge or g.slices is not None or g.depthwise:
        return task
    values = {f.name: getattr(task, f.name) for f in fields(ConvTask)}
    by_halves = SplitTask(**{**values, "geometry": replace(g, split=True)})
    return by_halves if cost(by_halves, config) < cost(task, config) else task


@dataclass(frozen=True, eq=False)
class SplitTask(ConvTask):
    """geometry.split is set: whole reductions go by halves. Those in parts do not."""

    def _shape_fields(self, config: Config, rows: int, width: int, tiles: range, part: Part) -> dict[str, int]:
        """Fields for one output pixel with its reduction, runs of part.elements, over two rows, where the part is in halves."""
        whole = super()._shape_fields(config, rows, width, tiles, part)
        if not part.halves:
            return whole
        half = part.elements // LANES
        chunks = chunks_of(half, LANES, config.feed_bytes)
        fields = whole | {
            "split": 1,
            "x_step": half,
            "chunks": chunks.count,
            "chunk_bytes": chunks.each,
            "last_chunk_bytes": chunks.last,
            "slot_cycles": chunks.slot,
            "last_slot_cycles": chunks.last_slot,
            "region_width": LANES,
            "rows_per_tile": LANES,
            "last_pixels": LANES,
        }
        fields["idle_cycles"] = max(0, least_tile_cycles(config, fields) - part.rows * chunks.cycles)
        return fields

    def weight_block(self, config: Config, tiles: range, part: Part) -> bytes:
        """Weight words, of a part in halves those of the first half's steps and of the second's in turn. Behind a run of odd length
        stands a weight that counts as 0."""
        if not part.halves:
            return super().weight_block(config, tiles, part)
        runs = self.weights.reshape(self.geometry.out_channels, part.rows, -1)
        out = np.zeros((len(tiles), part.steps, config.weight_word_bytes), np.int8)
        for i, tile in enumerate(tiles):
            own = runs[tile * config.cols : (tile + 1) * config.cols]
            padded = np.full((len(own), part.rows, part.elements), self.weight_zero_point, np.int8)
            padded[:, :, : runs.shape[2]] = own
            halves = padded.reshape(len(own), part.rows, LANES, -1).transpose(1, 3, 2, 0)
            out[i, :, : len(own)] = halves.reshape(part.steps, len(own))
        return out.tobytes()
