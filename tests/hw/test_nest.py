"""Nests of loops alone: random depths, bounds, steps and stalls, beside loops of Python."""

from __future__ import annotations

import itertools
import random

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from units import simulate

from intaglio.hw.nest import Ahead, Either, Last, Nest

SHAPE = signed(20)


class Loops(wiring.Component):
    """A nest of `depth` loops and walks, each of the loops that its list names (0: the innermost). A loop of `given`
    has its last turn told from outside. `inner`: a nest inside of the first one's, with a walk that begins where that
    of the first stands."""

    def __init__(self, depth: int, walks: list[list[int]], given: set[int], settled: bool):
        self.depth, self.walks, self.given, self.settled = depth, walks, given, settled
        super().__init__(
            {
                "advance": In(1),
                "restart": In(1),
                "bounds": In(16).array(depth),
                "lasts": In(1).array(depth),
                "starts": In(SHAPE).array(len(walks)),
                "steps": In(SHAPE).array(len(walks), depth),
                "counts": Out(16).array(depth),
                "turns": Out(1).array(depth),
                "ends": Out(1),
                "now": Out(SHAPE).array(len(walks)),
                "next": Out(SHAPE).array(len(walks)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        loops = {f"l{i}": Last(self.lasts[i]) if i in self.given else self.bounds[i] for i in range(self.depth)}
        nest = Nest(m, "nest", self.advance, self.restart, self.settled, **loops)
        m.d.comb += self.ends.eq(nest.ends)
        for i, loop in enumerate(loops):
            m.d.comb += self.turns[i].eq(nest.turns[loop])
            if i not in self.given:
                m.d.comb += self.counts[i].eq(nest.count(loop, 16))
        for w, levels in enumerate(self.walks):
            walk = nest.walk(f"w{w}", SHAPE, self.starts[w], **{f"l{i}": self.steps[w][i] for i in levels})
            m.d.comb += [self.now[w].eq(walk.now), self.next[w].eq(walk.next)]
        return m


def model(bounds: list[int], start: int, steps: dict[int, int]):
    """The value of a walk in each turn, loop by loop: start and, for each loop with a step, as many steps as turns
    before; one of loops around all of the walk's changes nothing."""
    for turn in itertools.product(*(range(bound) for bound in reversed(bounds))):
        yield start + sum(steps.get(i, 0) * count for i, count in enumerate(reversed(turn)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_nests_walk_as_loops_do(depth: int, seed: int) -> None:
    rng = random.Random(100 * depth + seed)
    walks = [
        [depth - 1],
        list(range(depth)),
        *(sorted(rng.sample(range(depth), rng.randint(1, depth))) for _ in range(3)),
    ]
    given = set(rng.sample(range(depth), rng.randint(0, depth - 1)))
    settled = rng.random() < 0.5
    dut = Loops(depth, walks, given, settled)
    stalls = rng.choice([0, 0.2, 0.7])

    async def bench(ctx):
        for run in range(4):
            bounds = [rng.choice([1, 1, 2, 3]) for _ in range(depth)]
            starts = [rng.randrange(-5000, 5000) for _ in walks]
            steps = [[rng.randrange(-2000, 2000) for _ in range(depth)] for _ in walks]
            for i, bound in enumerate(bounds):
                ctx.set(dut.bounds[i], bound)
            for w in range(len(walks)):
                ctx.set(dut.starts[w], starts[w])
                for i in range(depth):
                    ctx.set(dut.steps[w][i], steps[w][i])
            if settled:
                await ctx.tick()
            ctx.set(dut.restart, 1)
            ctx.set(dut.advance, rng.getrandbits(1))
            await ctx.tick()
            ctx.set(dut.restart, 0)
            models = [
                list(model(bounds, starts[w], {i: steps[w][i] for i in levels})) for w, levels in enumerate(walks)
            ]
            turns = list(itertools.product(*(range(bound) for bound in reversed(bounds))))
            # All of it twice, since what ends begins anew, or a part that a restart breaks off.
            for at in itertools.islice(
                itertools.cycle(range(len(turns))), rng.choice([2 * len(turns), len(turns) // 2])
            ):
                counts = turns[at][::-1]
                ctx_last = [counts[i] == bounds[i] - 1 for i in range(depth)]
                for i in given:
                    ctx.set(dut.lasts[i], ctx_last[i])
                while True:
                    moves = rng.random() >= stalls
                    ctx.set(dut.advance, moves)
                    for i in range(depth):
                        assert ctx.get(dut.turns[i]) == (moves and all(ctx_last[:i])), (run, at, i)
                        if i not in given:
                            assert ctx.get(dut.counts[i]) == counts[i], (run, at, i)
                    assert ctx.get(dut.ends) == (moves and all(ctx_last))
                    for w, values in enumerate(models):
                        assert ctx.get(dut.now[w]) == values[at], (run, at, w)
                        assert ctx.get(dut.next[w]) == values[(at + moves) % len(turns)], (run, at, w)
                    await ctx.tick()
                    if moves:
                        break
            ctx.set(dut.advance, 0)

    simulate(dut, bench)


class Inside(wiring.Component):
    """Rows of pixels in tiles: an inner nest that begins where a walk of the outer one stands, as the sequencers have
    them; between two tiles the inner one waits for `go`. ahead: the outer one is a move ahead."""

    def __init__(self, ahead: bool) -> None:
        self._ahead = ahead
        outs = {name: Out(16) for name in ("address", "column", "tile")}
        super().__init__({"prepare": In(1), "start": In(1), "step": In(1), "go": In(1), "ends": Out(1), **outs})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        outer = ahead_or_not(m, self._ahead, "outer", self, self.go, tile=4)
        tile = outer.walk("address", 16, 1000, tile=300)
        inner = Nest(m, "inner", self.step, self.start | self.go, x=3, y=Last())
        address = inner.walk("address", 16, tile, x=1, y=20)
        column = inner.walk("column", 16, tile, x=1)  # a turn of y sets it back
        m.d.comb += [self.address.eq(address.now), self.column.eq(column.now)]
        m.d.comb += [self.tile.eq(tile.now), self.ends.eq(inner.turns["y"])]
        return m


def ahead_or_not(m: Module, ahead: bool, name: str, dut, moves, **loops):
    """An Ahead, or a Nest, that begins with dut.start."""
    return Ahead(m, name, dut.prepare, dut.start, moves, **loops) if ahead else Nest(m, name, moves, dut.start, **loops)


async def begin(ctx, dut) -> None:
    for port in (dut.prepare, dut.start):
        ctx.set(port, 1)
        await ctx.tick()
        ctx.set(port, 0)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_nest_inside_of_another(ahead: bool) -> None:
    dut, rng = Inside(ahead), random.Random(1)

    async def bench(ctx):
        await begin(ctx, dut)
        for tile in range(8):
            for i in range(rng.randint(0, 10)):
                ctx.set(dut.step, 1)
                at = 1000 + tile % 4 * 300 + i // 3 * 20 + i % 3
                assert (ctx.get(dut.address), ctx.get(dut.ends)) == (at, i % 3 == 2)
                assert ctx.get(dut.column) == 1000 + tile % 4 * 300 + i % 3
                await ctx.tick()
            ctx.set(dut.step, rng.getrandbits(1))
            ctx.set(dut.go, 1)
            assert ctx.get(dut.tile) == 1000 + tile % 4 * 300
            await ctx.tick()
            ctx.set(dut.go, 0)

    simulate(dut, bench)


class Ragged(wiring.Component):
    """Rows of tiles: `usual` turns, in the last tile `short`, in the very last one, which another nest's flag tells too,
    `least`."""

    def __init__(self, ahead: bool, at_end: bool = False) -> None:
        """at_end: turns of the outer nest in the cycle of the inner one's end are no restarts of that."""
        self._ahead, self._at_end = ahead, at_end
        numbers = {name: In(8) for name in ("tiles", "groups", "usual", "short", "least")}
        ports = {name: In(1) for name in ("prepare", "start", "step", "turn")}
        outs = {name: Out(1) for name in ("ends", "final", "last", "turns", "outer_ends")}
        super().__init__({**ports, **numbers, **outs, "row": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        outer = ahead_or_not(m, self._ahead, "outer", self, self.turn, group=self.groups, all=2)
        rows = Either(("tile", outer.flags["group"]), self.least, Either(("tile",), self.short, self.usual))
        inner_ends = Signal()
        if self._at_end:
            late = self.turn & ~inner_ends
            inner = Nest(m, "inner", self.step, self.start | late, again=self.turn, row=rows, tile=self.tiles)
            m.d.comb += inner_ends.eq(inner.ends)
        else:
            inner = Nest(m, "inner", self.step, self.start | self.turn, row=rows, tile=self.tiles)
        m.d.comb += [self.row.eq(inner.count("row", 8)), self.ends.eq(inner.ends), self.final.eq(outer.final)]
        m.d.comb += [
            self.last.eq(outer.last["group"]),
            self.turns.eq(outer.turns["all"]),
            self.outer_ends.eq(outer.ends),
        ]
        return m


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_turns_that_are_fewer_in_last_turns_around_them(seed: int, ahead: bool, at_end: bool) -> None:
    dut, rng = Ragged(ahead, at_end), random.Random(seed)

    async def bench(ctx):
        for _ in range(6):
            numbers = {name: rng.choice([1, 1, 2, 3, 5]) for name in ("tiles", "groups", "usual", "short", "least")}
            for name, number in numbers.items():
                ctx.set(getattr(dut, name), number)
            await begin(ctx, dut)
            for turn in range(2 * numbers["groups"]):
                turned, group = False, turn % numbers["groups"]
                for tile in range(numbers["tiles"]):
                    last_tile, last_group = tile == numbers["tiles"] - 1, group == numbers["groups"] - 1
                    rows = numbers["usual" if not last_tile else "least" if last_group else "short"]
                    for row in range(rows):
                        while rng.random() < 0.3:
                            ctx.set(dut.step, 0)
                            await ctx.tick()
                        ctx.set(dut.step, 1)
                        ended = last_tile and row == rows - 1
                        assert (ctx.get(dut.row), ctx.get(dut.ends)) == (row, ended), (group, tile, row)
                        # The next group in the cycle that ends this one, or later.
                        turned = ended and rng.getrandbits(1) == 1
                        ctx.set(dut.turn, turned)
                        final = turn == 2 * numbers["groups"] - 1
                        assert (ctx.get(dut.last), ctx.get(dut.final)) == (last_group, final)
                        assert (ctx.get(dut.turns), ctx.get(dut.outer_ends)) == (
                            turned and last_group,
                            turned and final,
                        )
                        await ctx.tick()
                        ctx.set(dut.turn, 0)
                        ctx.set(dut.step, 0)
                if not turned:
                    ctx.set(dut.turn, 1)
                    await ctx.tick()
                    ctx.set(dut.turn, 0)

    simulate(dut, bench)
