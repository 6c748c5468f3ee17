"""`intaglio check`: every refusal of importer and mapper at once, and the same verdict as map's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from intaglio.check import check, check_survey
from intaglio.errors import InputError, Refusal, RefusedError
from intaglio.machine.config_files import load_config
from intaglio.mapper import map_network
from intaglio.network import load
from intaglio.network.graph import Operator
from intaglio.network.survey import Refused, Step, Survey
from tests.cli.command import intaglio, small_network, validate
from tests.mapper.mapper_check import check as mapped
from tests.mapper.mapper_graphs import Builder
from tests.network.tflite_files import FileBuilder, conv
from tests.networks import random_network


def answered(path: Path, *options: str, status: int) -> dict[str, Any]:
    done = intaglio("check", path, "--json", "-", *options)
    assert done.status == status, done.err
    document: dict[str, Any] = json.loads(done.out)
    validate(document, "check")
    assert document["would_run"] == (status == 0)
    return document


def test_a_network_that_runs(tmp_path: Path) -> None:
    path = small_network(tmp_path / "small.tflite", softmax=True)
    found = answered(path, "--config", "tiny16", status=0)
    by_name = {op["name"]: op for op in found["operators"]}
    assert [op["place"] for op in found["operators"]] == ["accelerator"] * 5 + ["host"]
    assert by_name["first"]["macs"] == 6 * 6 * 5 * 3 * 3 * 3
    assert by_name["first"]["weight_bytes"] == 5 * 27 + 4 * 5
    # Rows of 18 and 30 bytes on a bus of 8: 24 and 32 bytes, six each.
    assert by_name["first"]["onchip_bytes"] == 6 * 24 + 6 * 32
    assert by_name["sum"]["why"] == "vector path" and by_name["first"]["why"] == "array"
    totals = found["totals"]
    assert totals["accelerator_macs"] == totals["macs"] == 36 * 5 * 27 + 36 * 25 + 20
    # At "sum": both operands and the result.
    assert (totals["activation_peak_bytes"], totals["peak_layer"]) == (3 * 6 * 32, "sum")
    assert "WOULD RUN" in intaglio("check", path).out


def bad_network(path: Path) -> Path:
    """A good convolution, a softmax in the middle, groups that do not fit, an operator that does not exist here, and a
    layer whose output pixel is larger than a small memory."""
    file = FileBuilder()
    x = file.tensor("x", (1, 4, 4, 2), scale=0.5)
    a = file.tensor("good", (1, 4, 4, 4), scale=0.5)
    s = file.tensor("soft", (1, 4, 4, 4), scale=1 / 256, zero_point=-128)
    g = file.tensor("grouped", (1, 4, 4, 4), scale=0.5)
    t = file.tensor("tanh", (1, 4, 4, 4), scale=0.5)
    wide = file.tensor("wide", (1, 4, 4, 600), scale=0.5)

    def weights(name: str, shape: tuple[int, ...]) -> int:
        return file.tensor(name, shape, scale=[0.1] * shape[0], data=np.ones(shape))

    file.operator("CONV_2D", [x, weights("wa", (4, 1, 1, 2))], [a], **conv())
    file.operator("SOFTMAX", [a], [s], "SoftmaxOptions", beta=1.0)
    file.operator("CONV_2D", [s, weights("wg", (4, 3, 3, 3))], [g], **conv("SAME"))
    file.operator("ELU", [g], [t])
    file.operator("CONV_2D", [t, weights("ww", (600, 1, 1, 4))], [wide], **conv())
    return file.write(path, [x], [wide])


def test_everything_refused_at_once(tmp_path: Path) -> None:
    path = bad_network(tmp_path / "bad.tflite")
    small = ("--config", "tiny16", "--set", "activation_bytes=512")
    found = answered(path, *small, status=1)
    places = {op["name"]: op["place"] for op in found["operators"]}
    assert places == {
        "good": "accelerator",
        "soft": "refused",
        "grouped": "refused",
        "tanh": "refused",
        "wide": "refused",
    }
    why = {op["name"]: [r["reason"] + "; " + r["remedy"] for r in op["refusals"]] for op in found["operators"]}
    assert "in the middle of the network, before 'grouped'" in why["soft"][0] and "split the network" in why["soft"][0]
    assert "3 input channels do not fit an input of 4; export the model again" in why["grouped"][0]
    assert "not supported; replace it by Relu6" in why["tanh"][0]
    assert "activation_bytes = 512 is too small" in why["wide"][0] and "raise activation_bytes" in why["wide"][0]
    assert [len(reasons) for reasons in why.values()] == [0, 1, 1, 1, 1] and found["other_refusals"] == []
    totals = found["totals"]
    grouped = 16 * 4 * 3 * 3 * 3
    assert totals["macs"] == 16 * 4 * 2 + grouped + 16 * 600 * 4 and totals["accelerator_macs"] == 16 * 4 * 2
    text = intaglio("check", path, *small).out
    for part in ("REFUSED. What to do:", "split the network there: soft (SOFTMAX)", "1 accelerator, 4 refused"):
        assert part in text
    # The larger memory takes the last layer, in pieces.
    assert [op["place"] for op in answered(path, "--config", "tiny16", status=1)["operators"]][-1] == "accelerator"
    # What load says of the same file names the importer's part of it.
    with pytest.raises(RefusedError) as caught:
        load(path)
    assert [r.layer for r in caught.value.refusals] == ["grouped", "tanh"]


def test_inputs_and_nothing_to_run(tmp_path: Path) -> None:
    file = FileBuilder()
    x = file.tensor("x", (1, 4), np.int16, scale=0.5)
    y = file.tensor("y", (1, 4), scale=0.5)
    file.operator("RELU", [x], [y])
    found = answered(file.write(tmp_path / "a.tflite", [x], [y]), status=1)
    assert [op["place"] for op in found["operators"]] == ["refused"]
    assert [(r["kind"], r["name"]) for r in found["other_refusals"]] == [("input", "x")]
    assert "input x: its type is int16" in intaglio("check", tmp_path / "a.tflite").out

    file = FileBuilder()
    x = file.tensor("x", (1, 4), scale=0.5)
    y = file.tensor("y", (1, 4), scale=1 / 256, zero_point=-128)
    file.operator("SOFTMAX", [x], [y], "SoftmaxOptions", beta=1.0)
    found = answered(file.write(tmp_path / "b.tflite", [x], [y]), status=1)
    assert [op["place"] for op in found["operators"]] == ["host"]
    assert [(r["kind"], r["reason"]) for r in found["other_refusals"]] == [
        ("network", "no operator runs on the accelerator")
    ]


def test_a_folded_pad_and_a_free_reshape(tmp_path: Path) -> None:
    file = FileBuilder()
    x = file.tensor("x", (1, 3, 3, 8), scale=0.5)
    p = file.tensor("padded", (1, 5, 5, 8), scale=0.5)
    y = file.tensor("y", (1, 3, 3, 8), scale=0.5)
    z = file.tensor("z", (1, 9, 8, 1), scale=0.5)
    amounts = file.tensor("amounts", (4, 2), np.int32, data=np.array([[0, 0], [1, 1], [1, 1], [0, 0]]))
    weights = file.tensor("w", (8, 3, 3, 8), scale=[0.1], data=np.ones((8, 3, 3, 8)))
    file.operator("PAD", [x, amounts], [p])
    file.operator("CONV_2D", [p, weights], [y], **conv())
    file.operator("RESHAPE", [y], [z], "ReshapeOptions", newShape=[1, 9, 8, 1])
    found = answered(file.write(tmp_path / "m.tflite", [x], [z]), status=0)
    assert [(op["place"], op["why"]) for op in found["operators"]] == [
        ("fused", "part of y"),
        ("accelerator", "array"),
        ("accelerator", "another name for bytes on chip, no commands"),
    ]
    # The reshape is no second tensor: 3 rows of 24 bytes in, 3 out.
    assert found["totals"]["activation_peak_bytes"] == 2 * 3 * 24


def test_tiled_layers(tmp_path: Path) -> None:
    path = small_network(tmp_path / "small.tflite")
    found = answered(path, "--config", "tiny16", "--set", "activation_bytes=256", "--set", "weight_bytes=64", status=0)
    tiled = {op["name"]: op["tiled"] for op in found["operators"]}
    assert tiled["first"] == ["activations", "weights"] and tiled["sum"] == ["activations"] and tiled["classes"] == []


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    for path in (tmp_path / "missing.tflite", tmp_path / "broken.tflite", tmp_path):
        done = intaglio("check", path)
        assert done.status == 2 and done.out == "" and len(done.err.splitlines()) == 1, done
    good = small_network(tmp_path / "small.tflite")
    assert intaglio("check", good, "--config", "no").status == 2
    assert intaglio("check", good, "--json", tmp_path / "no" / "C.json").status == 2


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("overrides", [(), ("activation_bytes=256",), ("rounding=[double]",)], ids=lambda o: "".join(o))
def test_the_same_verdict_as_map(seed: int, overrides: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "random.tflite"
    random_network(seed, path, edges=seed % 2 == 1)
    config = load_config("tiny16", overrides)
    found = check(path, config)
    try:
        program = map_network(load(path), config)
    except InputError as error:
        assert not found.would_run, f"seed {seed}: {error}"
        assert {r.layer for r in getattr(error, "refusals", ())} <= {r.layer for r in found.refusals}
    else:
        assert found.would_run, f"seed {seed}: {found.refusals}"
        assert sum(layer.macs for layer in program.layers) == found.accelerator_macs


@pytest.mark.parametrize("seed", range(8))
def test_gaps_anywhere(seed: int, tmp_path: Path) -> None:
    """Whatever operators could not be imported, the others are told as before."""
    graph = load(random_network(seed, tmp_path / "random.tflite", edges=True).path)
    config = load_config("tiny16")
    whole = check(tmp_path / "random.tflite", config)
    steps = tuple(Step(op.name, op.kind, op.name) for op in graph.operators)
    for gap, op in enumerate(graph.operators):
        refusal = Refusal(op.name, op.kind, "a reason", "a remedy", gap)
        operators: list[Operator] = list(graph.operators)
        operators[gap] = Refused(op.name, op.inputs, op.outputs, op.kind)
        found = check_survey(Survey(replace(graph, operators=operators), steps, (refusal,)), config)
        assert refusal in found.refusals and found.operators[gap].place == "refused"
        for index, (row, before) in enumerate(zip(found.operators, whole.operators, strict=True)):
            if (
                index != gap and row.place != before.place
            ):  # a host operator is in the middle once its neighbour is none
                assert row.place == "refused" and "in the middle" in row.refusals[0][0], (seed, gap, row)


def test_rows_that_the_bus_pads() -> None:
    """Windows on a tensor whose rows lie as another shape's, twice: copied into rows of their own."""
    b = Builder(1)
    x = b.conv(b.dense(b.input(6, 5), 4, (1, 2, 3, 4)), 4, (1, 1))
    y = b.conv(b.dense(b.input(6, 5), 4, (1, 2, 3, 4)), 4, (1, 1))
    graph = b.graph(x, y)
    config = load_config("tiny16")
    found = check_survey(Survey(graph, tuple(Step(op.name, op.kind, op.name) for op in graph.operators), ()), config)
    assert not found.refusals
    mapped(graph, config, keep_all=True)


def test_an_onnx_file(tmp_path: Path) -> None:
    """Nodes of QDQ form: what a node is part of; groups that do not fit and a softmax in the middle, both at once."""
    pytest.importorskip("onnxruntime")
    from tests.network.onnx_files import OnnxBuilder

    b = OnnxBuilder()
    x = b.qdq(b.input("x", (1, 4, 6, 6)), 0.02, 0)
    y = b.qdq(b.node("Conv", [x, b.weights("w", np.ones((4, 4, 1, 1)), 0.01)], "y"), 0.02, 0)
    soft = b.quantize(b.node("Softmax", [y], "soft", axis=1), "soft_q", 1 / 256, -128)
    z = b.dequantize(soft, "soft_dq", 1 / 256, -128)
    z = b.qdq(b.node("Conv", [z, b.weights("g", np.ones((4, 2, 1, 1)), 0.01)], "grouped", group=3), 0.02, 0)
    path = b.write(tmp_path / "m.onnx", [z])
    found = answered(path, "--config", "tiny16", status=1)
    rows = {op["name"]: op for op in found["operators"]}
    assert rows["y"]["op"] == "Conv" and rows["y"]["place"] == "accelerator" and rows["y"]["macs"] == 36 * 16
    assert rows["y_q"]["place"] == "fused" and rows["y_q"]["why"] == "part of y"
    assert "group is 3" in rows["grouped"]["refusals"][0]["reason"] and rows["grouped"]["refusals"][0]["remedy"]
    assert "in the middle of the network" in rows["soft"]["refusals"][0]["reason"]
    assert found["totals"]["operators"]["refused"] == 2
