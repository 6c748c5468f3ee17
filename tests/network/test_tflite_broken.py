"""Files that are not models: always one InputError with file, reason and remedy, never another exception."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from test_tflite_refusals import conv_file
from tflite_files import FileBuilder

from intaglio.errors import InputError
from intaglio.network import load, load_tflite


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load(path)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"This is text.\n" * 20, "TFL3"),
        (b"\x1c\0\0\0TFL3", "damaged"),
        (b"\xff\xff\xff\xffTFL3" + b"\xff" * 64, "damaged"),
    ],
)
def test_not_a_model(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    text = refusal(path)
    assert reason in text and "export the model again" in text


def test_missing_directory_and_unreadable(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.tflite")
    (tmp_path / "d.tflite").mkdir()
    assert "directory" in refusal(tmp_path / "d.tflite")
    if os.geteuid() != 0:
        path = conv_file(tmp_path)
        path.chmod(0)
        assert "ermission" in refusal(path)


def test_truncated_at_every_length(tmp_path: Path) -> None:
    whole = conv_file(tmp_path).read_bytes()
    path = tmp_path / "cut.tflite"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        try:
            load_tflite(path)
        except InputError:
            continue


def test_damaged_bytes(tmp_path: Path) -> None:
    """Random damage behind the identifier loads or raises InputError; hostile 32-bit words likewise."""
    whole = conv_file(tmp_path).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.tflite"
    words = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    for trial in range(1500):
        data = bytearray(whole)
        if trial % 2:
            position = 4 * int(rng.integers(2, len(data) // 4))
            struct.pack_into("<I", data, position, words[trial % len(words)])
        else:
            for position in rng.integers(8, len(data), int(rng.integers(1, 6))):
                data[position] = int(rng.integers(256))
        path.write_bytes(bytes(data))
        try:
            load_tflite(path)
        except InputError as error:
            assert "damaged.tflite" in str(error)


def chain() -> tuple[FileBuilder, list[int]]:
    """t0 -> RELU -> t1 -> RELU -> t2."""
    file = FileBuilder()
    tensors = [file.tensor(f"t{i}", (1, 4), scale=1.0) for i in range(3)]
    file.operator("RELU", [tensors[0]], [tensors[1]])
    file.operator("RELU", [tensors[1]], [tensors[2]])
    return file, tensors


def test_structure_rules(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"

    file, _ = chain()
    assert [op.name for op in load(file.write(path, [0], [2])).operators] == ["t1", "t2"]

    file, _ = chain()
    file.graph.operators.reverse()
    assert "reads 't1', before an operator computes it" in refusal(file.write(path, [0], [2]))

    file, _ = chain()
    file.graph.operators[1].outputs = [1]
    assert "writes 't1', which exists already" in refusal(file.write(path, [0], [1]))

    file, _ = chain()
    assert "there are 3" in refusal(file.write(path, [0], [9]))
    assert "absent" in refusal(file.write(path, [0], [-1]))
    assert "no operators or no outputs" in refusal(file.write(path, [0], []))
    assert load(file.write(path, [0, 0, -1], [2, 2])).inputs == ("t0",)  # LiteRT runs it too

    file, _ = chain()
    file.graph.operators[0].inputs = [77]
    assert "name tensor 77" in refusal(file.write(path, [0], [2]))

    file, _ = chain()
    file.graph.operators[0].opcodeIndex = 5
    assert "names code 5" in refusal(file.write(path, [0], [2]))

    file, _ = chain()
    file.graph.tensors[0].buffer = 9
    assert "names buffer 9" in refusal(file.write(path, [0], [2]))

    file, _ = chain()
    file.graph.tensors[0].shape = [1] * 20
    assert "#0 RELU 't1': tensor 't0': it has 20 dimensions; use at most 8" in refusal(file.write(path, [0], [2]))

    file, _ = chain()
    file.graph.operators[1].outputs = []
    assert "#1 RELU 'RELU#1': it has no output" in refusal(file.write(path, [0], [1]))

    file, _ = chain()
    unused = file.tensor("unused", (1, 4), scale=1.0)
    assert "never computed" in refusal(file.write(path, [0], [unused]))
    constant = file.tensor("constant", (4,), data=np.zeros(4))
    assert "output 'constant' is a constant; remove it from the outputs" in refusal(
        file.write(path, [0], [2, constant])
    )
    assert "input 'constant': it is a constant; remove it from the inputs" in refusal(
        file.write(path, [0, constant], [2])
    )

    file, _ = chain()
    file.tensor("short", (1000, 1000), data=np.zeros(4))
    assert "has 4 bytes of data" in refusal(file.write(path, [0], [2]))

    file, _ = chain()
    loose = file.tensor("loose", (1, 4), scale=1.0)
    file.graph.operators[1].inputs = [loose]
    assert "reads 'loose', which nothing computes and which has no data" in refusal(file.write(path, [0], [2]))

    file, _ = chain()
    file.model.subgraphs = []
    assert "no subgraph" in refusal(file.write(path, [0], [2]))

    file, _ = chain()
    file.model.version = 2
    assert "version is 2" in refusal(file.write(path, [0], [2]))
