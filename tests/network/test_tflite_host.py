"""Operators behind the array's last one: LiteRT runs them on the host; every tensor equals LiteRT's run of the whole file."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from tflite_files import FileBuilder, conv, enum

from intaglio.check import check
from intaglio.errors import InputError, RefusedError
from intaglio.machine.config_files import load_config
from intaglio.network import execute, extreme_inputs, load, random_inputs, survey
from intaglio.network.tflite import host, tail, trial
from intaglio.network.tflite.host import LiteRTHost
from intaglio.network.tflite.oracle import LiteRTOracle
from intaglio.session import Session

Ends = list[int]


class Tail(FileBuilder):
    """x int8 [1, 4, 4, 2] -> CONV_2D -> y int8 [1, 4, 4, 3], and what a test puts behind it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.x, self.y = self.tensor("x", (1, 4, 4, 2), scale=0.5), self.layer("y")

    def layer(self, name: str) -> int:
        """A convolution of x."""
        x = 0
        y = self.tensor(name, (1, 4, 4, 3), scale=0.25, zero_point=-3)
        weights = np.random.default_rng(len(name)).integers(-127, 128, (3, 1, 1, 2))
        w = self.tensor(f"{name}/w", (3, 1, 1, 2), scale=[0.01, 0.02, 0.03], data=weights)
        b = self.tensor(f"{name}/b", (3,), np.int32, scale=[0.005, 0.01, 0.015], data=np.arange(3))
        self.operator("CONV_2D", [x, w, b], [y], **conv())
        return y

    def constant(self, value: Any, dtype: Any = np.int32, **more: Any) -> int:
        array = np.asarray(value)
        return self.tensor(f"c{len(self.graph.tensors)}", array.shape, dtype, data=array, **more)

    def put(self, code: str, inputs: list[int], shape: tuple[int, ...], dtype: Any = np.int8, **more: Any) -> int:
        """An operator of one output; scale and zero_point among the options are the output's."""
        quantization = {key: more.pop(key) for key in ("scale", "zero_point") if key in more}
        y = self.tensor(f"t{len(self.graph.tensors)}", shape, dtype, **quantization)
        self.operator(code, inputs, [y], **more)
        return y

    def real(self, value: int | None = None) -> int:
        """y as float32."""
        return self.put("DEQUANTIZE", [self.y if value is None else value], (1, 4, 4, 3), np.float32)

    def save(self, path: Path, outputs: list[int]) -> Path:
        return self.write(path / "m.tflite", [self.x], outputs)


def arg_max(dtype: Any) -> Callable[[Tail], Ends]:
    def build(f: Tail) -> Ends:
        output_type = enum("TensorType", np.dtype(dtype).name.upper())
        options = {"options": "ArgMaxOptions", "outputType": output_type}
        return [f.put("ARG_MAX", [f.y, f.constant(-1)], (1, 4, 4), dtype, **options)]

    return build


def logistic(f: Tail) -> Ends:
    return [f.put("LOGISTIC", [f.y], (1, 4, 4, 3), scale=1 / 256, zero_point=-128)]


def logistic_dequantized(f: Tail) -> Ends:
    return [f.real(*logistic(f))]


def tanh(f: Tail) -> Ends:
    return [f.put("TANH", [f.y], (1, 4, 4, 3), scale=1 / 128)]


def log_softmax(f: Tail) -> Ends:
    return [f.put("LOG_SOFTMAX", [f.y], (1, 4, 4, 3), scale=16 / 256, zero_point=127)]


def scaled(f: Tail) -> Ends:
    """A product by a constant for each channel and a difference from one constant."""
    factor = f.constant([[[[3, -5, 7]]]], np.int8, scale=0.1)
    product = f.put("MUL", [f.y, factor], (1, 4, 4, 3), scale=0.5, options="MulOptions")
    return [f.put("SUB", [product, f.constant([9], np.int8, scale=0.5)], (1, 4, 4, 3), scale=0.5, options="SubOptions")]


def float_tail(f: Tail) -> Ends:
    """Floats behind a DEQUANTIZE, the last of them integers again."""
    a = f.put("LOGISTIC", [f.real()], (1, 4, 4, 3), np.float32)
    b = f.put("MUL", [a, f.constant([0.5, 2, 3], np.float32)], (1, 4, 4, 3), np.float32, options="MulOptions")
    c = f.put("LOG", [b], (1, 4, 4, 3), np.float32)
    d = f.put("SOFTMAX", [c], (1, 4, 4, 3), np.float32, options="SoftmaxOptions", beta=1.5)
    return [d, f.put("ARG_MIN", [d, f.constant(3)], (1, 4, 4), np.int64, options="ArgMinOptions", outputType=4)]


def not_a_number(f: Tail) -> Ends:
    return [f.put("SQRT", [f.real()], (1, 4, 4, 3), np.float32)]


def top_k(f: Tail) -> Ends:
    values, places = f.tensor("v", (1, 4, 4, 2), scale=0.25, zero_point=-3), f.tensor("p", (1, 4, 4, 2), np.int32)
    f.operator("TOPK_V2", [f.y, f.constant(2)], [values, places], "TopKV2Options")
    return [places]


def moved(f: Tail) -> Ends:
    """Reshapes of other types than int8, a transposition, a scalar."""
    real = f.real()
    flat = f.put("RESHAPE", [real, f.constant([3, -1])], (3, 16), np.float32)
    turned = f.put("TRANSPOSE", [flat, f.constant([1, 0])], (16, 3), np.float32, options="TransposeOptions")
    most = f.put("REDUCE_MAX", [turned, f.constant([0, 1])], (), np.float32, options="ReducerOptions")
    one = f.put("EXPAND_DIMS", [most, f.constant([0])], (1,), np.float32)
    return [f.put("CONCATENATION", [one, one], (2,), np.float32, options="ConcatenationOptions"), turned]


def reshaped(f: Tail) -> Ends:
    """An int8 Reshape behind an operator of the host, and one before it."""
    flat = f.put("RESHAPE", [f.y, f.constant([1, 48])], (1, 48), scale=0.25, zero_point=-3)
    soft = f.put("LOG_SOFTMAX", [flat], (1, 48), scale=16 / 256, zero_point=127)
    return [f.put("RESHAPE", [soft, f.constant([4, 12])], (4, 12), scale=16 / 256, zero_point=127)]


def two_heads(f: Tail) -> Ends:
    """Two layers' results joined, and each by itself."""
    other = f.layer("other")
    joined = f.put("CONCATENATION", [f.y, other], (1, 4, 4, 6), scale=0.25, zero_point=-3, **joined_last())
    classes = f.put("ARG_MAX", [other, f.constant(3)], (1, 4, 4), np.int32, options="ArgMaxOptions", outputType=2)
    return [joined, classes, *log_softmax(f)]


def joined_last() -> dict[str, Any]:
    return {"options": "ConcatenationOptions", "axis": 3}


def padded(f: Tail) -> Ends:
    amounts = f.constant([[0, 0], [1, 0], [0, 2], [0, 0]])
    return [f.put("PAD", [f.y, amounts], (1, 5, 6, 3), scale=0.25, zero_point=-3)]


def other_types(f: Tail) -> Ends:
    """uint8 and int16 numbers at the network's end, and truth."""
    old = f.put("QUANTIZE", [f.y], (1, 4, 4, 3), np.uint8, scale=0.25, zero_point=125)
    wide = f.put("QUANTIZE", [f.real()], (1, 4, 4, 3), np.int16, scale=0.001)
    truth = f.put("GREATER", [f.real(), f.constant([1.5], np.float32)], (1, 4, 4, 3), np.bool_)
    whole = f.put("CAST", [truth], (1, 4, 4, 3), np.int32, options="CastOptions", inDataType=6, outDataType=2)
    bare = f.put("CAST", [whole], (1, 4, 4, 3), np.int8, options="CastOptions", inDataType=2, outDataType=9)
    return [old, wide, truth, whole, bare]


def split(f: Tail) -> Ends:
    parts = [f.tensor(f"part{i}", (1, 2, 4, 3), scale=0.25, zero_point=-3) for i in range(2)]
    f.operator("SPLIT", [f.constant(1), f.y], parts, "SplitOptions", numSplits=2)
    return parts


def computed_constants(f: Tail) -> Ends:
    """A constant of float16, widened by the file, and one that only LiteRT computes, by two operators."""
    factor = f.put("DEQUANTIZE", [f.constant([0.1, 0.2, 0.3], np.float16)], (3,), np.float32)
    cosine = f.put("COS", [f.constant([1, 2, 3], np.float32)], (3,), np.float32)
    addend = f.put("SQUARE", [cosine], (3,), np.float32)
    product = f.put("MUL", [f.real(), factor], (1, 4, 4, 3), np.float32, options="MulOptions")
    return [f.put("ADD", [product, addend], (1, 4, 4, 3), np.float32, options="AddOptions")]


def float_layer(f: Tail) -> Ends:
    w, b = f.constant(np.arange(6).reshape(2, 1, 1, 3) / 7, np.float32), f.constant([0.5, 1], np.float32)
    return [f.put("CONV_2D", [f.real(), w, b], (1, 4, 4, 2), np.float32, **conv())]


def padded_layer(f: Tail) -> Ends:
    """A PAD before a convolution that a rule refuses: no part of it, the host runs both."""
    amounts = f.constant([[0, 0], [1, 1], [1, 1], [0, 0]])
    wide = f.put("PAD", [f.y, amounts], (1, 6, 6, 3), scale=0.25, zero_point=-3)
    w = f.constant(np.arange(54).reshape(2, 3, 3, 3), np.int8, scale=0.1)
    b = f.constant([1, 2], np.int32, scale=0.025)
    return [f.put("CONV_2D", [wide, w, b], (1, 4, 4, 2), scale=3.0, **conv(activation="TANH"))]


def enlarged(f: Tail) -> Ends:
    size = f.constant([7, 9])
    return [
        f.put("RESIZE_BILINEAR", [f.y, size], (1, 7, 9, 3), scale=0.25, zero_point=-3, options="ResizeBilinearOptions")
    ]


def twice_read(f: Tail) -> Ends:
    return [f.put("MUL", [f.y, f.y], (1, 4, 4, 3), scale=2.0, options="MulOptions")]


TAILS: list[tuple[Callable[[Tail], Ends], list[str]]] = [
    (arg_max(np.int32), ["ARG_MAX"]),
    (arg_max(np.int64), ["ARG_MAX"]),
    (logistic, []),
    (logistic_dequantized, []),
    (tanh, []),
    (log_softmax, ["LOG_SOFTMAX"]),
    (scaled, []),
    (float_tail, ["LOGISTIC", "MUL", "LOG", "SOFTMAX", "ARG_MIN"]),
    (not_a_number, ["SQRT"]),
    (top_k, ["TOPK_V2"]),
    (moved, ["RESHAPE", "TRANSPOSE", "REDUCE_MAX", "EXPAND_DIMS", "CONCATENATION"]),
    (reshaped, ["LOG_SOFTMAX"]),
    (two_heads, ["ARG_MAX", "LOG_SOFTMAX"]),
    (padded, []),
    (other_types, ["QUANTIZE", "GREATER", "CAST", "CAST"]),
    (split, []),
    (computed_constants, ["MUL", "ADD"]),
    (float_layer, ["CONV_2D"]),
    (padded_layer, ["PAD", "CONV_2D"]),
    (enlarged, ["RESIZE_BILINEAR"]),
    (twice_read, ["MUL"]),
]


def bits(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(array.tobytes(), np.uint8)


@pytest.mark.parametrize(("build", "kinds"), TAILS)
def test_every_tensor_equals_litert(tmp_path: Path, build: Callable[[Tail], Ends], kinds: list[str]) -> None:
    file = Tail()
    path = file.save(tmp_path, build(file))
    graph, oracle = load(path), LiteRTOracle(path)
    assert [op.kind for op in graph.operators if isinstance(op, LiteRTHost)] == kinds
    session = Session.map(graph, load_config("tiny16"))
    for number, inputs in enumerate([random_inputs(graph, 1), *extreme_inputs(graph).values()]):
        ours, theirs = execute(graph, inputs), oracle.run(inputs)
        assert set(graph.outputs) <= ours.keys() <= theirs.keys()
        ran = session.run(inputs).tensors if number < 2 else ours
        for name, value in ours.items():
            assert (value.dtype, value.shape) == (theirs[name].dtype, theirs[name].shape), name
            np.testing.assert_array_equal(bits(value), bits(theirs[name]), name)
        for name in ran.keys() & ours.keys():
            np.testing.assert_array_equal(bits(ran[name]), bits(ours[name]), name)
        assert ran.keys() >= set(graph.outputs)
    rows = check(path, load_config("tiny16"))
    assert rows.would_run and [row.place for row in rows.operators if row.op in kinds].count("host") >= len(kinds)


def test_computed_constants_are_part_of_who_reads_them(tmp_path: Path) -> None:
    file = Tail()
    path = file.save(tmp_path, computed_constants(file))
    graph = load(path)
    rows = check(path, load_config("tiny16")).operators
    shown = [(row.op, row.place, row.why.split(" ")[0]) for row in rows if row.place == "fused"]
    assert shown == [("DEQUANTIZE", "fused", "a"), ("COS", "fused", "part"), ("SQUARE", "fused", "part")]
    assert all(op.inputs for op in graph.operators)


def refused(file: Tail, path: Path, outputs: list[int]) -> str:
    """The one refusal."""
    with pytest.raises(RefusedError) as error:
        load(file.save(path, outputs))
    (refusal,) = error.value.refusals
    return str(refusal)


def test_many_threads(tmp_path: Path) -> None:
    """As accuracy over many samples runs a network."""
    file = Tail()
    graph = load(file.save(tmp_path, float_tail(file)))
    given = [random_inputs(graph, seed) for seed in range(40)]
    alone = [execute(graph, inputs) for inputs in given]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda inputs: execute(graph, inputs), given * 5))
    for one, many in zip(alone * 5, together, strict=True):
        assert all((bits(one[name]) == bits(many[name])).all() for name in graph.outputs)


def test_macs_on_the_host_are_not_the_array_s(tmp_path: Path) -> None:
    file = Tail()
    found = check(file.save(tmp_path, float_layer(file)), load_config("tiny16"))
    assert (found.macs, found.accelerator_macs) == (16 * 6 + 16 * 6, 16 * 6)
    (note,) = found.notes
    assert "CONV_2D 't" in note and "runs on the host, not on the array: " in note and "quantize the network" in note


def test_in_the_middle(tmp_path: Path) -> None:
    """An operator of the array reads what follows from it: refused as ever."""
    file = Tail()
    real = file.put("COS", [file.real()], (1, 4, 4, 3), np.float32)
    back = file.put("QUANTIZE", [real], (1, 4, 4, 3), scale=0.25)
    end = file.put("RELU", [back], (1, 4, 4, 3), scale=0.25)
    assert "COS 't5': this operator is not supported; use operators out of" in refused(file, tmp_path, [end]).replace(
        f"'t{real}'", "'t5'"
    )


def test_before_the_first_layer(tmp_path: Path) -> None:
    file = FileBuilder()
    x, y = file.tensor("x", (1, 4), scale=1.0), file.tensor("y", (1, 4), scale=16 / 256, zero_point=127)
    file.operator("LOG_SOFTMAX", [x], [y])
    file.operator("RELU", [x], [file.tensor("z", (1, 4), scale=1.0)])
    with pytest.raises(RefusedError, match="LOG_SOFTMAX 'y': this operator is not supported"):
        load(file.write(tmp_path / "m.tflite", [x], [y, 2]))


@pytest.mark.parametrize("code", ["RANDOM_UNIFORM", "VAR_HANDLE", "SVDF"])
def test_operators_with_state(tmp_path: Path, code: str) -> None:
    file = Tail()
    end = file.put(code, [file.y, file.constant([2, 2])], (1, 4, 4, 3), np.float32)
    if code == "SVDF":
        file.graph.tensors[end - 1].isVariable, file.graph.tensors[end - 1].buffer = True, 0
    assert f"{code} 't{end}': this operator is not supported" in refused(file, tmp_path, [end])


def test_custom_operators_and_what_they_read(tmp_path: Path) -> None:
    file = Tail()
    soft = log_softmax(file)
    end = file.put("CUSTOM", soft, (1, 10), np.float32)
    file.model.operatorCodes[-1].customCode = b"TFLite_Detection_PostProcess"
    with pytest.raises(RefusedError) as error:
        load(file.save(tmp_path, [end]))
    assert [r.operator for r in error.value.refusals] == ["LOG_SOFTMAX", "CUSTOM:TFLite_Detection_PostProcess"]


def test_litert_s_own_refusal(tmp_path: Path) -> None:
    file = Tail()
    end = file.put("LOGISTIC", [file.y], (1, 4, 4, 3), scale=0.5)
    line = refused(file, tmp_path, [end])
    assert "LiteRT cannot run it on the host: " in line and "LOGISTIC" in line and "failed to prepare" in line


def test_a_dynamic_shape(tmp_path: Path) -> None:
    file = Tail()
    truth = file.put("GREATER", [file.real(), file.constant([1.5], np.float32)], (1, 4, 4, 3), np.bool_)
    end = file.put("WHERE", [truth], (48, 4), np.int64)
    assert "its output's shape is known only when it has run; leave it out" in refused(file, tmp_path, [end])


def test_another_shape_or_type_than_the_file_says(tmp_path: Path) -> None:
    file = Tail()
    end = file.put("ARG_MAX", [file.y, file.constant(3)], (4, 4), np.int32, options="ArgMaxOptions", outputType=4)
    line = refused(file, tmp_path, [end])
    assert "the file says int32 of shape [4, 4], LiteRT gives int64 of shape [1, 4, 4]" in line


@pytest.mark.parametrize("shape", [(1, -1, 4, 3), (0,), (2**13, 2**14)])
def test_sizes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    file = Tail()
    end = file.put("BROADCAST_TO", [file.y, file.constant(shape)], shape, scale=0.25, zero_point=-3)
    line = refused(file, tmp_path, [end])
    assert ("not fixed and positive" if min(shape) < 1 else "stay at or below") in line


def test_all_tensors_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MAX_ELEMENTS", 4 * 48)
    file = Tail()
    path = file.save(tmp_path, [*log_softmax(file), *log_softmax(file), *log_softmax(file)])
    (refusal,) = survey(path).refusals
    assert "have more than 192 elements together; leave it out" in str(refusal)


def test_an_operator_that_ends_litert_s_process(tmp_path: Path) -> None:
    """LiteRT's sum of exponentials overflows: it aborts."""
    file = Tail()
    wide = file.put(
        "RESIZE_BILINEAR",
        [file.y, file.constant([40, 50])],
        (1, 40, 50, 3),
        **like_y(),
        options="ResizeBilinearOptions",
    )
    row = file.put("RESHAPE", [wide, file.constant([1, 6000])], (1, 6000), **like_y())
    end = file.put("SOFTMAX", [row], (1, 6000), scale=1 / 256, zero_point=-128, options="SoftmaxOptions", beta=0.1)
    line = refused(file, tmp_path, [end, *logistic(file)])
    assert f"SOFTMAX 't{end}': LiteRT cannot run it on the host: it ends LiteRT's process (SIGABRT)" in line


def like_y() -> dict[str, Any]:
    return {"scale": 0.25, "zero_point": -3}


def test_time_and_the_number_of_ends_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Tail()
    good = file_bytes(file, logistic(file))
    monkeypatch.setattr(trial, "CHILD", "import os, sys; sys.stdin.buffer.read(8); os.abort()")
    found = trial.tried((good,) * 7)
    assert [v.error for v in found[:4]] == ["it ends LiteRT's process (SIGABRT)"] * 4
    assert [v.error for v in found[4:]] == ["others of its kind ended LiteRT's process"] * 3
    monkeypatch.setattr(trial, "CHILD", "import time; time.sleep(60)")
    monkeypatch.setattr(trial, "SECONDS", 0.3)
    monkeypatch.setattr(trial, "ENDS", 1)
    assert trial.tried((good, good))[0].error == "LiteRT takes more than 0.3 s for it"


def file_bytes(file: Tail, outputs: list[int]) -> bytes:
    file.graph.inputs, file.graph.outputs = [file.x], outputs
    return file.pack()


def test_shared_constants_are_not_copied_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "SPARE", 0)
    file = Tail()
    table = file.constant(np.ones((4, 4, 300)), np.int8, scale=0.25, zero_point=-3)
    ends = [file.put("CONCATENATION", [file.put("RESHAPE", [file.y, file.constant([4, 4, 3])], (4, 4, 3), **like_y()), table], (4, 4, 303), **like_y(), options="ConcatenationOptions", axis=2) for _ in range(30)]  # fmt: skip
    path = file.save(tmp_path, ends)
    found = survey(path)
    assert 0 < len(found.refusals) < 30
    assert all("share more constants than the host copies" in r.reason for r in found.refusals)


def test_damaged_words(tmp_path: Path) -> None:
    """Each word of a file is changed, one at a time: an answer, or an InputError."""
    file = Tail()
    path = file.save(tmp_path, log_softmax(file))
    whole = bytearray(path.read_bytes())
    found = []
    for at in range(0, len(whole) - 4, 4):
        path.write_bytes(bytes(whole[:at]) + b"\xff\xff\xff\x7f" + bytes(whole[at + 4 :]))
        try:
            found.append(survey(path).refusals == ())
        except InputError:
            found.append(False)
    assert not all(found)


def test_an_operator_that_fails_at_run_time(tmp_path: Path) -> None:
    """GATHER at places that are computed, outside of the tensor for some inputs."""
    file = Tail()
    most = file.put("REDUCE_MAX", [file.y, file.constant([0, 1, 2, 3])], (), **like_y(), options="ReducerOptions")
    real = file.put("DEQUANTIZE", [most], (), np.float32)
    place = file.put("CAST", [real], (), np.int32, options="CastOptions", inDataType=0, outDataType=2)
    table = file.constant([1.5, 2.5], np.float32)
    end = file.put("GATHER", [table, place], (), np.float32, options="GatherOptions")
    graph = load(file.save(tmp_path, [end]))
    with pytest.raises(
        InputError, match=rf"operator 't{end}' \(GATHER\): LiteRT cannot run it: gather index out of bounds"
    ):
        execute(graph, extreme_inputs(graph)["ramp"])


def test_without_litert_s_interpreter_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Tail()
    graph = load(file.save(tmp_path, log_softmax(file)))
    real_import = builtins.__import__

    def no_litert(name: str, *args: Any) -> Any:
        if name.startswith("ai_edge_litert"):
            raise ImportError(name)
        return real_import(name, *args)

    host._prepared.cache_clear()
    monkeypatch.setattr(builtins, "__import__", no_litert)
    with pytest.raises(InputError, match=r"LiteRT, which is not installed; .*-m pip install '?ai-edge-litert"):
        execute(graph, random_inputs(graph, 0))
