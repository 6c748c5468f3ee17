"""Functions of one element: every code at random scales, imported as a table and held against LiteRT; and on machines."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from test_litert_operators import assert_equal
from tflite_files import FileBuilder

from intaglio.errors import RefusedError
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Opcode
from intaglio.network import execute, load_tflite, random_inputs
from intaglio.network.graph import Table
from intaglio.network.reference import NoReference
from intaglio.network.tflite.oracle import LiteRTOracle
from intaglio.network.tflite.tables import UNARY, WITH_CONSTANT
from intaglio.network.tflite.write import TfliteBuilder
from intaglio.session import Session
from intaglio.verify import verify
from tests.mapper.mapper_check import check

SCALES = 25
"""Files of each function."""
FIXED = {"LOGISTIC": (1 / 256, 0), "TANH": (1 / 128, 128)}
"""Scale and zero point, from the lowest code, of the only output that LiteRT takes."""
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "LEAKY_RELU": ("LeakyReluOptions", {"alpha": 0.2}),
    "GELU": ("GeluOptions", {"approximate": False}),
    "MUL": ("MulOptions", {"fusedActivationFunction": 0}),
    "SUB": ("SubOptions", {"fusedActivationFunction": 1, "potScaleInt16": False}),
    "ADD": ("AddOptions", {"fusedActivationFunction": 3, "potScaleInt16": False}),
    "DIV": ("DivOptions", {"fusedActivationFunction": 0}),
}
CODES = [*UNARY, *WITH_CONSTANT, "ADD"]


def network(code: str, rng: np.random.Generator, path: Path) -> np.ndarray:
    """Writes a file of one operator on a row of 256; returns all codes."""
    dtype = np.dtype(rng.choice([np.int8, np.int8, np.uint8]))
    low = 0 if dtype == np.uint8 else -128
    file = FileBuilder()
    scale = 2.0 ** rng.uniform(-9, -2)
    x = file.tensor("x", (1, 256), dtype, scale=scale, zero_point=low + int(rng.integers(256)))
    out_scale, out_point = FIXED.get(code, (2.0 ** rng.uniform(-9, -2), int(rng.integers(256))))
    if code in ("MAXIMUM", "MINIMUM", "PRELU") and rng.integers(2):
        out_scale = scale
    y = file.tensor("y", (1, 256), dtype, scale=out_scale, zero_point=low + out_point)
    inputs = [x]
    if code not in UNARY:
        shape = ((), (1,), (1, 1))[int(rng.integers(3))] if code != "PRELU" else (1,)
        value = np.full(shape, low + int(rng.integers(256)))
        quantized = {"scale": 2.0 ** rng.uniform(-9, -2), "zero_point": low + int(rng.integers(256))}
        inputs.append(file.tensor("constant", shape, dtype, data=value, **quantized))
        if code in ("MUL", "ADD", "SUB") and rng.integers(2):
            inputs.reverse()
    kind, values = OPTIONS.get(code, ("", {}))
    if code == "LEAKY_RELU":
        values = {"alpha": float(rng.uniform(-0.5, 1.5))}
    if code == "GELU":
        values = {"approximate": bool(rng.integers(2))}
    file.operator(code, inputs, [y], kind, **values)
    file.write(path, [x], [y])
    return np.arange(low, low + 256).astype(dtype).reshape(1, 256)


@pytest.mark.parametrize("code", CODES)
def test_every_code(tmp_path: Path, code: str) -> None:
    taken = 0
    path = tmp_path / "m.tflite"
    for seed in range(SCALES):
        row = network(code, np.random.default_rng([zlib.crc32(code.encode()), seed]), path)
        try:
            graph = load_tflite(path)
        except RefusedError as error:
            assert "LiteRT cannot compute it" in str(error)
            with pytest.raises((NoReference, RuntimeError)):
                LiteRTOracle(path).run({"x": row})
            continue
        assert [type(op) for op in graph.operators] == [Table]
        taken += 1
        if not graph.notes:
            assert_equal(path, [{"x": row}])
            continue
        assert "LiteRT ends with an error for" in graph.notes[0] and code in ("SQRT", "RSQRT")
        for value in row[0]:
            given, oracle = {"x": np.full_like(row, value)}, LiteRTOracle(path)
            try:
                right = oracle.run(given)["y"]
            except RuntimeError:
                continue
            assert np.array_equal(execute(graph, given)["y"], right)
    assert taken > SCALES // 3


def whole(path: Path) -> None:
    """A convolution whose sigmoid alone is read, a function of an input, and of a tensor that others read too."""
    rng = np.random.default_rng(1)
    b = TfliteBuilder("functions")
    x = b.input((1, 6, 6, 4), 0.05, 3)
    weights = rng.integers(-127, 128, (8, 3, 3, 4), np.int8)
    y = b.conv2d(x, weights, rng.integers(-99, 99, 8, np.int32), np.full(8, 0.01), 0.06, -5)
    s = b.logistic(y)
    z = b.conv2d(
        s, weights[:, :1, :1].repeat(2, axis=3), rng.integers(-99, 99, 8, np.int32), np.full(8, 0.01), 0.06, -5
    )
    b.write(path, [b.logistic(z), b.add(z, z, 0.1, 0)])


def test_a_table_alone_read_is_part_of_its_maker(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    whole(path)
    graph = load_tflite(path)
    program = check(graph, load_config("tiny16", ["tables=2"]))
    looked_up = [command.opcode for command in program.commands if command["table"]]
    assert Opcode.CONV in looked_up and looked_up.count(Opcode.POOL) == 1
    check(graph, load_config("tiny16", ["tables=1"]), keep_all=True)


def test_without_tables_the_host_runs_those_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    whole(path)
    graph = load_tflite(path)
    with pytest.raises(RefusedError, match="configuration field tables is 0; set tables: 4") as error:
        Session.map(graph, load_config("tiny16"))
    assert len(error.value.refusals) == 1
    assert_equal(path, [random_inputs(graph, 0)])


@pytest.mark.slow
@pytest.mark.parametrize("settings", [["tables=1"], ["tables=4", "rows=3", "cols=5", "requantizers=3"]])
def test_on_the_rtl(tmp_path: Path, settings: list[str]) -> None:
    path = tmp_path / "m.tflite"
    whole(path)
    found = verify(path, load_tflite(path), load_config("tiny16", settings))
    assert found.difference is None and found.reference == "LiteRT"
