"""Broken inputs: one message that names file or field, reason and remedy; status 2; nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from intaglio import data
from intaglio.network.tflite.write import TfliteBuilder
from tests.cli.command import Done, intaglio, small_network
from tests.network.tflite_files import FileBuilder, conv, enum

GOOD = np.zeros((1, 6, 6, 3), np.int8)


def refused(done: Done, *parts: str) -> None:
    """The message holds every part."""
    assert done.status == 2, done
    assert done.out == ""
    assert done.err.startswith("intaglio: ") and done.err.count("intaglio: ") == 1
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err, f"{part!r} is not in {done.err!r}"


def only(folder: Path, *names: str) -> None:
    """Nothing else lies in the folder, hidden files included."""
    assert sorted(os.listdir(folder)) == sorted(names)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_network(tmp_path / "small.tflite")


def float_network(path: Path) -> Path:
    builder = FileBuilder()
    x = builder.tensor("pixels", (1, 4, 4, 2), np.float32)
    weights = builder.tensor("w", (3, 1, 1, 2), np.float32, data=np.ones((3, 1, 1, 2)))
    bias = builder.tensor("b", (3,), np.float32, data=np.zeros(3))
    y = builder.tensor("features", (1, 4, 4, 3), np.float32)
    builder.operator("CONV_2D", [x, weights, bias], [y], **conv())
    return builder.write(path, [x], [y])


def unsupported_operator(path: Path) -> Path:
    builder = FileBuilder()
    x = builder.tensor("pixels", (1, 4, 4, 2), scale=0.1)
    y = builder.tensor("norm", (1, 2, 2, 2), scale=0.1)
    builder.operator(
        "L2_POOL_2D",
        [x],
        [y],
        options="Pool2DOptions",
        padding=enum("Padding", "VALID"),
        strideH=2,
        strideW=2,
        filterHeight=2,
        filterWidth=2,
    )
    return builder.write(path, [x], [y])


@pytest.mark.parametrize("command", ["run", "map", "verify"])
def test_files_that_are_no_model(tmp_path: Path, command: str) -> None:
    whole = data.MODEL.read_bytes()
    contents = {
        "cut.tflite": whole[: len(whole) // 2],
        "stub.tflite": whole[:16],
        "text.tflite": b"this is not a network\n" * 20,
        "empty.tflite": b"",
        "noise.tflite": whole[:8] + bytes(range(256)) * 8,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        refused(intaglio(command, tmp_path / name, "--json", tmp_path / "R.json"), name, "; ")
    only(tmp_path, *contents)


@pytest.mark.parametrize("command", ["run", "map", "verify"])
def test_missing_model_and_folder(tmp_path: Path, command: str) -> None:
    refused(intaglio(command, tmp_path / "nothing.tflite"), "nothing.tflite", "No such file")
    refused(intaglio(command, tmp_path), str(tmp_path), "irectory")


def test_float_network(tmp_path: Path) -> None:
    path = float_network(tmp_path / "float.tflite")
    refused(intaglio("run", path), "float.tflite", "CONV_2D", "features", "float", "quantize")


def test_unsupported_operator(tmp_path: Path) -> None:
    path = unsupported_operator(tmp_path / "pool.tflite")
    refused(intaglio("run", path), "pool.tflite", "L2_POOL_2D", "norm", "not supported", "use operators out of")


def test_other_formats_and_suffixes(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"onnx")
    (tmp_path / "net.bin").write_bytes(b"bin")
    refused(intaglio("run", tmp_path / "net.onnx"), "net.onnx", "ONNX", "export the model again")
    refused(intaglio("run", tmp_path / "net.bin"), "net.bin", ".tflite")


CONFIGURATIONS = {
    "rows: 0": ["rows = 0", "1 to 64"],
    "rows: many": ["rows = 'many'", "1 to 64"],
    "rowz: 8": ["unknown", "rowz", "the fields are"],
    "memory: {speed: 3}": ["unknown", "memory.speed", "memory.latency"],
    "memory: 8": ["memory = 8", "mapping"],
    "memory: {bytes_per_cycle: 16}": ["memory.bytes_per_cycle = 16", "raise bus_bytes"],
    "clock_mhz: .nan": ["clock_mhz = nan", "above 0"],
    "rounding: [up]": ["rounding", "double, single, away"],
    "[1, 2]": ["mapping of fields", "intaglio configs edge64"],
    "": ["mapping of fields", "intaglio configs edge64"],
    "rows: [": ["not YAML", "intaglio configs edge64"],
    "!!python/object/apply:os.system ['touch pwned']": ["not YAML"],
    "rows: &r [*r]": ["rows", "1 to 64"],
    "name: 2001-99-99": ["configuration", "month"],
    "rows: " + "9" * 5000: ["configuration"],
    "rows: " + "[" * 5000: ["not YAML"],
    "rows: 8\n---\nrows: 9": ["not YAML"],
    "? {rows: 8}\n: 9": ["not YAML"],
    "1: 2": ["unknown", "1"],
}


@pytest.mark.parametrize("text", CONFIGURATIONS, ids=range(len(CONFIGURATIONS)))
def test_configurations(tmp_path: Path, model: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(text)
    refused(intaglio("run", model, "--config", "bad.yaml", "--outputs", "O.npz"), "bad.yaml", *CONFIGURATIONS[text])
    only(tmp_path, "bad.yaml", "small.tflite")


@pytest.mark.parametrize(
    ("setting", "parts"),
    {
        "rows=0": ["rows = 0"],
        "rows": ["FIELD=VALUE"],
        "=3": ["FIELD=VALUE"],
        "speed=1": ["unknown", "speed"],
        "memory.speed=1": ["unknown", "memory.speed"],
        "rows.x=1": ["rows", "no fields"],
        "rows=[": ["not YAML"],
        "rows=" + "[" * 3000: ["not YAML"],
        "name=2001-99-99": ["month"],
    }.items(),
)
def test_overrides(model: Path, setting: str, parts: list[str]) -> None:
    refused(intaglio("run", model, "--set", setting), *parts)


def test_configuration_that_is_no_text_file(tmp_path: Path, model: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(bytes(range(128, 256)))
    refused(intaglio("run", model, "--config", tmp_path / "binary.yaml"), "binary.yaml", "not a text file")
    refused(intaglio("run", model, "--config", tmp_path / "no.yaml"), "no.yaml", "No such file", "edge64")
    refused(intaglio("run", model, "--config", tmp_path), str(tmp_path), "irectory")


def test_buffers_too_small_for_one_tile(tmp_path: Path) -> None:
    """A legal size, but one pixel of the output does not fit."""
    builder = TfliteBuilder("broad")
    x = builder.input((1, 2, 2, 4), 0.1, 0)
    weights = np.ones((600, 1, 1, 4), np.int8)
    y = builder.conv2d(x, weights, np.zeros(600, np.int32), np.full(600, 0.1), 0.1, 0)
    builder.write(tmp_path / "broad.tflite", [y])
    small = ["--set", "activation_bytes=256"]
    done = intaglio("map", tmp_path / "broad.tflite", *small, "--listing", tmp_path / "P.txt")
    refused(done, "activation_bytes = 256 is too small", "raise activation_bytes")
    only(tmp_path, "broad.tflite")


def write_inputs(folder: Path) -> dict[str, list[str]]:
    """Input files by name with what their messages hold."""
    np.savez(folder / "key.npz", picture=GOOD)
    np.savez(folder / "more.npz", image=GOOD, other=GOOD)
    np.savez(folder / "shape.npz", image=GOOD[0])
    np.savez(folder / "type.npz", image=GOOD.astype(np.float32))
    np.savez(folder / "text.npz", image=np.array(["cat"]))
    np.savez(folder / "objects.npz", image=np.array([{}], object))
    np.savez(folder / "none.npz")
    np.save(folder / "bare.npy", GOOD)
    np.savez(folder / "whole.npz", image=GOOD)
    whole = (folder / "whole.npz").read_bytes()
    (folder / "whole.npz").unlink()
    (folder / "cut.npz").write_bytes(whole[:100])
    (folder / "flipped.npz").write_bytes(whole[:150] + bytes(b ^ 0xFF for b in whole[150:180]) + whole[180:])
    (folder / "words.npz").write_text("image = 3\n")
    (folder / "zero.npz").write_bytes(b"")
    return {
        "key.npz": ["'image' is missing", "int8 of shape [1, 6, 6, 3]", "'picture' is not an input"],
        "more.npz": ["'other' is not an input", "remove"],
        "shape.npz": ["'image' has shape [6, 6, 3]", "[1, 6, 6, 3]", "reshape"],
        "type.npz": ["'image' has type float32", "int8", "quantize it"],
        "text.npz": ["'image' has type <U3", "int8"],
        "objects.npz": ["Python objects"],
        "none.npz": ["'image' is missing"],
        "bare.npy": ["one array without a name", "np.savez"],
        "cut.npz": ["not a readable .npz file", "np.savez"],
        "flipped.npz": ["np.savez"],
        "words.npz": ["not a readable .npz file", "np.savez"],
        "zero.npz": ["not a readable .npz file", "np.savez"],
        "absent.npz": ["No such file", "np.savez"],
        ".": ["irectory", "np.savez"],
    }


def test_input_files(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    targets = ["--json", tmp_path / "R.json", "--outputs", tmp_path / "O.npz"]
    for name, parts in write_inputs(folder).items():
        refused(intaglio("run", model, "--input", folder / name, *targets), str(folder / name), *parts)
    only(tmp_path, "small.tflite", "inputs")


def test_targets_that_cannot_be_written(tmp_path: Path, model: Path) -> None:
    missing = tmp_path / "no" / "such"
    for option, name in (("--json", "R.json"), ("--outputs", "O.npz")):
        refused(intaglio("run", model, option, missing / name), str(missing / name), "no folder", "make it")
        refused(intaglio("run", model, option, tmp_path), str(tmp_path), "directory")
    refused(intaglio("map", model, "--listing", missing / "P.txt"), "P.txt", "no folder")
    refused(intaglio("verify", model, "--waves", missing / "W.fst"), "W.fst", "no folder")
    refused(intaglio("verify", model, "--waves", tmp_path / "W.txt"), "W.txt", ".fst or .vcd")
    refused(intaglio("verilog", "-o", model), "small.tflite", "is a file")
    refused(intaglio("run", model, "--all-tensors"), "--outputs")
    only(tmp_path, "small.tflite")


def test_an_existing_target_survives_a_failure(tmp_path: Path, model: Path) -> None:
    (tmp_path / "R.json").write_text("old")
    assert intaglio("run", model, "--set", "rows=0", "--json", tmp_path / "R.json").status == 2
    assert (tmp_path / "R.json").read_text() == "old"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "m", "--bogus"],
        ["bogus"],
        ["run", "m", "--engine", "fpga"],
        ["verilog"],
        ["verify", "m", "--inputs", "0"],
        ["verify", "m", "--inputs", "x"],
        ["configs", "nothing"],
    ],
    ids=" ".join,
)
def test_usage(arguments: list[str]) -> None:
    done = intaglio(*arguments)
    assert done.status == 2 and done.err and "Traceback" not in done.err and done.out == ""


def test_as_a_process(tmp_path: Path) -> None:
    """Standard error, status and no traceback as a shell sees them."""
    done = subprocess.run(
        [sys.executable, "-m", "intaglio", "run", tmp_path / "no.tflite"], capture_output=True, text=True
    )
    refused(Done(done.returncode, done.stdout, done.stderr), "no.tflite")
