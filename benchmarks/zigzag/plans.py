"""A mapping of ZigZag's as plans of ours: what of it our machine executes, and the nearest that it does where it cannot.

ZigZag orders loops and says how far out each operand's buffer reaches. In our terms:

* The pixels that the inputs' buffer holds are a piece, and the loops around them the order of the pieces. Where a piece's
  input and output do not fit together, its rows are cut down, then its columns, to the most that fit.
* The output channels that the weights' buffer holds are a weight block, whole channel tiles; fewer where those do not fit.
* Weights that are fetched once stay on chip where all fit, whatever the order. Else every piece loads them again: with
  output channels outermost, each piece's output would have to wait on chip, and it goes outside.
* A reduction that is split in the weights' buffer is one in parts of as many steps, for one channel tile and as many pixels as
  the partial-sum memory holds; and, where a channel tile's weights fit, a whole one, which saves the sums' wait.
* All output channels, and the whole reduction, of a piece are on chip with it.

ZigZag does not place buffers in banks, so that every placement of ours is a plan; and where the largest pieces that fit leave no
room to load one while another is computed, the largest that do stand beside them. The price of a mapping is the best of these
plans under exact timing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.zigzag.temporal import CHANNELS, PIXELS, REDUCTION, TemporalMapping
from intaglio.machine.config import Config
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.emit.overlap import overlapped
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.schedule.schedule import Schedule
from intaglio.mapper.search.stopwatch import Clock, Stopwatch
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.groups import Groups, record_bytes, weight_bytes
from intaglio.mapper.tasks.parts import partial_pixels
from intaglio.mapper.tiling.buffers import Buffers, Setting, Wanted, placements
from intaglio.mapper.tiling.cuts import Pieces
from intaglio.mapper.tiling.estimate import Cycles
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.network.graph import Graph
from intaglio.program.layout import Region, align_up
from intaglio.sim.engines import NEVER
from intaglio.verifier.validate import validate_commands


@dataclass(frozen=True)
class Priced:
    """cycles: of the best plan near a mapping, exact; None where no plan near it fits. notes: where the plan is not the mapping.
    schedule: of the plan."""

    cycles: int | None
    notes: tuple[str, ...]
    schedule: Schedule | None


def price(graph: Graph, config: Config, mapping: TemporalMapping, clock: Clock) -> Priced:
    """graph: of one convolution or fully connected layer. The best plan's commands are proven legal."""
    network = accepted(graph, config)
    schedule = Scheduler(network, config, False).run()
    (placed,) = schedule.layers
    (task,) = placed.chain.tasks
    assert isinstance(task, ConvTask)
    setting = Setting((None, None), True, ((0, config.activation_bytes),))
    outside = schedule.outside | set(network.inputs) | set(network.outputs)
    translation = Translation(task, config, mapping, setting)
    best: tuple[int, Schedule] | None = None
    stopped: list[str] = []
    watch = Stopwatch(network, config, clock)
    for plan in translation.plans():
        layer = replace(placed, plan=plan, setting=setting, fetched=())
        option = Schedule((layer,), frozenset(outside), 0.0)
        cycles = watch.alone(option, layer)
        if cycles == NEVER:
            stopped.append("a plan near it stops the machine")
            continue
        if best is None or cycles < best[0]:
            best = cycles, option
    notes = (*translation.notes, *stopped[:1])
    if best is None:
        return Priced(None, (*notes, "nothing near it fits"), None)
    emitted = emit(network, config, best[1])
    overlapped(config, emitted)
    validate_commands(emitted.commands, config, emitted.size, len(network.layers))
    return Priced(best[0], notes, best[1])


class Translation:
    """The plans near one mapping. notes: where they are not the mapping itself, after `plans` was run through."""

    def __init__(self, task: ConvTask, config: Config, mapping: TemporalMapping, setting: Setting):
        self.task, self.config, self.mapping, self.setting = task, config, mapping, setting
        self.notes: list[str] = []

    def plans(self) -> Iterator[LayerPlan]:
        groups = self._groups()
        for pieces, buffers in self._pieces():
            for group in groups:
                yield LayerPlan(pieces, buffers, group, Cycles(0.0, 0.0))

    # Weights.

    def _groups(self) -> list[Groups]:
        task, config, mapping = self.task, self.config, self.mapping
        if weight_bytes(config, task.geometry.whole_part, 1) > config.weight_bytes:
            self.notes.append(
                f"one channel tile's weights do not fit; parts for {partial_pixels(config, task)} pixels at a time"
            )
            return self._parts()
        split = []
        if mapping.held("W", *REDUCTION) < mapping.whole(*REDUCTION):
            self.notes.append("a reduction split over several channel tiles; ours for one at a time, or whole")
            split = self._parts()
        return split + self._whole_groups()

    def _whole_groups(self) -> list[Groups]:
        task, config, mapping = self.task, self.config, self.mapping
        part, count = task.geometry.whole_part, task.channel_tiles(config)
        wanted = min(-(-mapping.held("W", *CHANNELS) // task.tile_width(config)), count)
        fits = [n for n in range(1, wanted + 1) if self._block_fits(n)]
        if not fits:
            return []
        each = fits[-1]
        if each < wanted:
            self.notes.append(f"weights of {wanted} channel tiles do not fit; {each}")
        if (
            mapping.turns("W", PIXELS) == 1
            and -(-count // each) * weight_bytes(config, part, each) <= config.weight_bytes
        ):
            return [Groups(each, True, False, (part,))]
        if mapping.turns("W", PIXELS) == 1 and mapping.turns("I", PIXELS) > 1:
            self.notes.append("output channels outermost, weights fetched once; ours for each piece")
        doubled = [n for n in fits if 2 * weight_bytes(config, part, n) <= config.weight_bytes]
        return [Groups(n, False, False, (part,)) for n in dict.fromkeys([each, *doubled[-1:]])]

    def _block_fits(self, tiles: int) -> bool:
        block = weight_bytes(self.config, self.task.geometry.whole_part, tiles)
        return block <= self.config.weight_bytes and record_bytes(self.config, tiles) <= self.config.channel_bytes

    def _parts(self) -> list[Groups]:
        words = self.config.weight_bytes // self.config.weight_word_bytes
        if self.task.geometry.depthwise or words == 0:
            return []
        held = min(self.mapping.held("W", *REDUCTION), words)
        options = {tuple(self.task.geometry.parts(most)) for most in (held, min(held, max(words // 2, 1)))}
        return [Groups(1, False, False, parts) for parts in sorted(options, key=len) if len(parts) > 1]

    # Pixels.

    def _pieces(self) -> Iterator[tuple[tuple[Region, ...], Buffers]]:
        """The largest pieces that fit, and the largest of which two do, each with every placement."""
        g, mapping = self.task.geometry, self.mapping
        if mapping.turns("I", REDUCTION) > 1:
            self.notes.append("input held in parts of the reduction; ours is whole")
        if mapping.turns("I", ("G",)) > 1:
            self.notes.append("input held in parts of the groups; ours are whole pixels")
        rows, cols = min(mapping.held("I", "OY"), self.task.cut.most_rows), mapping.held("I", "OX")
        unit = self._unit()
        whole = align_up(cols, unit) if cols < g.out_cols else g.out_cols
        sizes = [(r, whole) for r in range(rows, 0, -1)] + [
            (1, c) for c in range(align_up(whole, unit) - unit, 0, -unit)
        ]
        found: list[tuple[tuple[int, int], list[Buffers]]] = []
        for size in sizes:
            pieces = self._cut(*size)
            placed = list(self._placements(pieces))
            if placed and not found:
                found.append((size, placed))
                yield from ((pieces, buffers) for buffers in placed)
            if (placed and len(pieces) == 1) or any(_doubled(buffers) for buffers in placed):
                if size != found[0][0]:
                    yield from ((pieces, buffers) for buffers in placed)
                break
        if found and found[0][0] != (rows, cols):
            (r, c), _ = found[0]
            self.notes.append(f"pieces of {rows} x {cols} pixels do not fit; {r} x {c}")

    def _unit(self) -> int:
        """Pixels of the narrowest piece of whole bus words."""
        n = 1
        while n * self.task.geometry.out_channels % self.config.bus_bytes:
            n += 1
        return n

    def _cut(self, rows: int, cols: int) -> tuple[Region, ...]:
        """The mapping's pieces in its order, cut down to `rows` rows of `cols` pixels."""
        g = self.task.geometry
        found: dict[Region, None] = {}
        for block in self.mapping.blocks("I", PIXELS):
            for image in block["B"]:
                for y in range(block["OY"].start, block["OY"].stop, rows):
                    first = block["OX"].start - block["OX"].start % cols if cols < g.out_cols else 0
                    for x in range(first, block["OX"].stop, cols):
                        stop = min(y + rows, block["OY"].stop)
                        at = image * g.out_rows
                        found[
                            Region(at + y, at + stop, x * g.out_channels, min(x + cols, g.out_cols) * g.out_channels)
                        ] = None
        return tuple(found)

    def _placements(self, pieces: tuple[Region, ...]) -> Iterator[Buffers]:
        largest = Pieces(self.task, self.config.bus_bytes, list(pieces)).largest
        whole = [operand.layout.size for operand in (*self.task.inputs, self.task.output)]
        return placements(self.config, self.setting, whole, Wanted(tuple(largest[:-1]), (), largest[-1]), len(pieces))


def _doubled(buffers: Buffers) -> bool:
    return len(buffers.inputs[0]) > 1 and len(buffers.output) > 1
