"""The reference executor: runs a graph on the host, keeps every tensor; and inputs to run it on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intaglio.errors import InputError
from intaglio.network import arithmetic, host_ops
from intaglio.network.graph import Graph, Tensor


def execute(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of the graph by name: the inputs, then the operators' outputs in order."""
    check_inputs(graph, inputs)
    values = {name: np.asarray(inputs[name]) for name in graph.inputs}
    for op in graph.operators:
        operands = [values[name] for name in op.inputs]
        targets = [graph.tensors[name] for name in op.outputs]
        if op.on_host:
            results = host_ops.run(op, operands, [graph.tensors[name] for name in op.inputs], targets)
        else:
            results = arithmetic.run(op, operands, targets)
        values.update(zip(op.outputs, results, strict=True))
    return values


def describe(tensor: Tensor) -> str:
    """What an input must be: 'int8 of shape [1, 32, 32, 3]'."""
    return f"{tensor.dtype} of shape {list(tensor.shape)}"


def check_inputs(graph: Graph, inputs: Mapping[str, np.ndarray]) -> None:
    """Refuses inputs that are not exactly the graph's: InputError that lists every fault."""
    faults = []
    for name in graph.inputs:
        tensor = graph.tensors[name]
        if name not in inputs:
            faults.append(
                f"input {name!r} is missing; expected {describe(tensor)}; pass an array under this key"
            )
            continue
        value = np.asarray(inputs[name])
        if value.dtype != tensor.dtype:
            faults.append(
                f"input {name!r} has type {value.dtype}; expected {describe(tensor)}; "
                f"{conversion_hint(tensor, value.dtype)}"
            )
        elif value.shape != tensor.shape:
            faults.append(
                f"input {name!r} has shape {list(value.shape)}; expected {describe(tensor)}; "
                "reshape it or add the batch axis"
            )
        elif value.dtype.kind == "f" and not np.isfinite(value).all():
            faults.append(
                f"input {name!r} holds NaN or infinity; expected finite {describe(tensor)}; remove them"
            )
    known = ", ".join(repr(name) for name in graph.inputs)
    for key in inputs:
        if key not in graph.inputs:
            faults.append(
                f"{key!r} is not an input of {graph.name!r}; its inputs are {known}; remove or rename it"
            )
    if faults:
        raise InputError("\n".join(faults))


def conversion_hint(tensor: Tensor, given: np.dtype) -> str:
    """The remedy for a wrong type."""
    if given.kind == "f" and tensor.dtype == np.int8 and tensor.quantization is not None:
        q = tensor.quantization
        return f"quantize it: clip(round(x / {q.scale[0]:.9g}) + {int(q.zero_point[0])}, -128, 127) as int8"
    return f"convert it with .astype({str(tensor.dtype)!r}) after checking its range"


def random_inputs(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """One random array for each input, uniform over int8; for a float input the float image of one."""
    generator = np.random.default_rng(seed)
    return {
        name: as_input(graph, name, generator.integers(-128, 128, graph.tensors[name].shape, np.int8))
        for name in graph.inputs
    }


def extreme_inputs(graph: Graph) -> dict[str, dict[str, np.ndarray]]:
    """Five inputs that reach the corners, by name: minimum, maximum, zero_point, checkerboard, ramp."""
    kinds: dict[str, dict[str, np.ndarray]] = {
        kind: {} for kind in ("minimum", "maximum", "zero_point", "checkerboard", "ramp")
    }
    for name in graph.inputs:
        shape = graph.tensors[name].shape
        parity = np.indices(shape, np.int64).sum(axis=0) % 2
        ramp = np.arange(parity.size).reshape(shape) % 256 - 128
        images = {
            "minimum": np.full(shape, -128),
            "maximum": np.full(shape, 127),
            "zero_point": np.full(shape, int8_image(graph, name)[1]),
            "checkerboard": np.where(parity, 127, -128),
            "ramp": ramp,
        }
        for kind, image in images.items():
            kinds[kind][name] = as_input(graph, name, image.astype(np.int8))
    return kinds


def int8_image(graph: Graph, name: str) -> tuple[float, int]:
    """(scale, zero point) of the int8 numbers behind an input: its own, or the reading Quantize's.

    A float input that no Quantize reads has the image of 1/128 and 0, so that it covers -1 to 1.
    """
    quantization = graph.tensors[name].quantization
    if graph.tensors[name].dtype.kind == "f":
        readers = [op for op in graph.operators if name in op.inputs and op.kind == "Quantize"]
        quantization = graph.tensors[readers[0].outputs[0]].quantization if readers else None
    if quantization is None:
        return 1 / 128, 0
    return float(quantization.scale[0]), int(quantization.zero_point[0])


def as_input(graph: Graph, name: str, image: np.ndarray) -> np.ndarray:
    """int8 numbers as the input takes them: unchanged, or as the real numbers they stand for."""
    if graph.tensors[name].dtype == np.int8:
        return image
    scale, zero_point = int8_image(graph, name)
    return ((image.astype(np.float64) - zero_point) * scale).astype(graph.tensors[name].dtype)
