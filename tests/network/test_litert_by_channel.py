"""MUL, ADD and SUB of a tensor and a constant by channel: every code of each channel against LiteRT, and on machines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from tflite_files import FileBuilder

from intaglio.errors import RefusedError
from intaglio.machine.config_files import load_config
from intaglio.network import execute, load_tflite
from intaglio.network.graph import Conv2D
from intaglio.network.tflite.oracle import LiteRTOracle
from tests.mapper.mapper_check import check

OPTIONS = {"MUL": "MulOptions", "ADD": "AddOptions", "SUB": "SubOptions"}


def network(code: str, rng: np.random.Generator, path: Path) -> np.ndarray:
    """Writes a file; returns an input that has every code in every channel."""
    channels = int(rng.integers(2, 20))
    dtype = np.dtype(rng.choice([np.int8, np.int8, np.uint8]))
    low = 0 if dtype == np.uint8 else -128
    shape = [(1, 16, 16, channels), (256, channels), (1, 256, channels)][int(rng.integers(3))]
    file = FileBuilder()
    sx, sc = (2.0 ** rng.uniform(-8, -3) for _ in range(2))
    x = file.tensor("x", shape, dtype, scale=sx, zero_point=low + int(rng.integers(256)))
    like = [(channels,), (1, channels), (1, 1, 1, channels)[-len(shape) :]][int(rng.integers(3))]
    values = rng.integers(low, low + 256, like)
    c = file.tensor("c", like, dtype, scale=sc, zero_point=low + int(rng.integers(256)), data=values)
    so = sx * sc * 2.0 ** rng.uniform(5, 8) if code == "MUL" else max(sx, sc) * 2.0 ** rng.uniform(-0.8, 1.5)
    y = file.tensor("y", shape, dtype, scale=so, zero_point=low + int(rng.integers(256)))
    inputs = [x, c] if rng.integers(2) else [c, x]
    file.operator(code, inputs, [y], OPTIONS[code], fusedActivationFunction=int(rng.choice([0, 0, 1, 3])))
    file.write(path, [x], [y])
    codes = np.stack([rng.permutation(256) for _ in range(channels)], axis=1) + low
    return codes.astype(dtype).reshape(shape)


@pytest.mark.parametrize("code", OPTIONS)
@pytest.mark.parametrize("seed", range(40))
def test_every_code(tmp_path: Path, code: str, seed: int) -> None:
    rng = np.random.default_rng([17, seed, len(code), ord(code[0])])
    path = tmp_path / "m.tflite"
    row = network(code, rng, path)
    try:
        graph = load_tflite(path)
    except RefusedError as error:
        assert "leaves no value" in str(error)  # an activation beyond the output's range
        return
    right = LiteRTOracle(path).run({"x": row})["y"]
    np.testing.assert_array_equal(execute(graph, {"x": row})["y"], right)
    assert sum(isinstance(op, Conv2D) for op in graph.operators) == 1
    if seed % 4 == 0 and row.dtype == np.int8:
        check(graph, load_config("tiny16"))


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    file = FileBuilder()
    x, y = (file.tensor(name, (1, 4, 4, 3), scale=0.1) for name in "xy")
    c = file.tensor("c", (1, 4, 1, 1), scale=0.1, data=np.arange(4))
    file.operator("MUL", [x, c], [y], "MulOptions", fusedActivationFunction=0)
    with pytest.raises(RefusedError, match=r"a constant of shape \[1, 4, 1, 1\]"):
        load_tflite(file.write(tmp_path / "m.tflite", [x], [y]))
