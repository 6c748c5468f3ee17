"""COMPUTE's cycles that plans are compared and bounded by are what the commands of their pieces take."""

from __future__ import annotations

import numpy as np
import pytest
from mapper_check import check_program
from mapper_graphs import Builder

from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Opcode
from intaglio.machine.timing import added_cycles
from intaglio.mapper import map_proven
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.job import Job
from intaglio.network.graph import Graph, Padding
from intaglio.program.layout import View
from intaglio.sim.engines import cycles_of

SMALL = ["activation_bytes=2048", "weight_bytes=1024", "channel_bytes=256"]
MACHINES = [
    ("tiny16", SMALL),
    ("tiny16", [*SMALL, "rows=3", "cols=5", "requantizers=5", "bus_bytes=4", "memory.bytes_per_cycle=4"]),
]


def drawn(seed: int) -> Graph:
    """One layer: a window of any size, with padding up to as many rows as it has but one, an addition or a reshape."""
    rng = np.random.default_rng(seed)
    b = Builder(seed)
    images, height, width = int(rng.integers(1, 3)), int(rng.integers(3, 20)), int(rng.integers(3, 20))
    x = b.input(images, height, width, int(rng.integers(1, 20)))
    match seed % 4:
        case 0:
            return b.graph(b.add(x, b.input(*b.tensors[x].shape)))
        case 1:
            return b.graph(b.reshape(x, images, width, height, b.tensors[x].shape[3]))
        case _:
            window = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
            top, left = (int(rng.integers(0, k)) for k in window)
            padding = Padding(top=top, bottom=window[0] - 1 - top, left=left, right=window[1] - 1 - left)
            stride = int(rng.integers(1, 4)), int(rng.integers(1, 4))
            return b.graph(b.average(x, window, stride, padding))


@pytest.mark.parametrize("machine", range(len(MACHINES)))
@pytest.mark.parametrize("seed", range(16))
def test_pieces(seed: int, machine: int) -> None:
    config = load_config(MACHINES[machine][0], MACHINES[machine][1])
    for planner in Scheduler(accepted(drawn(seed), config), config, False).planners:  # a reshape may be none
        task = planner.task
        assert not isinstance(task, ConvTask)
        *inputs, output = [View(0, operand.layout.stride) for operand in (*task.inputs, task.output)]
        for cut in planner._cuts.all:
            commands = [c for piece in cut.pieces for c in task.commands(config, Job(piece, tuple(inputs), output))]
            assert planner._compute_cycles(cut, None) == sum(added_cycles(config, c) for c in commands)


@pytest.mark.parametrize("channels", [9, 12, 20])
@pytest.mark.parametrize("dilation", [1, 3])
def test_windows_in_blocks(channels: int, dilation: int) -> None:
    config = load_config(
        "tiny16", ["activation_bytes=512", "weight_bytes=256", "channel_bytes=64", "activation_banks=1"]
    )
    b = Builder(channels)
    x = b.input(2, 31, 40, channels)
    graph = b.graph(
        b.maximum(x, (9, 13), (2, 3), Padding(top=8, bottom=2, left=1, right=9), dilation=(dilation, dilation))
    )
    network = accepted(graph, config)
    schedule = Scheduler(network, config, False).run()
    (layer,) = schedule.layers
    taken = sum(added_cycles(config, c) for c in emit(network, config, schedule).commands if c.opcode is Opcode.POOL)
    assert layer.plan.blocks is not None
    assert layer.plan.cycles.bound == taken


@pytest.mark.parametrize("seed", [6, 7, 10, 11, 14, 15])
def test_no_bound_is_above_what_a_proven_layer_takes(seed: int) -> None:
    """Windows of which many lie in the padding in part: bands far from the edges have smaller ones too."""
    graph, config = drawn(seed), load_config("tiny16", SMALL)
    program, _ = map_proven(graph, config, cycles_of)
    check_program(graph, config, program, list(program.outputs))
