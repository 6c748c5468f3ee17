"""The reference executor: runs a graph on the host, keeps every tensor; and inputs to run it on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intaglio.errors import InputError
from intaglio.network import arithmetic, host_ops
from intaglio.network.graph import Graph, Quantize, Tensor
from intaglio.npz import Header


def execute(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of the graph by name, as the model file has it: the inputs, then the operators' outputs in order."""
    check_inputs(graph, inputs)
    values = graph_inputs(graph, inputs)
    for op in graph.operators:
        operands = [values[name] for name in op.inputs]
        targets = [graph.tensors[name] for name in op.outputs]
        if op.on_host:
            results = host_ops.run(op, operands, [graph.tensors[name] for name in op.inputs], targets)
        else:
            results = arithmetic.run(op, operands, targets)
        values.update(zip(op.outputs, results, strict=True))
    return {name: graph.tensors[name].to_file(value) for name, value in values.items()}


def graph_inputs(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs, given as the model file has them, as the graph holds them; see check_inputs."""
    return {name: graph.tensors[name].from_file(np.asarray(inputs[name])) for name in graph.inputs}


def describe(tensor: Tensor) -> str:
    """The type and shape that an input must have: 'int8 of shape [1, 32, 32, 3]'."""
    return f"{tensor.file_dtype} of shape {list(tensor.file_shape)}"


def check_inputs(graph: Graph, inputs: Mapping[str, np.ndarray | Header]) -> None:
    """Refuses inputs that are not exactly the graph's: InputError that lists every fault. Of a Header, what an array
    will be, shape and type are checked."""
    faults = []
    for name in graph.inputs:
        tensor = graph.tensors[name]
        if name not in inputs:
            faults.append(f"input {name!r} is missing; expected {describe(tensor)}; pass an array under this key")
            continue
        given = inputs[name]
        value = given if isinstance(given, Header) else np.asarray(given)
        if value.dtype != tensor.file_dtype:
            faults.append(
                f"input {name!r} has type {value.dtype}; expected {describe(tensor)}; "
                f"{conversion_hint(tensor, value.dtype)}"
            )
        elif value.shape != tensor.file_shape:
            faults.append(
                f"input {name!r} has shape {list(value.shape)}; expected {describe(tensor)}; "
                "reshape it or add the batch axis"
            )
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            faults.append(f"input {name!r} holds NaN or infinity; expected finite {describe(tensor)}; remove them")
    known = ", ".join(repr(name) for name in graph.inputs)
    for key in inputs:
        if key not in graph.inputs:
            faults.append(f"{key!r} is not an input of {graph.name!r}; its inputs are {known}; remove or rename it")
    if faults:
        raise InputError(*faults)


def conversion_hint(tensor: Tensor, given: np.dtype) -> str:
    """The remedy for a wrong type."""
    if given.kind == "f" and tensor.dtype == np.int8 and tensor.quantization is not None:
        q, kind = tensor.quantization, tensor.file_dtype
        low = 0 if kind == np.uint8 else -128
        zero_point = int(q.zero_point[0]) + low + 128
        return f"quantize it: clip(round(x / {q.scale[0]:.9g}) + {zero_point}, {low}, {low + 255}) as {kind}"
    return f"convert it with .astype({str(tensor.file_dtype)!r}) after checking its range"


def random_inputs(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """One random array for each input, uniform over its 8 bits; for a float input the float image of one."""
    generator = np.random.default_rng(seed)
    return {
        name: as_input(graph, name, generator.integers(-128, 128, graph.tensors[name].file_shape, np.int8))
        for name in graph.inputs
    }


def extreme_inputs(graph: Graph) -> dict[str, dict[str, np.ndarray]]:
    """Five inputs that reach the corners, by name: minimum, maximum, zero_point, checkerboard, ramp."""
    kinds: dict[str, dict[str, np.ndarray]] = {
        kind: {} for kind in ("minimum", "maximum", "zero_point", "checkerboard", "ramp")
    }
    for name in graph.inputs:
        shape = graph.tensors[name].file_shape
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
    """(scale, zero point) of the int8 numbers behind an input: its own, or the Quantize's that reads it.

    The reader may stand behind other operators of the host. A float input that no Quantize follows has the image of
    1/128 and 0, so that it covers -1 to 1.
    """
    quantization = graph.tensors[name].quantization
    behind = {name}
    if graph.tensors[name].dtype != np.int8:
        for op in graph.operators:
            if behind.isdisjoint(op.inputs):
                continue
            if isinstance(op, Quantize):
                quantization = graph.tensors[op.outputs[0]].quantization
                break
            behind.update(op.outputs)
    if quantization is None:
        return 1 / 128, 0
    return float(quantization.scale[0]), int(quantization.zero_point[0])


def as_input(graph: Graph, name: str, image: np.ndarray) -> np.ndarray:
    """int8 numbers as the input takes them: unchanged, as uint8, as the real numbers they stand for, or plain."""
    dtype = graph.tensors[name].file_dtype
    if dtype == np.int8:
        return image
    if dtype == np.uint8:
        return (image ^ np.int8(-128)).view(np.uint8)
    if dtype.kind != "f":
        return (image.astype(np.int64) + 128 * (dtype.kind == "u")).astype(dtype)
    scale, zero_point = int8_image(graph, name)
    return ((image.astype(np.float64) - zero_point) * scale).astype(dtype)
