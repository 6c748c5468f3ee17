"""What bands of rows of a chain's output need of the rows of each tensor before it: as Chain.needs, for all bands at once.

Which rows a region needs its rows alone decide, so they are looked at without columns, as numbers: of each row of a layer's
output the first and the last row that it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from intaglio.compiled import compiled
from intaglio.mapper.chain import Chain
from intaglio.mapper.convolution import ConvTask
from intaglio.mapper.layout import Region, align_up
from intaglio.mapper.lower import AnyTask
from intaglio.mapper.pooling import PoolTask

Kind = tuple[int, int, int]
"""First row, end and number of the parts of one kind, of which these are the rows of the first."""


@dataclass(frozen=True)
class Bands:
    """Rows of what bands need: for each input of the chain, of the band that needs most and of all (inputs, all_inputs); for each
    task's output, of what is computed for a band (made, all_made) and of what is on chip for it (read). again: for each task,
    whether bands share rows, and the most rows that a band computes behind the first one of an image, at least 1. kinds: of each
    task the parts that it computes in, where a ring ends in two."""

    inputs: tuple[int, ...]
    all_inputs: tuple[int, ...]
    made: tuple[int, ...]
    all_made: tuple[int, ...]
    read: tuple[int, ...]
    again: tuple[tuple[bool, int], ...]
    kinds: tuple[tuple[Kind, ...], ...]

    def rings(self, aligned: bool) -> tuple[int, ...]:
        """Rows of each task's ring, where the bands were measured with rings: as few as bands read at once, or aligned to what
        they compute, so that all but the first of an image have one part. 0 where no row is read by two bands; empty where
        that is so for all."""
        if not any(shared for shared, _ in self.again):
            return ()
        return tuple(
            align_up(rows, step if aligned else 1) if shared else 0
            for rows, (shared, step) in zip(self.read, self.again, strict=True)
        )


class BandsOf:
    """Bands of one chain."""

    def __init__(self, chain: Chain):
        self.chain = chain

    def measure(self, band: int, rings: tuple[int, ...], parts: bool = True) -> Bands:
        """Bands of `band` rows. rings: rows of each task's ring, 0 for none; empty where there are none. parts: also their kinds,
        which asks for rings that hold what a band reads."""
        chain = self.chain
        ringed = np.array(rings or (0,) * len(chain.tasks), np.int64)
        kinds = np.zeros((len(chain.tasks), self._most_kinds, 5), np.int64)
        count, inputs, tasks = _measure(
            chain.output.layout.rows, chain.cut.image_rows, band, ringed, *self._tables, len(chain.inputs), kinds, parts
        )
        found = [of[:k].tolist() for of, k in zip(kinds, count, strict=True)]
        ends, made = inputs.T.tolist(), tasks.T.tolist()
        return Bands(
            tuple(ends[0]), tuple(ends[1]), tuple(made[0]), tuple(made[1]), tuple(made[2]),
            tuple((bool(shared), step) for shared, step in zip(made[3], made[4], strict=True)),
            tuple(tuple((a, b, n) for a, b, n, _, _ in of) for of in found),
        )  # fmt: skip

    @cached_property
    def _most_kinds(self) -> int:
        """Parts of different kinds: of a pool each place may be one."""
        return 2 * self.chain.output.layout.rows + 2

    @cached_property
    def _tables(self) -> tuple[np.ndarray, ...]:
        """(first and end of the rows that each output row reads, one task after another [2, rows]; where each task's begin; rows of
        its images, of output and input, 0 for element by element; whether its parts' places count; its sources, one task after
        another; where each task's begin)."""
        tables = [_rows_read(task) for task in self.chain.tasks]
        images = [_images(task) for task in self.chain.tasks]
        sources = self.chain.sources
        return (
            np.concatenate(tables, axis=1),
            np.cumsum([0, *(table.shape[1] for table in tables)]),
            np.array(images, np.int64),
            np.array([isinstance(task, PoolTask) for task in self.chain.tasks]),
            np.array([source for of in sources for source in of], np.int64),
            np.cumsum([0, *(len(of) for of in sources)]),
        )


def _images(task: AnyTask) -> tuple[int, int]:
    if isinstance(task, ConvTask):
        return task.geometry.out_rows, task.geometry.in_rows
    return (task.out_rows, task.in_rows) if isinstance(task, PoolTask) else (0, 0)


def _rows_read(task: AnyTask) -> np.ndarray:
    """int64 [2, rows of an output image]: first and end, of an input image; (0, 0) for none."""
    rows, _ = _images(task)
    end = task.output.layout.row_bytes
    found = [task.reads(Region(y, y + 1, 0, end))[0] for y in range(rows)]
    return np.array([(0, 0) if r.empty else (r.row0, r.row1) for r in found], np.int64).reshape(-1, 2).T.copy()


@compiled()
def _measure(rows, image_rows, band, rings, reads, first, images, placed, sources, source_first, inputs, kinds, parts):
    """(how many kinds each task has, int64 [tasks]; rows of each input: most and all, [inputs, 2]; of each task's output: made, all
    made, read, whether shared, step, [tasks, 5]). kinds: [tasks, kinds, 5], filled in with first row, end, number, and what tells
    places apart."""
    tasks = len(rings)
    count = np.zeros(tasks, np.int64)
    of_inputs, of_tasks = np.zeros((inputs, 2), np.int64), np.zeros((tasks, 5), np.int64)
    of_tasks[:, 4] = 1
    needed, made, read = np.zeros((inputs, 2), np.int64), np.zeros((tasks, 2), np.int64), np.zeros((tasks, 2), np.int64)
    before, turns = np.zeros((tasks, 2), np.int64), np.zeros(tasks, np.int64)
    for image in range(0, rows, image_rows):
        for top in range(image, image + image_rows, band):
            before[:] = read
            needed[:] = 0
            read[:] = 0
            read[-1, 0], read[-1, 1] = top, min(top + band, image + image_rows)
            for i in range(tasks - 1, -1, -1):
                made[i] = read[i]
                if rings[i] and top > image and before[i, 1] > before[i, 0]:
                    made[i, 0] = max(read[i, 0], min(before[i, 1], read[i, 1]))
                if made[i, 1] <= made[i, 0]:
                    continue
                low, high = made[i]
                if images[i, 0]:
                    at, shift = low // images[i, 0] * images[i, 0], low // images[i, 0] * images[i, 1]
                    low, high = _span(reads, first[i], made[i, 0] - at, made[i, 1] - at)
                    if high <= low:
                        continue
                    low, high = low + shift, high + shift
                for k in range(source_first[i], source_first[i + 1]):
                    target = read[~sources[k]] if sources[k] < 0 else needed[sources[k]]
                    if target[1] <= target[0]:
                        target[0], target[1] = low, high
                    else:
                        target[0], target[1] = min(target[0], low), max(target[1], high)
            if top == image:
                turns[:] = made[:, 1]
            for i in range(inputs):
                of_inputs[i, 0] = max(of_inputs[i, 0], needed[i, 1] - needed[i, 0])
                of_inputs[i, 1] += needed[i, 1] - needed[i, 0]
            for i in range(tasks):
                size = made[i, 1] - made[i, 0]
                of_tasks[i, 0] = max(of_tasks[i, 0], size)
                of_tasks[i, 1] += size
                of_tasks[i, 2] = max(of_tasks[i, 2], read[i, 1] - read[i, 0])
                if size < read[i, 1] - read[i, 0]:
                    of_tasks[i, 3] = 1
                if made[i, 1] != turns[i]:
                    of_tasks[i, 4] = max(of_tasks[i, 4], size)
                low = made[i, 0]
                while parts and low < made[i, 1]:
                    high = made[i, 1]
                    if rings[i]:
                        high = min(high, low + rings[i] - (low - turns[i]) % rings[i])
                    count[i] = _counted(kinds[i], count[i], low, high, images[i, 0] if placed[i] else 1)
                    low = high
    return count, of_inputs, of_tasks


@compiled()
def _span(reads, first, low, high):
    """The rows around those that output rows [low, high) read."""
    start = end = 0
    for y in range(low, high):
        a, b = reads[0, first + y], reads[1, first + y]
        if b > a:
            start, end = (a, b) if end <= start else (min(start, a), max(end, b))
    return start, end


@compiled()
def _counted(kinds, count, low, high, image):
    """Counts a part of rows [low, high) among the kinds, of which there are `count`; returns how many there are then. Parts are of
    one kind where they have as many rows, between the same rows of an image."""
    for k in range(count):
        if kinds[k, 1] - kinds[k, 0] == high - low and kinds[k, 3] == low % image and kinds[k, 4] == high % image:
            kinds[k, 2] += 1
            return count
    kinds[count, 0], kinds[count, 1], kinds[count, 2], kinds[count, 3], kinds[count, 4] = low, high, 1, low % image, high % image
    return count + 1
