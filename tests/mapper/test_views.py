"""Operands as views of larger values: pixels apart, rows and images apart, tensors that begin within a value, as slices and
concatenated tensors do. Every operator's commands, loads and estimates follow the layout alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from mapper_check import check
from mapper_graphs import SAME, Builder

from intaglio.machine.config_files import load_config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import LocalMemory
from intaglio.mapper.lower import lower
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.job import Job
from intaglio.network.execute import execute, random_inputs
from intaglio.network.graph import Graph
from intaglio.program.layout import Layout, Region, align_up, layout_of
from intaglio.sim.functional import _Machine
from intaglio.verifier.legality import faults


def apart(layout: Layout, shape: tuple[int, ...], rng: np.random.Generator, bus: int, images: bool) -> Layout:
    """The same tensor as part of a larger value."""
    channels = shape[-1]
    pitch = channels + int(rng.integers(0, 9))
    first = int(rng.integers(0, 5))
    row = first + (layout.row_elements // channels - 1) * pitch + max(channels, pitch)
    stride = align_up(row, bus) + bus * int(rng.integers(0, 2))
    gap = {"image_rows": shape[1], "image_gap": stride * int(rng.integers(1, 3))} if images else {}
    start = bus * int(rng.integers(0, 4))
    return replace(layout, stride=stride, pixel=channels, pitch=pitch, start=start, first=first, **gap)


def network(seed: int) -> Graph:
    """Every operator, two images."""
    b = Builder(seed)
    x = b.input(2, 9, 7, 6)
    y = b.add(b.conv(x, 10, (3, 3), padding=SAME), b.conv(x, 10, (1, 1)))
    y = b.conv(y, 10, (3, 3), (2, 1), padding=SAME, groups=10)
    y = b.rescale(b.conv(y, 12, (2, 3), padding=SAME, groups=2))
    y = b.maximum(b.average(y, (2, 2), (1, 1)), (2, 2), (1, 2))
    return b.graph(b.dense(b.mean(b.conv(y, 9, (1, 1))), 5), b.conv(y, 4, (3, 2)))


SMALL = ["activation_bytes=2048", "activation_banks=2", "weight_bytes=1024", "channel_bytes=256"]
MACHINES = [
    ("tiny16", ["weight_lanes=2"]),
    ("tiny16", ["rows=3", "cols=5", "bus_bytes=4", "memory.bytes_per_cycle=4", "depthwise_delay=0"]),
    ("edge64", []),
    ("tiny16", SMALL),
]


@pytest.mark.parametrize("machine", range(len(MACHINES)))
@pytest.mark.parametrize("seed", range(6))
def test_whole_networks(seed: int, machine: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the outputs are apart, in memory outside as on chip, or on a small chip the inputs alone: outputs equal the reference."""
    config = load_config(*MACHINES[machine])
    graph, rng = network(seed), np.random.default_rng(seed)
    plain, found = lower._Lowering._layout, {}

    def layout(self: lower._Lowering, name: str) -> Layout:
        if name not in found:
            shape = self.graph.tensors[name].shape
            images = len(shape) == 4 and name not in graph.inputs and seed % 2 > 0
            whole = plain(self, name)
            kept = name in graph.outputs or (MACHINES[machine][1] == SMALL and name not in graph.inputs)
            found[name] = whole if kept else apart(whole, shape, rng, config.bus_bytes, images)
        return found[name]

    monkeypatch.setattr(lower._Lowering, "_layout", layout)
    check(graph, config)
    assert any(x.pitch > x.pixel or x.first or x.start for x in found.values())


def part_of(whole: Layout, shape: Sequence[int], at: Sequence[int], size: Sequence[int]) -> Layout:
    """The layout of a block of an image tensor [N, H, W, C]: a slice of it, or a tensor that is concatenated into it."""
    (image, row, column, channel), (images, rows, columns, channels) = at, size
    _, height, _, depth = shape
    return Layout(
        rows=images * rows,
        row_elements=columns * channels,
        stride=whole.stride,
        pixel=channels,
        pitch=depth,
        start=whole.row_at(image * height + row),
        first=column * depth + channel,
        image_rows=rows,
        image_gap=(height - rows) * whole.stride,
    )


@pytest.mark.parametrize("axis", range(4))
def test_concatenated_and_sliced_along_any_axis(axis: int) -> None:
    """Two convolutions write the two parts of one value, and a third reads a slice that has some of both: no command moves a byte."""
    config = load_config("edge64")
    b, sizes = Builder(axis), [[2, 4, 5, 6], [2, 4, 5, 6]]
    sizes[1][axis] = 3
    first, second = (b.conv(b.input(*size), size[3], (3, 3), padding=SAME) for size in sizes)
    whole = list(sizes[0])
    whole[axis] += sizes[1][axis]
    cut = list(whole)
    cut[axis] -= 2  # an element off either end
    b.conv(b.input(*cut), 7, (2, 2))
    graph = b.graph(first, second, f"t{len(b.tensors) - 1}")
    tasks = [task for task in accepted(graph, config).tasks if isinstance(task, ConvTask)]
    inputs = {name: np.asarray(value) for name, value in random_inputs(graph, axis).items()}
    wanted = execute(graph, inputs)
    joined = np.concatenate([wanted[first], wanted[second]], axis=axis)
    (name,) = [
        name for name in graph.inputs if graph.tensors[name].shape == tuple(cut) and name == tasks[2].inputs[0].tensor
    ]
    sliced = np.take(joined, range(1, joined.shape[axis] - 1), axis=axis)
    wanted = execute(graph, inputs | {name: sliced})

    layout, at = layout_of(whole, config.bus_bytes), [0, 0, 0, 0]
    begin = [list(at), list(at), list(at)]
    begin[1][axis], begin[2][axis] = sizes[0][axis], 1
    parts = [part_of(layout, whole, a, n) for a, n in zip(begin, [*sizes, cut], strict=True)]
    machine = _Machine(config, np.zeros(16, np.uint8))
    activation = machine._local[LocalMemory.ACTIVATION].view(np.int8)
    value, free = 4096, 8192
    for i, task in enumerate(tasks):
        weights = task.weight_block(config, range(task.channel_tiles(config)), task.geometry.whole_part)
        machine._local[LocalMemory.WEIGHT][: len(weights)] = np.frombuffer(weights, np.uint8)
        records = task.record_block(config, range(task.channel_tiles(config)))
        machine._local[LocalMemory.CHANNEL][: len(records)] = np.frombuffer(records, np.uint8)
        if i < 2:
            source = task.inputs[0].layout
            activation[free : free + source.rows * source.stride].reshape(source.rows, -1)[:, : source.row_elements] = (
                inputs[task.inputs[0].tensor].reshape(source.rows, -1)
            )
            view, out = source.view(free), parts[i].view(value)
            moved = task
        else:
            view, out = parts[2].view(value), task.output.layout.view(free)
            moved = replace(task, geometry=replace(task.geometry, packed=False))
        g = task.geometry
        for image in range(g.images):
            region = Region(image * g.out_rows, (image + 1) * g.out_rows, 0, task.output.layout.row_elements)
            for command in moved.commands(config, Job(region, (view,), out)):
                assert not list(faults(config, command, 0)), command
                machine.run(command, np.zeros(len(Counter), np.int64))
    got = activation[free:][: task.output.layout.size].reshape(-1, task.output.layout.stride)
    assert np.array_equal(got[:, : task.output.layout.row_elements].ravel(), wanted[task.output.tensor].ravel())
    stored = activation[value:][: layout.size].reshape(-1, layout.stride)[:, : layout.row_elements]
    assert np.array_equal(stored.ravel(), joined.ravel())
