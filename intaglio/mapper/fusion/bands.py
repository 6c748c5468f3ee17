"""Rows of each tensor of a chain that bands of its output need: as Chain.needs, for all bands at once.

Which rows a region needs its rows alone decide, so they are looked at without columns, as numbers: of each row of a layer's
output the first and the last row that it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from intaglio.mapper.fusion.band_rows import measure
from intaglio.mapper.fusion.chain import Chain
from intaglio.program.layout import align_up

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
        count, inputs, tasks = measure(
            chain.output.layout.rows, chain.cut.image_rows, band, ringed, *self._tables, len(chain.inputs), kinds, parts
        )
        found = [of[:k].tolist() for of, k in zip(kinds, count, strict=True)]
        ends, made = inputs.T.tolist(), tasks.T.tolist()
        return Bands(
            tuple(ends[0]),
            tuple(ends[1]),
            tuple(made[0]),
            tuple(made[1]),
            tuple(made[2]),
            tuple((bool(shared), step) for shared, step in zip(made[3], made[4], strict=True)),
            tuple(tuple((a, b, n) for a, b, n, _, _ in of) for of in found),
        )

    @cached_property
    def _most_kinds(self) -> int:
        """Parts of different kinds: of a pool each place may be one."""
        return 2 * self.chain.output.layout.rows + 2

    @cached_property
    def _tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(first and end of the rows that each output row reads, one task after another [2, rows]; where each task's begin; rows of
        its images, of output and input, 0 for element by element; whether its parts' places count; its sources, one task after
        another; where each task's begin)."""
        tables = [task.rows_read() for task in self.chain.tasks]
        images = [task.image_rows for task in self.chain.tasks]
        sources = self.chain.sources
        return (
            np.concatenate(tables, axis=1),
            np.cumsum([0, *(table.shape[1] for table in tables)]),
            np.array(images, np.int64),
            np.array([task.pooled is not None for task in self.chain.tasks]),
            np.array([source for of in sources for source in of], np.int64),
            np.cumsum([0, *(len(of) for of in sources)]),
        )
