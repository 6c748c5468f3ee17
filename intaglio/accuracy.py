"""Accuracy of a network, in the numbers that the hardware computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from intaglio.dataset import LABELS, Dataset, InputForm, read_dataset
from intaglio.errors import InputError
from intaglio.network import Graph
from intaglio.network.graph import Rounding
from intaglio.session import Session

TOP = 5

Bar = Callable[[str, int, int], None]
"""Told what is being done, how many are done, of how many."""


@dataclass(frozen=True)
class Accuracy:
    """correct: labels, of total, whose class has the largest output. top1 = correct / total; top5: the share of
    labels among the five largest, None where there are no more than five classes."""

    correct: int
    total: int
    top1: float
    top5: float | None


def read_data(path: Path, graph: Graph) -> Dataset:
    """Samples and labels for a graph; InputError that names every fault (see `dataset.read_dataset`)."""
    return read_dataset(path, {name: input_form(graph, name) for name in graph.inputs})


def read_labelled(path: Path, graph: Graph) -> Dataset:
    """read_data with labels that fit the graph's first output; InputError that names the file."""
    if LABELS in graph.inputs:
        raise InputError(
            f"{path}: the array {LABELS!r} is the network's input of that name, so that there are no labels; rename the input"
        )
    data = read_data(path, graph)
    name = graph.outputs[0]
    try:
        fitting_labels(data.labels, graph.tensors[name].shape, name, (-1,))
    except InputError as error:
        raise error.at(path) from None
    return data


def input_form(graph: Graph, name: str) -> InputForm:
    """The form of an input's arrays, as the model file has it."""
    tensor = graph.tensors[name]
    quantization = tensor.quantization if tensor.dtype.kind == "i" else None
    if quantization is not None and tensor.file_dtype == np.uint8:
        quantization = replace(quantization, zero_point=quantization.zero_point + 128)
    return InputForm(tensor.file_shape, tensor.file_dtype, quantization, half_even=_rounds_as_onnx(graph))


def _rounds_as_onnx(graph: Graph) -> bool:
    """QuantizeLinear rounds half to even, TFLite's QUANTIZE half away from zero."""
    scalings = (getattr(op, "requantize", None) for op in graph.operators)
    return any(scaling is not None and scaling.rounding == Rounding.FLOAT for scaling in scalings)


def first_outputs(session: Session, samples: Dataset, progress: Bar | None = None) -> np.ndarray:
    """The network's first output for every sample, [N, *its shape in the graph] (channels last), exactly as the
    hardware computes it: the Program's commands on the host, on all processors."""
    name = session.graph.outputs[0]
    tensor = session.graph.tensors[name]

    def output(index: int) -> np.ndarray:
        return tensor.from_file(session.outputs(samples.sample(index))[name])

    results = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for result in pool.map(output, range(len(samples))):
                results.append(result)
                if progress is not None:
                    progress("samples on the host engine", len(results), len(samples))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return np.stack(results)


def evaluate(session: Session, samples: Dataset, progress: Bar | None = None) -> Accuracy:
    """The accuracy of what the hardware computes. InputError where there are no labels or they do not fit the
    first output."""
    name = session.graph.outputs[0]
    labels = fitting_labels(samples.labels, session.graph.tensors[name].shape, name, (-1,))
    return score(first_outputs(session, samples, progress), labels, (-1,), name)


def score(outputs: np.ndarray, labels: np.ndarray | None, class_axes: Sequence[int], name: str) -> Accuracy:
    """The largest output against the labels.

    outputs [N, *shape of one inference], labels [N, ...]; class_axes: the axes of one inference that may hold the
    classes, the first that fits the labels does (NHWC: -1; NCHW: 1, -1). name: for messages.
    """
    labels = fitting_labels(labels, outputs.shape[1:], name, class_axes)
    axis = class_axis(labels.shape[1:], outputs.shape[1:], class_axes)
    assert axis is not None
    scores = np.moveaxis(outputs, 1 + axis, -1)
    classes = scores.shape[-1]
    scores, wanted = scores.reshape(-1, classes), labels.reshape(-1)
    correct = int((scores.argmax(axis=1) == wanted).sum())
    top = None
    if classes > TOP:
        # As argmax does, the earlier of equal outputs comes first.
        best = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :TOP]
        top = float((best == wanted[:, None]).any(axis=1).mean())
    return Accuracy(correct, len(wanted), correct / len(wanted), top)


def fitting_labels(
    labels: np.ndarray | None, shape: tuple[int, ...], name: str, class_axes: Sequence[int]
) -> np.ndarray:
    """labels [N, ...], or InputError if they do not belong to outputs of `shape`."""
    if labels is None:
        raise InputError("no labels: accuracy needs an integer array 'labels', one for each sample")
    axis = class_axis(labels.shape[1:], shape, class_axes)
    if axis is None:
        each = f"shape {list(labels.shape[1:])}" if labels.ndim > 1 else "one integer"
        raise InputError(
            f"labels of {each} a sample do not fit output {name!r} of shape {list(shape)}: accuracy needs scores "
            "[1, classes] and one label, or scores and a label for every place; choose such an output, or leave out labels"
        )
    if labels.min() < 0 or labels.max() >= shape[axis]:
        wrong = int(labels[(labels < 0) | (labels >= shape[axis])][0])
        raise InputError(
            f"label {wrong}: output {name!r} has {shape[axis]} classes; labels must be 0 to {shape[axis] - 1}"
        )
    return labels


def class_axis(labels: tuple[int, ...], output: tuple[int, ...], axes: Sequence[int]) -> int | None:
    """The axis of an output that holds the classes (0 or more), given the shape of its labels; axes of length 1
    do not count. None if no axis fits."""
    for axis in axes:
        at = axis % len(output) if output else -1
        if not 0 <= at < len(output) or output[at] < 2 or not -len(output) <= axis < len(output):
            continue
        places = output[:at] + output[at + 1 :]
        if [n for n in places if n != 1] == [n for n in labels if n != 1]:
            return at
    return None
