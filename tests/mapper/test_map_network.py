"""Programs compute what the reference executor computes, on every shape of accelerator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mapper_check import check
from mapper_graphs import Builder

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Engine, Opcode
from intaglio.machine.timing import compute_cycles
from intaglio.network.graph import Graph, Padding
from intaglio.network.tflite.importer import load_tflite
from tests.onnx_arithmetic import in_onnx_arithmetic

MODELS = Path("/work/shared/models")
CONFIGS = {
    "tiny16": ("tiny16", []),
    "tiny16 bus 32": ("tiny16", ["bus_bytes=32"]),
    "5x7": ("tiny16", ["rows=5", "cols=7", "requantizers=3"]),
    "1x1": ("tiny16", ["rows=1", "cols=1", "requantizers=1", "bus_bytes=4", "memory.bytes_per_cycle=3"]),
    "small": ("tiny16", ["activation_bytes=1024", "weight_bytes=256", "channel_bytes=128"]),
    "one bank": ("tiny16", ["activation_bytes=2048", "activation_banks=1", "weight_bytes=1024"]),
    "edge64": ("edge64", []),
    "wide": ("wide", []),
    "edge256": ("edge256", ["bus_bytes=16", "memory.bytes_per_cycle=16"]),
}
BENCHMARK = ("edge256", ["bus_bytes=16", "memory.bytes_per_cycle=16"])


def config_of(name: str) -> Config:
    base, overrides = CONFIGS[name]
    return load_config(base, overrides)


def one_of_each(seed: int) -> Graph:
    b = Builder(seed)
    x = b.conv(b.input(1, 9, 11, 3), 6, (3, 3), (2, 1), padding=Padding(1, 1, 1, 1))
    y = b.conv(x, 6, (3, 3), padding=Padding(1, 1, 1, 1))
    x = b.add(x, y)
    x = b.average(x, (3, 2), (2, 2), Padding(1, 1, 0, 1))
    x = b.rescale(x)
    x = b.conv(x, 10, (2, 2), dilation=(1, 2))
    y = b.mean(x)
    return b.graph(b.dense(x, 13), b.dense(y, 5), y)


@pytest.mark.parametrize("keep_all", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_one_of_each(name: str, keep_all: bool) -> None:
    check(one_of_each(3), config_of(name), keep_all, seed=4)


@pytest.mark.parametrize("name", CONFIGS)
def test_one_of_each_in_onnx_arithmetic(name: str) -> None:
    for seed in range(4):
        check(in_onnx_arithmetic(one_of_each(seed), seed), config_of(name), keep_all=bool(seed % 2), seed=seed)


@pytest.mark.parametrize("name", CONFIGS)
def test_random_convolutions(name: str) -> None:
    for seed in range(12):
        random = np.random.default_rng(seed)
        b = Builder(seed)
        kernel = (int(random.integers(1, 5)), int(random.integers(1, 5)))
        dilation = (int(random.integers(1, 3)), int(random.integers(1, 3)))
        padding = Padding(*(int(n) for n in random.integers(0, 3, 4)))
        size = [int(n) for n in random.integers(9, 14, 2)]
        x = b.input(int(random.integers(1, 3)), *size, int(random.integers(1, 18)))
        stride = (int(random.integers(1, 4)), int(random.integers(1, 4)))
        y = b.conv(x, int(random.integers(1, 20)), kernel, stride, dilation, padding)
        check(b.graph(y), config_of(name), seed=seed)


@pytest.mark.parametrize("name", CONFIGS)
def test_batches_and_reshapes(name: str) -> None:
    b = Builder(5)
    x = b.conv(b.input(2, 6, 5, 3), 5, (3, 3))
    flat = b.reshape(x, 2, 60)
    y = b.dense(flat, 9)
    moved = b.reshape(x, 2, 6, 10)
    check(b.graph(y, moved), config_of(name), keep_all=True)


@pytest.mark.parametrize("name", ["small", "tiny16", "edge64"])
def test_reduction_in_parts(name: str) -> None:
    b = Builder(6)
    y = b.dense(b.input(2, 3000), 11)
    x = b.conv(b.input(1, 3, 3, 400), 5, (3, 3), padding=Padding(1, 1, 1, 1))
    z = b.conv(b.input(1, 5, 5, 30), 5, (2, 2), dilation=(2, 2))
    program = check(b.graph(y, x, z), config_of(name))
    convs = [c for c in program.commands if c.opcode is Opcode.CONV]
    if name == "small":
        assert any(not c["start"] for c in convs)


def test_columns() -> None:
    b = Builder(7)
    x = b.conv(b.input(1, 6, 300, 4), 8, (3, 3), padding=Padding(1, 1, 1, 1))
    y = b.add(x, b.conv(x, 8, (1, 1)))
    check(b.graph(b.average(y, (2, 2), (2, 2))), config_of("small"))


def test_residual_block_stays_on_chip() -> None:
    b = Builder(8)
    x = b.conv(b.input(1, 8, 8, 16), 16, (3, 3), padding=Padding(1, 1, 1, 1))
    y = b.conv(x, 16, (3, 3), padding=Padding(1, 1, 1, 1))
    x = b.add(x, y)
    program = check(b.graph(x), load_config("edge64"))
    assert set(program.places) == {*program.inputs, *program.outputs}


@pytest.mark.conformance
@pytest.mark.parametrize("model", ["ic_resnet8", "ad"])
@pytest.mark.parametrize("keep_all", [False, True])
@pytest.mark.parametrize("name", ["tiny16", "5x7", "edge64", "wide", "edge256"])
def test_real_models(name: str, model: str, keep_all: bool) -> None:
    path = MODELS / f"mlptiny_{model}_int8.tflite"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    program = check(load_tflite(path), config_of(name), keep_all)
    assert program.macs == {"ic_resnet8": 12_501_632, "ad": 264_192}[model]
    if model == "ic_resnet8" and name == "edge256" and not keep_all:
        config = config_of(name)
        busy = sum(compute_cycles(config, c) for c in program.commands if c.engine is Engine.COMPUTE)
        assert busy < 57_500
