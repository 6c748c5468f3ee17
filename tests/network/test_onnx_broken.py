"""Files that are no usable models: always an InputError with file, reason and remedy, never another exception."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
import pytest

pytest.importorskip("onnxruntime")

from test_onnx_operators import conv_file
from test_onnx_refusals import changed, refusal

from intaglio.errors import InputError
from intaglio.network import execute, load, random_inputs
from intaglio.network.onnx.oracle import OnnxOracle
from tests.onnx_networks import random_onnx_network


@pytest.mark.parametrize("content", [b"", b"This is text.\n" * 20, b"\xff" * 64, b"\x08\x08" * 3, bytes(4096)])
def test_not_a_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    text = refusal(path)
    assert "not a usable ONNX model" in text and "export the model again" in text


def test_missing_directory_and_unreadable(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.onnx")
    (tmp_path / "d.onnx").mkdir()
    assert "directory" in refusal(tmp_path / "d.onnx")
    if os.geteuid() != 0:
        path = conv_file(tmp_path / "m.onnx")
        path.chmod(0)
        assert "ermission" in refusal(path)


def tries(path: Path) -> bool:
    """Whether it loads; a network that loads also runs."""
    try:
        graph = load(path)
        execute(graph, random_inputs(graph, 0))
    except InputError as error:
        assert str(error)
        return False
    return True


def test_truncated_at_every_length(tmp_path: Path) -> None:
    whole = conv_file(tmp_path / "m.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        tries(path)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_random_bytes(tmp_path: Path, seed: int) -> None:
    """Networks in both forms with one to three bytes changed."""
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    whole = random_onnx_network(3 * seed, tmp_path / "m.onnx").path.read_bytes()
    path = tmp_path / "damaged.onnx"
    loaded = 0
    for _ in range(200):
        data = bytearray(whole)
        for position in rng.integers(0, len(data), int(rng.integers(1, 4))):
            data[position] = int(rng.integers(256))
        path.write_bytes(bytes(data))
        loaded += tries(path)
    assert loaded < 200


def rewire(model: onnx.ModelProto, rng: np.random.Generator) -> None:
    """One change of the graph's structure."""
    graph = model.graph
    node = graph.node[int(rng.integers(len(graph.node)))]
    names = [name for n in graph.node for name in (*n.input, *n.output) if name]
    match int(rng.integers(9)):
        case 0 if node.input:
            node.input[int(rng.integers(len(node.input)))] = str(rng.choice(names))
        case 1:
            node.output[0] = str(rng.choice(names))
        case 2:
            graph.node.remove(node)
        case 3:
            node.op_type = str(rng.choice([n.op_type for n in graph.node] + ["Relu", "MaxPool", "Nonsense", "Shape"]))
        case 4 if node.input:
            del node.input[int(rng.integers(len(node.input))) :]
        case 5 if node.attribute:
            attribute = node.attribute[int(rng.integers(len(node.attribute)))]
            attribute.i = int(rng.choice([-1, 0, 1, 2, 2**40]))
            for i in range(len(attribute.ints)):
                attribute.ints[i] = int(rng.choice([-1, 0, 1, 2, 7, 2**40]))
        case 6:
            tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
            if tensor.dims:
                tensor.dims[int(rng.integers(len(tensor.dims)))] = int(rng.choice([0, 1, 3, 2**31]))
        case 7:
            tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
            tensor.data_type = int(rng.integers(0, 28))
        case _:
            tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
            tensor.raw_data = rng.integers(0, 256, len(tensor.raw_data), np.uint8).tobytes()


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_random_structures(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    whole = random_onnx_network(3 * seed + 1, tmp_path / "m.onnx").path.read_bytes()
    path = tmp_path / "rewired.onnx"
    for _ in range(200):
        model = onnx.ModelProto.FromString(whole)
        for _ in range(int(rng.integers(1, 3))):
            rewire(model, rng)
        path.write_bytes(model.SerializeToString())
        tries(path)


def external(path: Path, location: str, **entries: object) -> Path:
    """The weights in an external file, which is not written."""

    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == "w_raw")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            tensor.external_data.add(key=key, value=str(value))

    return changed(path, change)


def test_external_data(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(10000))
    (folder / "weights").write_bytes(bytes(range(216)))
    os.symlink(tmp_path / "secret", folder / "link")
    for location in ("../secret", str(tmp_path / "secret"), "link", ""):
        assert "outside the model's folder" in refusal(external(folder / "m.onnx", location))
    assert "is missing" in refusal(external(folder / "m.onnx", "nothing"))
    assert "is a directory, not a regular file" in refusal(external(folder / "m.onnx", "."))
    os.mkfifo(folder / "pipe")
    assert "is a FIFO, not a regular file" in refusal(external(folder / "m.onnx", "pipe"))
    assert "no file is called" in refusal(external(folder / "m.onnx", "weights\0"))
    assert "not a usable ONNX model" in refusal(external(folder / "m.onnx", "w" * 5000))
    for entries in ({"offset": 1}, {"length": 2**31}, {"offset": -5}, {"length": 3}):
        assert "216 needed" in refusal(external(folder / "m.onnx", "weights", **entries))
    assert "no number" in refusal(external(folder / "m.onnx", "weights", offset="here"))
    graph = load(external(folder / "m.onnx", "weights"))
    (conv,) = (op for op in graph.operators if op.kind == "Conv2D")
    assert conv.weights.transpose(0, 3, 1, 2).tobytes() == bytes(range(216))


def test_claims_of_huge_constants(tmp_path: Path) -> None:
    def raw(model: onnx.ModelProto) -> None:
        next(t for t in model.graph.initializer if t.name == "w_raw").dims[:] = [2**20, 2**20, 2, 2]

    def typed(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == "w_raw")
        tensor.ClearField("raw_data")
        tensor.dims[:] = [2**15, 2**15, 2, 2]

    def made(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2**20, 2**10]), "claimed"))
        model.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["claimed"], ["huge"]))
        model.graph.node.append(onnx.helper.make_node("Add", ["y_dq", "huge"], ["sum"]))
        model.graph.output[0].name = "sum"

    assert "bytes of data" in refusal(changed(tmp_path / "m.onnx", raw))
    assert "claims" in refusal(changed(tmp_path / "m.onnx", typed))
    refusal(changed(tmp_path / "m.onnx", made))


def test_structure_rules(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"

    def cycle(model: onnx.ModelProto) -> None:
        next(n for n in model.graph.node if n.op_type == "QuantizeLinear").input[0] = "y_dq"

    def twice(model: onnx.ModelProto) -> None:
        model.graph.node.append(onnx.NodeProto.FromString(model.graph.node[-1].SerializeToString()))

    def absent(model: onnx.ModelProto) -> None:
        next(n for n in model.graph.node if n.op_type == "Conv").input[0] = "nowhere"

    def branch(model: onnx.ModelProto) -> None:
        then = onnx.helper.make_graph(
            [onnx.helper.make_node("Identity", ["y_dq"], ["t"])],
            "then",
            [],
            [onnx.helper.make_tensor_value_info("t", onnx.TensorProto.FLOAT, None)],
        )
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "condition"))
        model.graph.node.append(
            onnx.helper.make_node("If", ["condition"], ["chosen"], then_branch=then, else_branch=then)
        )
        model.graph.output[0].name = "chosen"

    def recursion(model: onnx.ModelProto) -> None:
        opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("mine", 1)]
        node = onnx.helper.make_node("F", ["a"], ["b"], domain="mine")
        model.functions.append(onnx.helper.make_function("mine", "F", ["a"], ["b"], [node], opsets))
        model.opset_import.append(onnx.helper.make_opsetid("mine", 1))

    def domain(model: onnx.ModelProto) -> None:
        model.graph.node[-1].domain = "my.company"
        model.opset_import.append(onnx.helper.make_opsetid("my.company", 1))

    def microsoft(model: onnx.ModelProto) -> None:
        model.graph.node.append(onnx.helper.make_node("FusedConv", ["y_dq"], ["z"], domain="com.microsoft"))
        model.graph.output[0].name = "z"

    def latin(model: onnx.ModelProto) -> None:
        model.graph.node[0].name = "AAAA"

    def no_output(model: onnx.ModelProto) -> None:
        del model.graph.output[:]

    reasons = {
        cycle: "sorted",
        twice: "checker says",
        absent: "nowhere",
        branch: "If 'chosen'",
        recursion: "'F' calls itself",
        domain: "DequantizeLinear is a custom operator of the domain 'my.company'",
        microsoft: "FusedConv is an operator of onnxruntime's own (com.microsoft); give the file from before",
        no_output: "no outputs",
    }
    for change, reason in reasons.items():
        assert reason in refusal(changed(path, change)), change.__name__
    path.write_bytes(changed(path, latin).read_bytes().replace(b"AAAA", b"\xe9\xe8\xe0\xff"))
    assert "UTF-8" in refusal(path)


RUNTIMES_OPSET = 26
"""The newest of onnxruntime 1.31."""


def test_an_opset_beyond_the_reference(tmp_path: Path) -> None:
    """onnx's newest opset may be newer than onnxruntime's: the network is read, the reference says what it lacks."""
    path = random_onnx_network(2, tmp_path / "net.onnx").path
    model = onnx.load(path)
    newest = onnx.defs.onnx_opset_version()
    if newest <= RUNTIMES_OPSET:
        pytest.skip(f"onnx {onnx.__version__} knows no opset that onnxruntime lacks")
    onnx.save(onnx.version_converter.convert_version(model, newest), path)
    load(path)
    with pytest.raises(
        InputError, match=rf"onnxruntime [\d.]+, the reference, cannot load it.*another opset than {newest}"
    ):
        OnnxOracle(path)
