"""TRANSPOSE_CONV with random parameters: held against LiteRT, and mapped onto machines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from test_litert_operators import int8, scale, zero_point
from tflite_files import FileBuilder

from intaglio.errors import RefusedError
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Opcode
from intaglio.network import load_tflite, random_inputs
from intaglio.network.graph import Conv2D, Move
from tests.mapper.mapper_check import check

MACHINES = [
    ("tiny16", []),
    ("tiny16", ["activation_bytes=1024", "activation_banks=2", "weight_bytes=1024", "channel_bytes=256"]),
    ("edge64", []),
]


def transpose_conv(
    path: Path,
    rng: np.random.Generator,
    shape: tuple[int, ...],
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: int,
    size: tuple[int, int],
) -> Path:
    """size: of the output, rows and columns."""
    file = FileBuilder()
    si, so = scale(rng), scale(rng)
    sw = 2.0 ** rng.uniform(-9, -3, outputs if rng.integers(2) else 1)
    x = file.tensor("x", shape, scale=si, zero_point=zero_point(rng))
    target = (shape[0], *size, outputs)
    given = file.tensor("shape", (4,), np.int32, data=np.array(target))
    weights = int8(rng, (outputs, *kernel, shape[3]))
    w = file.tensor("w", weights.shape, scale=sw, data=np.maximum(weights, -127))
    inputs = [given, w, x]
    if rng.integers(3):
        offsets = rng.integers(-9999, 9999, outputs)
        inputs.append(file.tensor("b", (outputs,), np.int32, scale=si * np.float32(sw), data=offsets))
    y = file.tensor("y", target, scale=so, zero_point=zero_point(rng))
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1], "fusedActivationFunction": 0}
    file.operator("TRANSPOSE_CONV", inputs, [y], "TransposeConvOptions", **options)
    return file.write(path, [x], [y])


@pytest.mark.parametrize("seed", range(40))
def test_random(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng([12, seed])
    n, h, w, c, o = (int(v) for v in rng.integers([1, 1, 1, 1, 1], [3, 8, 8, 9, 9]))
    kernel, stride = ((int(a), int(b)) for a, b in (rng.integers(1, 6, 2), rng.integers(1, 4, 2)))
    padding = int(rng.integers(2))
    if padding == 0:  # SAME
        size = [m * s - int(rng.integers(s)) for m, s in zip((h, w), stride, strict=True)]
    else:
        size = [(m - 1) * s + k + int(rng.integers(s)) for m, s, k in zip((h, w), stride, kernel, strict=True)]
    path = transpose_conv(tmp_path / "m.tflite", rng, (n, h, w, c), o, kernel, stride, padding, (size[0], size[1]))
    graph = load_tflite(path)
    assert_equal_in_the_file(path)
    machine, settings = MACHINES[seed % len(MACHINES)]
    check(graph, load_config(machine, settings), seed=seed)


def assert_equal_in_the_file(path: Path) -> None:
    from intaglio.network import execute
    from intaglio.network.tflite.oracle import LiteRTOracle

    graph = load_tflite(path)
    oracle = LiteRTOracle(path)
    for seed in range(3):
        given = random_inputs(graph, seed)
        np.testing.assert_array_equal(execute(graph, given)["y"], oracle.run(given)["y"])


def test_phases_are_written_interleaved(tmp_path: Path) -> None:
    """A 2 x 2 kernel at stride 2, as U-Nets have it: four convolutions of one tap, nothing copied."""
    rng = np.random.default_rng(3)
    path = transpose_conv(tmp_path / "m.tflite", rng, (1, 6, 6, 8), 4, (2, 2), (2, 2), 0, (12, 12))
    graph = load_tflite(path)
    assert [type(op) for op in graph.operators] == [Conv2D] * 4 + [Move]
    assert all(op.weights.shape[1:3] == (1, 1) for op in graph.operators if isinstance(op, Conv2D))
    program = check(graph, load_config("tiny16"))
    assert {command.opcode for command in program.commands} == {Opcode.LOAD, Opcode.CONV, Opcode.STORE}


def test_too_many_phases(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    path = transpose_conv(tmp_path / "m.tflite", rng, (1, 2, 2, 2), 2, (9, 9), (9, 9), 0, (18, 18))
    with pytest.raises(RefusedError, match="a stride of"):
        load_tflite(path)
