"""Samples and labels of an .npz file, checked against what a network takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intaglio.errors import InputError
from intaglio.network.graph import Quantization
from intaglio.report.files import read_npz

INPUTS, LABELS = "inputs", "labels"
"""Keys of an .npz: the samples of a network with one input, and the labels."""


@dataclass(frozen=True)
class InputForm:
    """What a network's input takes. shape: with the batch axis. quantization: of an integer input that stands for
    real numbers; half_even: they are rounded half to even (ONNX), else half away from zero (TFLite)."""

    shape: tuple[int, ...]
    dtype: np.dtype
    quantization: Quantization | None = None
    half_even: bool = True


@dataclass(frozen=True)
class Dataset:
    """inputs: by name, [N, *shape of the input], in its type. labels: int64 [N, ...] or None."""

    inputs: dict[str, np.ndarray]
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def sample(self, index: int) -> dict[str, np.ndarray]:
        """The inputs of one inference."""
        return {name: array[index] for name, array in self.inputs.items()}


def read_dataset(path: Path, forms: Mapping[str, InputForm]) -> Dataset:
    """Reads an .npz: an array [N, ...] under each input's name (or `inputs` where there is one input), with or
    without the input's batch axis of 1, and optional integer `labels` [N, ...].

    Real numbers for a quantized input are quantized. InputError that names the file and every fault.
    """
    arrays = read_npz(path)
    remedy = f"np.savez(file, {INPUTS}=array, {LABELS}=array)" if len(forms) == 1 else "np.savez(file, name=array, ...)"
    keys = _keys(arrays, forms)
    faults, inputs = [], {}
    for name, form in forms.items():
        if name not in keys:
            faults.append(f"no array for input {name!r} ({_describe(form)} each); write it as {remedy}")
            continue
        try:
            inputs[name] = _converted(arrays[keys[name]], form)
        except InputError as error:
            faults.append(f"array {keys[name]!r}: {error}")
    unknown = [key for key in arrays if key not in (*keys.values(), LABELS)]
    if unknown:
        names = ", ".join(repr(name) for name in forms)
        faults.append(f"{unknown[0]!r} is no input; the network's inputs are {names}; rename or remove it")
    lengths = {key: len(inputs[name]) for name, key in keys.items() if name in inputs}
    if len(set(lengths.values())) > 1:
        faults.append(f"the arrays hold different numbers of samples: {lengths}; give as many of each")
    if faults:
        raise InputError("\n".join(f"{path}: {fault}" for fault in faults))
    labels = None if LABELS not in arrays or LABELS in keys.values() else arrays[LABELS]
    if labels is not None:
        _check_labels(path, labels, len(next(iter(inputs.values()))))
        labels = labels.astype(np.int64)
    return Dataset(inputs, labels)


def quantize_real(values: np.ndarray, form: InputForm) -> np.ndarray:
    """Real numbers as the input's integers: clip(round(x / scale) + zero point), the division in float32."""
    assert form.quantization is not None
    scale, zero_point = np.float32(form.quantization.scale[0]), int(form.quantization.zero_point[0])
    ratio = (values.astype(np.float32) / scale).astype(np.float64)
    rounded = np.rint(ratio) if form.half_even else np.trunc(ratio + np.copysign(0.5, ratio))
    limits = np.iinfo(form.dtype)
    return np.clip(rounded + zero_point, limits.min, limits.max).astype(form.dtype)


def _keys(arrays: Mapping[str, np.ndarray], forms: Mapping[str, InputForm]) -> dict[str, str]:
    """For each input that has an array, its key in the file."""
    keys = {name: name for name in forms if name in arrays}
    if len(forms) == 1 and not keys and INPUTS in arrays:
        keys = {next(iter(forms)): INPUTS}
    return keys


def _converted(array: np.ndarray, form: InputForm) -> np.ndarray:
    shaped = _shaped(array, form)
    if array.dtype == form.dtype or (array.dtype.kind == "f" and form.quantization is not None):
        converted = shaped
    elif array.dtype.kind == "f" and form.dtype.kind == "f":
        with np.errstate(over="ignore"):
            converted = shaped.astype(form.dtype)
    elif array.dtype.kind in "iu" and form.dtype.kind in "iu" and form.quantization is None:
        limits = np.iinfo(form.dtype)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise InputError(f"holds {array.min()} to {array.max()}, more than {form.dtype} can; give {form.dtype}")
        converted = shaped.astype(form.dtype)
    else:
        raise InputError(f"has type {array.dtype}; expected {_describe(form)}; {_type_remedy(array, form)}")
    if converted.dtype.kind == "f":
        finite = np.isfinite(converted).reshape(len(converted), -1).all(axis=1)
        if not finite.all():
            raise InputError(f"holds NaN or infinity (sample {int(np.argmin(finite))} first); remove such samples")
        if form.quantization is not None:
            converted = quantize_real(converted, form)
    return converted


def _shaped(array: np.ndarray, form: InputForm) -> np.ndarray:
    """array as [N, *form.shape]."""
    if array.ndim and not len(array):
        raise InputError("holds no sample; give at least one")
    if array.shape[1:] == form.shape and array.ndim:
        return array
    if form.shape[:1] == (1,) and array.ndim and array.shape[1:] == form.shape[1:]:
        return array[:, None]
    allowed = [list(form.shape)] + ([list(form.shape[1:])] if form.shape[:1] == (1,) else [])
    wanted = " or ".join(str(["N", *shape]).replace("'", "") for shape in reversed(allowed))
    raise InputError(f"has shape {list(array.shape)}; expected {wanted}; reshape or transpose it")


def _describe(form: InputForm) -> str:
    real = ", or real numbers" if form.quantization is not None else ""
    return f"{form.dtype} of shape {list(form.shape)}{real}"


def _type_remedy(array: np.ndarray, form: InputForm) -> str:
    if array.dtype.kind in "iu" and form.dtype.kind == "f":
        return f"scale it as in training, such as (x / 255).astype({str(form.dtype)!r})"
    if form.quantization is not None:
        return "give real numbers, as the float network takes them"
    return f"convert it with .astype({str(form.dtype)!r}) after checking its range"


def _check_labels(path: Path, labels: np.ndarray, samples: int) -> None:
    if labels.dtype.kind not in "iu":
        raise InputError(f"{path}: {LABELS!r} has type {labels.dtype}; expected integers, the classes' indices")
    if not labels.ndim or len(labels) != samples:
        has = f"shape {list(labels.shape)}"
        raise InputError(f"{path}: {LABELS!r} has {has}, but there are {samples} samples; give one label for each")
