"""Ways to cut a chain's output into pieces, each measured once: what its pieces need of every tensor of the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intaglio.mapper.fusion.bands import Bands, BandsOf
from intaglio.mapper.fusion.chain import Chain
from intaglio.program.grid import Grid
from intaglio.program.layout import Region


@dataclass(frozen=True)
class _Columns:
    """Whole bus words that columns of the output need: for each input, of the one that needs most and of all; for each task's
    output of the one that needs most; of all for the last. widest: for each task a region of the most bytes. kinds: for each
    task a region of each width that its parts have, and how many have it."""

    inputs: tuple[int, ...]
    all_inputs: tuple[int, ...]
    made: tuple[int, ...]
    all_made: int
    widest: tuple[Region, ...]
    kinds: tuple[tuple[tuple[Region, int], ...], ...]


@dataclass(frozen=True, eq=False)
class ChainCut:
    """A grid of pieces. pieces: in order. slab: channels of a slab, 0 for all. rings: as in ChainPlan. rows, columns: what they need.
    Bytes of the largest piece, or slab of one, for each input and each output; of all pieces for each input and for the last
    output."""

    pieces: Sequence[Region]
    slab: int
    rings: tuple[int, ...]
    rows: Bands
    columns: _Columns
    largest_inputs: tuple[int, ...]
    largest_made: tuple[int, ...]
    loaded: tuple[int, ...]
    stored: int

    def shapes(self, i: int) -> list[tuple[Region, int]]:
        """For each shape that task i's parts have, a region of it and how many have it."""
        return [
            (Region(row0, row1, r.x0, r.x1), n * m)
            for row0, row1, n in self.rows.kinds[i]
            for r, m in self.columns.kinds[i]
        ]


def _kinds(regions: Sequence[Region], placed: bool) -> tuple[tuple[Region, int], ...]:
    """The first region of each width, and how many have it; none of those that are empty. placed: windows at the edges of pools are
    smaller, so for them places count too."""
    out: dict[object, tuple[Region, int]] = {}
    for r in regions:
        if not r.empty:
            kind = (r.x0, r.x1) if placed else r.width
            first, n = out.get(kind, (r, 0))
            out[kind] = first, n + 1
    return tuple(out.values())


class ChainCuts:
    """Cuts of one chain."""

    def __init__(self, chain: Chain, bus_bytes: int):
        self.chain, self.bus_bytes = chain, bus_bytes
        self._bands = BandsOf(chain)
        self._cuts: dict[tuple[int, int, int, tuple[int, ...]], ChainCut] = {}
        self._known_rows: dict[tuple[int, tuple[int, ...]], Bands] = {}
        self._ring_rows: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self._widths: dict[int, _Columns] = {}

    def measured(self, band: int, width: int, slab: int = 0, aligned: bool | None = None) -> ChainCut:
        """A grid of pieces of `band` rows and `width` elements. slab: channels of a slab, 0 for all. aligned: of rings, None where there are
        none."""
        key = band, width, slab, () if aligned is None else self._rings(band)[aligned]
        if key not in self._cuts:
            self._cuts[key] = self._measure(*key)
        return self._cuts[key]

    def _measure(self, band: int, width: int, slab: int, rings: tuple[int, ...]) -> ChainCut:
        """The measures of a cut: a piece's rows alone decide which rows it needs, and likewise its columns."""
        chain, layout = self.chain, self.chain.output.layout
        rows, across = self._rows(band, rings), self._columns(width)
        made = [n * most for n, most in zip(rows.made, across.made, strict=True)]
        if slab:
            pixel, bus = chain.cut.pixel, self.bus_bytes
            made = [
                n * task.output.layout.slab_stride(r, pixel, slab, bus)
                for n, r, task in zip(rows.made, across.widest, chain.tasks, strict=True)
            ]
        for i, ring in enumerate(rings):
            if ring:
                made[i] = ring * across.made[i]
        return ChainCut(
            Grid(layout, chain.cut.image_rows, band, width, downwards=bool(rings)),
            slab,
            rings,
            rows,
            across,
            tuple(n * most for n, most in zip(rows.inputs, across.inputs, strict=True)),
            tuple(made),
            tuple(n * total for n, total in zip(rows.all_inputs, across.all_inputs, strict=True)),
            rows.all_made[-1] * across.all_made,
        )

    def _rings(self, band: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Rows of each task's ring: the fewest, and aligned."""
        if band not in self._ring_rows:
            chain = self.chain
            measured = self._bands.measure(
                band, tuple(int(i in chain.ringable) for i in range(len(chain.tasks))), parts=False
            )
            self._ring_rows[band] = measured.rings(False), measured.rings(True)
        return self._ring_rows[band]

    def _rows(self, band: int, rings: tuple[int, ...]) -> Bands:
        if (band, rings) not in self._known_rows:
            self._known_rows[band, rings] = self._bands.measure(band, rings)
        return self._known_rows[band, rings]

    def _columns(self, width: int) -> _Columns:
        if width not in self._widths:
            chain, bus = self.chain, self.bus_bytes
            image, end = chain.cut.image_rows, chain.output.layout.row_elements
            needs = [chain.needs(Region(0, image, x, min(x + width, end))) for x in range(0, end, width)]
            loaded = [operand.layout for operand in chain.inputs]
            inputs = [[layout.bus_width(of.inputs[i], bus) for of in needs] for i, layout in enumerate(loaded)]
            made = list(zip(*(of.made for of in needs), strict=True))
            outputs = [task.output.layout for task in chain.tasks]
            widths = [[layout.bus_width(r, bus) for r in of] for layout, of in zip(outputs, made, strict=True)]
            self._widths[width] = _Columns(
                tuple(max(of) for of in inputs),
                tuple(sum(of) for of in inputs),
                tuple(max(of) for of in widths),
                sum(widths[-1]),
                tuple(max(of, key=lambda r: r.width) for of in made),
                tuple(_kinds(of, task.pooled is not None) for task, of in zip(chain.tasks, made, strict=True)),
            )
        return self._widths[width]
