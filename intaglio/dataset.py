"""Samples and labels of an .npz file, checked against what a network takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intaglio.errors import InputError
from intaglio.network.graph import Quantization
from intaglio.npz import Header, read_npz

INPUTS, LABELS = "inputs", "labels"
"""Keys of an .npz: the samples of a network with one input, and the labels."""
_BLOCK = 2**20
"""Elements that are converted at once."""


@dataclass(frozen=True)
class InputForm:
    """The form of a network's input. shape: with the batch axis. quantization: of an integer input that stands for
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
    arrays = read_npz(path, lambda headers: _check_headers(path, headers, forms))
    keys = _keys(arrays, forms)
    faults, inputs = [], {}
    for name, form in forms.items():
        try:
            inputs[name] = _converted(arrays.pop(keys[name]), form)
        except InputError as error:
            faults.append(f"array {keys[name]!r}: {error}")
    _refuse(path, faults)
    labels = arrays.get(LABELS)
    return Dataset(inputs, None if labels is None else labels.astype(np.int64))


def _check_headers(path: Path, headers: Mapping[str, Header], forms: Mapping[str, InputForm]) -> None:
    """InputError for whatever is wrong with the arrays' names, shapes and types, before they are unpacked."""
    remedy = f"np.savez(file, {INPUTS}=array, {LABELS}=array)" if len(forms) == 1 else "np.savez(file, name=array, ...)"
    keys = _keys(headers, forms)
    faults, lengths = [], {}
    for name, form in forms.items():
        if name not in keys:
            faults.append(f"no array for input {name!r} ({_describe(form)} each); write it as {remedy}")
            continue
        header = headers[keys[name]]
        try:
            _check_form(header, form)
            lengths[keys[name]] = header.shape[0]
        except InputError as error:
            faults.append(f"array {keys[name]!r}: {error}")
    unknown = [key for key in headers if key not in (*keys.values(), LABELS)]
    if unknown:
        names = ", ".join(repr(name) for name in forms)
        faults.append(f"{unknown[0]!r} is no input; the network's inputs are {names}; rename or remove it")
    if len(set(lengths.values())) > 1:
        faults.append(f"the arrays hold different numbers of samples: {lengths}; give as many of each")
    _refuse(path, faults)
    if LABELS in headers and LABELS not in keys.values():
        _check_labels(path, headers[LABELS], next(iter(lengths.values())))


def _refuse(path: Path, faults: Sequence[str]) -> None:
    if faults:
        raise InputError(*faults).at(path)


def quantize_real(values: np.ndarray, form: InputForm) -> np.ndarray:
    """Real numbers as the input's integers: clip(round(x / scale) + zero point), the division in float32."""
    assert form.quantization is not None
    scale, zero_point = np.float32(form.quantization.scale[0]), int(form.quantization.zero_point[0])
    ratio = (values.astype(np.float32) / scale).astype(np.float64)
    rounded = np.rint(ratio) if form.half_even else np.trunc(ratio + np.copysign(0.5, ratio))
    limits = np.iinfo(form.dtype)
    clamped: np.ndarray = np.clip(rounded + zero_point, limits.min, limits.max)
    return clamped.astype(form.dtype)


def _keys(arrays: Mapping[str, np.ndarray] | Mapping[str, Header], forms: Mapping[str, InputForm]) -> dict[str, str]:
    """For each input that has an array, its key in the file."""
    keys = {name: name for name in forms if name in arrays}
    if len(forms) == 1 and not keys and INPUTS in arrays:
        keys = {next(iter(forms)): INPUTS}
    return keys


def _check_form(header: Header, form: InputForm) -> None:
    """InputError where an array of this shape and type is not what an input takes, whatever its values."""
    shape, kind = header.shape, header.dtype.kind
    if shape and not shape[0]:
        raise InputError("holds no sample; give at least one")
    without_batch = form.shape[:1] == (1,)
    if not shape or not (shape[1:] == form.shape or (without_batch and shape[1:] == form.shape[1:])):
        allowed = [list(form.shape)] + ([list(form.shape[1:])] if without_batch else [])
        wanted = " or ".join(str(["N", *axes]).replace("'", "") for axes in reversed(allowed))
        raise InputError(f"has shape {list(shape)}; expected {wanted}; reshape or transpose it")
    real = kind == "f" and (form.quantization is not None or form.dtype.kind == "f")
    whole = kind in "iu" and form.dtype.kind in "iu" and form.quantization is None
    if header.dtype != form.dtype and not real and not whole:
        raise InputError(f"has type {header.dtype}; expected {_describe(form)}; {_type_remedy(header.dtype, form)}")


def _converted(array: np.ndarray, form: InputForm) -> np.ndarray:
    """An array that `_check_form` has passed as [N, *form.shape] in the input's type; some samples at a time, so that
    little is in memory beside it."""
    shaped = array if array.shape[1:] == form.shape else array[:, None]
    if array.dtype.kind not in "f" and array.dtype == form.dtype:
        return shaped
    block = max(1, _BLOCK // max(1, math.prod(form.shape)))
    out = shaped if array.dtype == form.dtype else np.empty(shaped.shape, form.dtype)
    for begin in range(0, len(shaped), block):
        part = shaped[begin : begin + block]
        converted = _block(part, form, begin)
        if out is not shaped:
            out[begin : begin + block] = converted
    return out


def _block(part: np.ndarray, form: InputForm, begin: int) -> np.ndarray:
    """Some samples, `begin` the first one's number."""
    if part.dtype.kind != "f":
        limits = np.iinfo(form.dtype)
        if part.size and (part.min() < limits.min or part.max() > limits.max):
            raise InputError(f"holds {part.min()} to {part.max()}, more than {form.dtype} can; give {form.dtype}")
        return part.astype(form.dtype)
    with np.errstate(over="ignore"):
        real = part if form.dtype.kind != "f" else part.astype(form.dtype, copy=False)
    finite = np.isfinite(real).reshape(len(real), -1).all(axis=1)
    if not finite.all():
        raise InputError(f"holds NaN or infinity (sample {begin + int(np.argmin(finite))} first); remove such samples")
    return real if form.dtype.kind == "f" else quantize_real(real, form)


def _describe(form: InputForm) -> str:
    real = ", or real numbers" if form.quantization is not None else ""
    return f"{form.dtype} of shape {list(form.shape)}{real}"


def _type_remedy(dtype: np.dtype, form: InputForm) -> str:
    if dtype.kind in "iu" and form.dtype.kind == "f":
        return f"scale it as in training, such as (x / 255).astype({str(form.dtype)!r})"
    if form.quantization is not None:
        return "give real numbers, as the float network takes them"
    return f"convert it with .astype({str(form.dtype)!r}) after checking its range"


def _check_labels(path: Path, labels: Header, samples: int) -> None:
    if labels.dtype.kind not in "iu":
        raise InputError(f"{path}: {LABELS!r} has type {labels.dtype}; expected integers, the classes' indices")
    if labels.shape[:1] != (samples,):
        has = f"shape {list(labels.shape)}"
        raise InputError(f"{path}: {LABELS!r} has {has}, but there are {samples} samples; give one label for each")
