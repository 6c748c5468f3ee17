"""Samples and labels of .npz files: what is taken, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intaglio.dataset import InputForm, quantize_real, read_dataset
from intaglio.errors import InputError
from intaglio.network.graph import Quantization

F32, I8, I64 = np.dtype(np.float32), np.dtype(np.int8), np.dtype(np.int64)
SCALE = Quantization(np.array([0.5], np.float32), np.array([3]))
IMAGE = {"image": InputForm((1, 2, 3), F32)}
RANDOM = np.random.default_rng(0)


def read(tmp_path: Path, forms: dict[str, InputForm], **arrays: np.ndarray):  # type: ignore[no-untyped-def]
    np.savez(tmp_path / "d.npz", **arrays)
    return read_dataset(tmp_path / "d.npz", forms)


@pytest.mark.parametrize("key", ["image", "inputs"])
@pytest.mark.parametrize("shape", [(4, 2, 3), (4, 1, 2, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_what_is_taken(tmp_path: Path, key: str, shape: tuple[int, ...], dtype: type) -> None:
    array = RANDOM.normal(size=shape).astype(dtype)
    data = read(tmp_path, IMAGE, **{key: array, "labels": np.arange(4, dtype=np.uint8)})
    assert len(data) == 4 and data.inputs["image"].dtype == np.float32
    np.testing.assert_array_equal(data.sample(2)["image"], array[2].reshape(1, 2, 3).astype(np.float32))
    assert data.labels is not None and data.labels.dtype == np.int64 and data.labels.tolist() == [0, 1, 2, 3]


def test_several_inputs(tmp_path: Path) -> None:
    forms = {"a": InputForm((1, 2), F32), "labels": InputForm((3,), I64)}
    data = read(tmp_path, forms, a=np.ones((5, 2), np.float32), labels=np.arange(15, dtype=np.int32).reshape(5, 3))
    assert data.labels is None and data.sample(4)["labels"].tolist() == [12, 13, 14]
    assert data.inputs["labels"].dtype == np.int64


def test_real_numbers_for_a_quantized_input(tmp_path: Path) -> None:
    values = np.array([[0.25, 0.75, -0.25, -0.75, 100.0, -100.0]], np.float32)
    even, away = (InputForm((6,), I8, SCALE, half_even=half) for half in (True, False))
    assert quantize_real(values, even).tolist() == [[3, 5, 3, 1, 127, -128]]
    assert quantize_real(values, away).tolist() == [[4, 5, 2, 1, 127, -128]]
    assert read(tmp_path, {"x": away}, x=values).inputs["x"].tolist() == [[4, 5, 2, 1, 127, -128]]
    integers = RANDOM.integers(-128, 128, (3, 6), np.int8)
    np.testing.assert_array_equal(read(tmp_path, {"x": away}, x=integers).inputs["x"], integers)


def test_quantizing_equals_litert_and_onnx() -> None:
    """Halves and their neighbours, over the whole range, against the formats' own rules."""
    from intaglio.network.affine import quantize

    values = np.concatenate([np.arange(-70, 70, 0.25), RANDOM.normal(0, 30, 2000)]).astype(np.float32)
    assert np.array_equal(quantize_real(values, InputForm((1,), I8, SCALE, half_even=False)), quantize(values, SCALE))
    pytest.importorskip("onnx")
    import onnx.parser
    from onnx.reference import ReferenceEvaluator

    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> q (float[N] x) => (int8[N] y) '
        "{ s = Constant<value = float {0.5}>() z = Constant<value = int8 {3}>() y = QuantizeLinear(x, s, z) }"
    )
    expected = ReferenceEvaluator(model).run(None, {"x": values})[0]
    assert np.array_equal(quantize_real(values, InputForm((1,), I8, SCALE)), expected)


GOOD = np.ones((4, 2, 3), np.float32)
REFUSED: dict[str, tuple[dict[str, np.ndarray], list[str]]] = {
    "no input": ({"picture": GOOD}, ["no array for input 'image'", "[1, 2, 3]", "'picture' is no input"]),
    "extra": ({"image": GOOD, "more": GOOD}, ["'more' is no input", "'image'"]),
    "both": ({"image": GOOD, "inputs": GOOD}, ["'inputs' is no input"]),
    "shape": ({"image": GOOD[:, 0]}, ["shape [4, 3]", "[N, 2, 3] or [N, 1, 2, 3]", "reshape"]),
    "channels last": ({"image": GOOD.transpose(0, 2, 1)}, ["shape [4, 3, 2]", "transpose"]),
    "scalar": ({"image": np.float32(3)}, ["shape []"]),
    "empty": ({"image": GOOD[:0]}, ["no sample"]),
    "integers": ({"image": GOOD.astype(np.uint8)}, ["type uint8", "float32", "scale it as in training"]),
    "nan": ({"image": np.where(np.arange(4)[:, None, None] == 2, np.nan, GOOD)}, ["NaN or infinity", "sample 2"]),
    "overflow": ({"image": GOOD.astype(np.float64) * 1e39}, ["NaN or infinity", "sample 0"]),
    "labels float": ({"image": GOOD, "labels": np.ones(4)}, ["'labels' has type float64", "integers"]),
    "labels short": ({"image": GOOD, "labels": np.arange(3)}, ["'labels' has shape [3]", "4 samples"]),
    "labels scalar": ({"image": GOOD, "labels": np.int64(3)}, ["'labels' has shape []"]),
    "labels only": ({"labels": np.arange(3)}, ["no array for input 'image'"]),
    "text": ({"image": np.array(["a"] * 4)}, ["shape [4]"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    arrays, parts = REFUSED[name]
    with pytest.raises(InputError) as caught:
        read(tmp_path, IMAGE, **arrays)
    for part in (*parts, "d.npz"):
        assert part in str(caught.value), (part, str(caught.value))


def test_other_refusals(tmp_path: Path) -> None:
    two = {"a": InputForm((1, 2), F32), "b": InputForm((1, 2), F32)}
    array = np.ones((4, 2), np.float32)
    for arrays, part in (
        ({"a": array, "b": array[:3]}, "different numbers of samples"),
        ({"inputs": array}, "no array for input 'a'"),
    ):
        with pytest.raises(InputError, match=part):
            read(tmp_path, two, **arrays)
    with pytest.raises(InputError, match="give real numbers"):
        read(tmp_path, {"x": InputForm((2,), I8, SCALE)}, x=array.astype(np.uint8))
    with pytest.raises(InputError, match="holds 0 to 300"):
        read(tmp_path, {"x": InputForm((2,), I8)}, x=np.array([[0, 300]]))
    with pytest.raises(InputError, match="reshape"):
        read(tmp_path, {"x": InputForm((2, 3), F32)}, x=np.ones((4, 3), np.float32))  # a batch of 2 is no batch of 1
