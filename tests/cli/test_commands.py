"""The commands on small networks: documents as their schemas say, files, exit status."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("ai_edge_litert")

from intaglio import __version__
from intaglio.machine.config_files import load_config, shipped_names
from intaglio.network import execute, load, random_inputs
from intaglio.program.program import Program
from tests.cli.command import intaglio, small_network, validate
from tests.network.tflite_files import FileBuilder, conv


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_network(tmp_path / "small.tflite", softmax=True)


def test_version_and_help() -> None:
    assert intaglio("--version").out == f"intaglio {__version__}\n"
    help_text = intaglio("--help")
    assert help_text.status == 0
    for command in ("run", "verify", "map", "configs", "verilog"):
        assert command in help_text.out
        assert intaglio(command, "--help").status == 0


def test_run_writes_what_the_schema_says(tmp_path: Path, model: Path) -> None:
    done = intaglio("run", model, "--json", tmp_path / "R.json", "--set", "rows=5", "--set", "memory.latency=100")
    assert done.status == 0, done.err
    report = json.loads((tmp_path / "R.json").read_text())
    validate(report, "run")
    assert report["config"]["rows"] == 5 and report["config"]["memory"]["latency"] == 100
    layers, sums = report["layers"], report["totals"]
    assert [layer["name"] for layer in layers] == ["first", "second", "sum", "mean", "classes", "answer"]
    assert [layer["where"] for layer in layers] == ["accelerator"] * 5 + ["host"]
    accelerated = layers[:5]
    assert layers[5]["cycles"] is None and layers[5]["host_seconds"] > 0
    assert sum(layer["cycles"] for layer in accelerated) == sums["cycles"] == report["counters"]["cycles"]
    for key in ("macs", "lower_bound", "external_bytes"):
        assert sum(layer[key] for layer in accelerated) == sums[key]
    for layer in accelerated:
        assert sum(layer["causes"].values()) == layer["cycles"]
        assert layer["utilization"] == layer["macs"] / (5 * 8 * layer["cycles"])
    assert layers[0]["macs"] == 6 * 6 * 5 * 3 * 3 * 3
    assert sums["inferences_per_second"] == 1e6 * report["clock"]["mhz"] / sums["cycles"]
    counters = report["counters"]
    words = [counters[f"load_{kind}_words"] for kind in ("activation", "weight", "channel")]
    assert sums["external_bytes"] == 8 * (sum(words) + counters["store_words"])
    assert sums["command_bytes"] == 8 * counters["fetch_words"]
    for text in ("first", "Conv2D", "total", "inferences/s", "answer (Softmax)", "apart from the cycles"):
        assert text in done.out


def test_json_on_standard_output_is_alone(model: Path) -> None:
    done = intaglio("run", model, "--json", "-")
    validate(json.loads(done.out), "run")
    assert "inferences/s" in done.err
    validate(json.loads(intaglio("map", model, "--json", "-").out), "map")


def test_outputs_are_the_networks(tmp_path: Path, model: Path) -> None:
    graph = load(model)
    inputs = random_inputs(graph, 7)
    np.savez(tmp_path / "I.npz", **inputs)
    assert intaglio("run", model, "--input", tmp_path / "I.npz", "--outputs", tmp_path / "O.npz").status == 0
    expected = execute(graph, inputs)
    with np.load(tmp_path / "O.npz") as file:
        assert file.files == ["answer"]
        assert file["answer"].dtype == np.int8 and np.array_equal(file["answer"], expected["answer"])


def test_all_tensors(tmp_path: Path, model: Path) -> None:
    graph = load(model)
    done = intaglio("run", model, "--outputs", tmp_path / "O.npz", "--all-tensors", "--json", tmp_path / "R.json")
    assert done.status == 0, done.err
    expected = execute(graph, random_inputs(graph, 0))
    with np.load(tmp_path / "O.npz") as file:
        assert set(file.files) == set(expected)
        for name, value in expected.items():
            assert file[name].dtype == value.dtype and np.array_equal(file[name], value), name
    report = json.loads((tmp_path / "R.json").read_text())
    validate(report, "run")
    assert report["host_only_tensors"] == ["answer"] and "never wrote" in done.out


def test_map_predicts_the_cycles_of_run(tmp_path: Path, model: Path) -> None:
    files = [tmp_path / name for name in ("M.json", "P.txt", "P.npz")]
    done = intaglio(
        "map", model, "--config", "tiny16", "--json", files[0], "--listing", files[1], "--program", files[2]
    )
    assert done.status == 0, done.err
    schedule = json.loads(files[0].read_text())
    validate(schedule, "map")
    report = json.loads(intaglio("run", model, "--config", "tiny16", "--json", "-").out)
    assert schedule["totals"]["cycles"] == report["totals"]["cycles"]
    assert [layer["cycles"] for layer in schedule["layers"]] == [layer["cycles"] for layer in report["layers"]]
    assert sum(sum(layer["commands"].values()) for layer in schedule["layers"]) == schedule["program"]["commands"]
    assert "CONV" in files[1].read_text()
    program = Program.load(files[2])
    assert f"{program.config_hash:016x}" == schedule["config_hash"]


def test_configs() -> None:
    listed = intaglio("configs").out
    for name in shipped_names():
        assert name in listed
        assert yaml.safe_load(intaglio("configs", name).out) == load_config(name).to_dict()
    assert yaml.safe_load(intaglio("configs", "tiny16", "--set", "rows=3").out)["rows"] == 3


def test_verilog(tmp_path: Path) -> None:
    done = intaglio("verilog", "--config", "tiny16", "--set", "rows=3", "-o", tmp_path / "deep" / "out")
    assert done.status == 0, done.err
    assert "module intaglio" in (tmp_path / "deep" / "out" / "intaglio.v").read_text()
    assert load_config(tmp_path / "deep" / "out" / "intaglio.yaml").rows == 3


@pytest.mark.slow
def test_verify_finds_equality(tmp_path: Path, model: Path) -> None:
    done = intaglio("verify", model, "--config", "tiny16", "--inputs", 3, "--seed", 5, "--json", tmp_path / "V.json")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "V.json").read_text())
    validate(found, "verify")
    assert found["reference"] == "LiteRT" and found["reference_refusal"] is None
    assert found["equal"] and found["tensors"] == 6 and found["host_only_tensors"] == ["answer"]
    assert "EQUAL" in done.out


def without_reference(path: Path) -> Path:
    """A network that Intaglio takes and LiteRT refuses: its bias names a quantized dimension that it does not have, as in
    TensorFlow Lite Micro's person detection."""
    file = FileBuilder()
    x = file.tensor("x", (1, 4, 4, 2), scale=0.5)
    w = file.tensor("w", (3, 1, 1, 2), scale=[0.1, 0.2, 0.3], data=np.arange(6).reshape(3, 1, 1, 2))
    b = file.tensor("b", (3,), np.int32, scale=[0.05, 0.1, 0.15], axis=3, data=np.arange(3))
    y = file.tensor("y", (1, 4, 4, 3), scale=1.0)
    file.operator("CONV_2D", [x, w, b], [y], **conv())
    return file.write(path, [x], [y])


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [False, True])
def test_verify_without_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: bool) -> None:
    """Host and RTL are compared all the same, and the answer says that no reference was."""
    from intaglio import session
    from intaglio.sim.tensors import rows_at

    real = session.run_program

    def changed(config, program, inputs, engine="host", *others):  # type: ignore[no-untyped-def]
        result = real(config, program, inputs, engine, *others)
        if wrong and engine == "rtl":
            rows_at(result.memory, program.places["y"])[1, 3] ^= 1
        return result

    monkeypatch.setattr(session, "run_program", changed)
    path = without_reference(tmp_path / "m.tflite")
    done = intaglio("verify", path, "--config", "tiny16", "--inputs", 1, "--json", tmp_path / "V.json")
    assert done.status == int(wrong), done.err
    found = json.loads((tmp_path / "V.json").read_text())
    validate(found, "verify")
    assert found["reference"] is None and "quantized_dimension must be in range" in found["reference_refusal"]
    assert (found["tensors"], found["elements"]) == (0, 0) and found["equal"] != wrong
    for words in ("NO REFERENCE WAS COMPARED", "LiteRT 2", "quantized_dimension"):
        assert words in done.out.replace("\n", " ")


@pytest.mark.slow
def test_verify_names_the_first_difference(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An RTL that gives one wrong byte."""
    from intaglio import session
    from intaglio.sim.tensors import rows_at

    real = session.run_program

    def wrong(config, program, inputs, engine="host", *others):  # type: ignore[no-untyped-def]
        result = real(config, program, inputs, engine, *others)
        if engine == "rtl" and "second" in program.places:
            rows_at(result.memory, program.places["second"])[2, 7] ^= 1
        return result

    monkeypatch.setattr(session, "run_program", wrong)
    done = intaglio("verify", model, "--config", "tiny16", "--json", tmp_path / "V.json")
    assert done.status == 1
    found = json.loads((tmp_path / "V.json").read_text())
    validate(found, "verify")
    difference = found["difference"]
    assert difference["name"] == "second" and difference["index"] == [0, 2, 1, 2]
    assert difference["values"][0] ^ difference["values"][1] in (1, -1)
    assert difference["origin"]["opcode"] == "CONV" and difference["cycle"] > 0
    assert "DIFFERENT" in done.out and "'second' at [0, 2, 1, 2]" in done.out and "cycle" in done.out


@pytest.mark.slow
def test_rtl_engine_and_waves(tmp_path: Path, model: Path) -> None:
    common = [model, "--config", "tiny16"]
    done = intaglio("run", *common, "--engine", "rtl", "--outputs", tmp_path / "O.npz", "--json", tmp_path / "R.json")
    assert done.status == 0, done.err
    rtl = json.loads((tmp_path / "R.json").read_text())
    validate(rtl, "run")
    host = json.loads(intaglio("run", *common, "--json", "-").out)
    assert rtl["counters"] == host["counters"]
    assert [layer["cycles"] for layer in rtl["layers"]] == [layer["cycles"] for layer in host["layers"]]
    done = intaglio("verify", *common, "--inputs", 1, "--waves", tmp_path / "W.vcd")
    assert done.status == 0, done.err
    assert (tmp_path / "W.vcd").read_text(errors="replace").startswith("$version")


@pytest.mark.slow
def test_hardware_without_counters(tmp_path: Path, model: Path) -> None:
    """What was not compared is said; everything else is compared all the same."""
    common = [model, "--config", "tiny16", "--set", "counters=false"]
    done = intaglio("run", *common, "--engine", "rtl", "--json", tmp_path / "R.json")
    assert done.status == 0 and "counters: none" in done.out
    rtl, host = json.loads((tmp_path / "R.json").read_text()), json.loads(intaglio("run", *common, "--json", "-").out)
    for document in rtl, host:
        validate(document, "run")
    assert rtl["counters"] is None and host["counters"]["cycles"] == rtl["totals"]["cycles"]
    done = intaglio("verify", *common, "--inputs", 1, "--json", tmp_path / "V.json")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "V.json").read_text())
    validate(found, "verify")
    assert found["equal"] and not found["counters_compared"]
    assert "NO COUNTERS WERE COMPARED" in done.out and "all counters" not in done.out


def test_the_configurations_schema_names_every_field() -> None:
    schema = json.loads((resources.files("intaglio") / "schemas" / "config.json").read_text())
    assert list(load_config("tiny16").to_dict()) == [n for n in schema["properties"] if n in schema["required"]]
