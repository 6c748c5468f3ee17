"""Random networks with concatenations, slices, paddings and transpositions between layers, mapped onto machines: what the makers
write in place, what readers see as views, and what is copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from mapper_check import check
from mapper_graphs import MACHINES, SAME, Builder

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import LocalMemory, Opcode
from intaglio.network import moves
from intaglio.network.execute import execute, random_inputs
from intaglio.network.graph import Box, Graph, Move
from intaglio.program.program import Program
from intaglio.sim.engines import RunResult, run_program
from intaglio.verifier.footprint import footprints
from intaglio.verifier.overwritten import _TOUCHED


class Mover(Builder):
    """A builder of graphs that has moves too."""

    def move(self, sources: Sequence[str], boxes: Sequence[Box], shape: Sequence[int], what: str) -> str:
        name = self.tensor(tuple(shape))
        self.operators.append(Move(self._name(), tuple(sources), (name,), tuple(boxes), what))
        return name

    def concat(self, sources: Sequence[str], axis: int) -> str:
        shapes = [self.tensors[x].shape for x in sources]
        shape = [sum(s[axis] for s in shapes) if a == axis else n for a, n in enumerate(shapes[0])]
        return self.move(sources, moves.concatenated(shapes, axis), shape, "Concat")

    def take(self, x: str, axis: int, indices: Sequence[int]) -> str:
        shape = self.tensors[x].shape
        boxes = moves.by_axis(shape, {axis: indices}, value=int(self.random.integers(-128, 128)))
        return self.move([x], boxes, [len(indices) if a == axis else n for a, n in enumerate(shape)], "Take")

    def shuffle(self, x: str, groups: int) -> str:
        """A channel shuffle, as ShuffleNet has it."""
        n, h, w, c = self.tensors[x].shape
        boxes = moves.permuted((n, h, w, groups, c // groups), (0, 1, 2, 4, 3))
        return self.move([x], boxes, (n, h, w, c), "Transpose")


def network(seed: int) -> Graph:
    b = Mover(seed)
    rng = np.random.default_rng([seed, 1])
    n, h, w = (int(v) for v in (rng.integers(1, 3), rng.integers(3, 9), rng.integers(3, 9)))
    tensors = [b.input(n, h, w, int(rng.integers(1, 12)))]

    def some() -> str:
        return tensors[-1 - int(rng.integers(min(len(tensors), 4)))]

    for _ in range(int(rng.integers(4, 11))):
        x = some()
        shape = b.tensors[x].shape
        axis = int(rng.choice([1, 2, 3, 3, 3]))
        match rng.choice(
            [
                "conv",
                "conv",
                "depthwise",
                "concat",
                "concat",
                "slice",
                "split",
                "pad",
                "shuffle",
                "twice",
                "add",
                "pool",
            ]
        ):
            case "conv":
                y = b.conv(
                    x,
                    int(rng.integers(1, 20)),
                    (int(k := rng.choice([1, 3])), int(k)),
                    padding=SAME if k == 3 else None,
                )
            case "depthwise":
                y = b.conv(x, shape[3], (3, 3), padding=SAME, groups=shape[3])
            case "concat":
                alike = [t for t in dict.fromkeys(tensors) if _fits(b.tensors[t].shape, shape, axis)]
                y = b.concat([*rng.permutation(alike)[:3], *([x] if rng.integers(4) == 0 else [])], axis)
            case "slice":
                first = int(rng.integers(shape[axis]))
                step = int(rng.integers(1, 3)) if axis < 3 else 1
                y = b.take(x, axis, range(first, shape[axis], step))
            case "split":
                half = max(1, shape[3] // 2)
                parts = [
                    b.take(x, 3, range(0, half)),
                    *([b.take(x, 3, range(half, shape[3]))] if half < shape[3] else []),
                ]
                tensors += parts
                continue
            case "pad":
                y = b.take(x, axis, [-1, *range(shape[axis]), -1, -1])
            case "shuffle":
                y = b.shuffle(x, 2) if shape[3] % 2 == 0 else b.take(x, axis, range(shape[axis] - 1, -1, -1))
            case "twice":
                y = b.take(x, axis, np.repeat(np.arange(shape[axis]), 2).tolist())
            case "add":
                y = b.add(x, b.rescale(x))
            case _:
                y = b.maximum(x, (2, 2), (1, 1)) if min(shape[1:3]) > 2 else b.rescale(x)
        if np.prod(b.tensors[y].shape) < 30_000:
            tensors.append(y)
    read = {name for op in b.operators for name in op.inputs}
    ends = [name for op in b.operators for name in op.outputs if name not in read]
    if rng.integers(3) == 0:
        ends.append(b.dense(ends[-1], 5))
    return b.graph(*dict.fromkeys(ends))


def _fits(a: Sequence[int], b: Sequence[int], axis: int) -> bool:
    return all(m == n for i, (m, n) in enumerate(zip(a, b, strict=True)) if i != axis)


@pytest.mark.parametrize("seed", range(60))
def test_random_networks(seed: int) -> None:
    graph, (name, settings) = network(seed), MACHINES[seed % len(MACHINES)]
    config = load_config(name, settings)
    check(graph, config, keep_all=seed % 3 == 0, seed=seed)


def run(program: Program, graph: Graph, config: Config, engine: str, seed: int) -> RunResult:
    wanted = execute(graph, random_inputs(graph, seed))
    return run_program(config, program, {name: wanted[name] for name in program.inputs}, engine)


@pytest.mark.parametrize(
    "seed", [3, 7, pytest.param(10, marks=pytest.mark.slow), pytest.param(12, marks=pytest.mark.slow)]
)
def test_on_the_rtl(seed: int) -> None:
    graph, (name, settings) = network(seed), MACHINES[seed % len(MACHINES)]
    config = load_config(name, settings)
    program = check(graph, config, keep_all=True, seed=seed)
    host, rtl = (run(program, graph, config, engine, seed) for engine in ("host", "rtl"))
    assert (host.cycles, host.counters) == (rtl.cycles, rtl.counters)
    assert np.array_equal(host.memory, rtl.memory)


def pools(program: Program) -> int:
    """Commands that copy."""
    return sum(command.opcode is Opcode.POOL for command in program.commands)


def test_what_is_put_together_is_written_in_place() -> None:
    """Two convolutions into one tensor, and that into a larger one: no commands of their own; nor has reading a part."""
    b = Mover(1)
    x = b.input(1, 8, 8, 4)
    first = b.concat([b.conv(x, 8, (1, 1)), b.conv(x, 5, (3, 3), padding=SAME)], 3)
    both = b.concat([b.conv(first, 6, (1, 1)), first], 3)
    half = b.take(both, 3, range(6, 14))
    below = b.take(half, 1, range(2, 8, 2))
    graph = b.graph(b.conv(below, 7, (1, 1)), b.conv(both, 3, (1, 1)))
    for settings in ([], ["activation_bytes=8192", "activation_banks=2"]):
        for keep_all in (False, True):
            assert pools(check(graph, load_config("tiny16", settings), keep_all)) == 0


def test_a_padding_writes_its_constants_alone() -> None:
    b = Mover(2)
    x = b.conv(b.input(1, 6, 6, 3), 8, (1, 1))
    y = b.take(b.take(x, 1, [-1, *range(6), -1]), 2, [-1, *range(6), -1, -1])
    program = check(b.graph(b.conv(y, 4, (3, 3)), b.conv(y, 2, (2, 2))), load_config("tiny16"))
    moved = [c for c in program.commands if c.opcode is Opcode.POOL]
    assert moved and all(c["clamp_min"] == c["clamp_max"] for c in moved)


def test_parts_that_do_not_fit_on_chip_together_are_copied() -> None:
    b = Mover(3)
    x = b.input(1, 16, 16, 4)
    y = b.concat([b.conv(x, 8, (1, 1)), b.conv(x, 8, (3, 3), padding=SAME)], 3)
    graph = b.graph(b.conv(y, 4, (1, 1)))
    assert pools(check(graph, load_config("tiny16"))) == 0
    small = load_config("tiny16", ["activation_bytes=2048", "activation_banks=2"])
    assert pools(check(graph, small)) > 0


def test_a_copy_is_taken_where_gaps_cost_more() -> None:
    """Windows of 3 x 3 over 4 channels: as a part of 64 each pixel is a run, by themselves each row of a window."""
    b = Mover(4)
    x = b.input(1, 12, 12, 64)
    part = b.take(x, 3, range(8, 12))
    config = load_config("edge64")
    assert pools(check(b.graph(b.conv(part, 64, (5, 5))), config)) > 0
    b = Mover(4)
    part = b.take(b.input(1, 12, 12, 64), 3, range(0, 32))
    assert pools(check(b.graph(b.conv(part, 8, (1, 1))), config)) == 0


def test_rows_that_windows_cannot_read_are_copied() -> None:
    """A reshape whose rows are padded otherwise, behind it a concatenation."""
    b = Mover(5)
    x = b.dense(b.input(1, 4, 4, 3), 10)
    graph = b.graph(b.concat([b.reshape(x, 1, 2, 5), b.input(1, 2, 5)], 1))
    check(graph, load_config("tiny16"))


@pytest.mark.parametrize("seed", range(30))
def test_a_command_that_writes_between_what_it_reads(seed: int) -> None:
    """The bytes of commands with gaps, as `overwrites_input` has them, are those that the host touches."""
    config = load_config("tiny16")
    program = check(network(seed), config, seed=seed)
    for command in program.commands:
        if command.opcode in (Opcode.CONV, Opcode.DEPTHWISE, Opcode.POOL):
            reads, writes = _TOUCHED[command.opcode]
            prints = [p for p in footprints(config, command) if p.memory is LocalMemory.ACTIVATION]
            for exact, write in ((reads(command), False), (writes(config, command), True)):
                mine = np.zeros(config.activation_bytes, bool)
                for at in exact:
                    mine[at] = True
                around = np.zeros(config.activation_bytes, bool)
                for p in prints:
                    if p.write is write:
                        for low, high in zip(p.starts, p.ends, strict=True):
                            around[low:high] = True
                assert not (mine & ~around).any()
                assert mine.any() == around.any()
                if around.any():
                    ends = [np.flatnonzero(m)[[0, -1]].tolist() for m in (mine, around)]
                    assert ends[0] == ends[1]
