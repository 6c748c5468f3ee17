"""The edges of the accelerator's part of a network: tensors that the driver moves, and the host's steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intaglio.errors import InputError
from intaglio.export.c_text import identifiers
from intaglio.export.loops import Loop, addresses, file_order, loops_of
from intaglio.network import host_ops
from intaglio.network.graph import Dequantize, FileForm, Operator, Quantize, Reshape, Softmax, Tensor
from intaglio.network.placement import host_operators
from intaglio.program.program import Place
from intaglio.session import Session

LONGEST_SOFTMAX = 4095
SOFTMAXES = {
    (np.dtype(np.int8), np.dtype(np.int8)): "intaglio_softmax",
    (np.dtype(np.uint8), np.dtype(np.uint8)): "intaglio_softmax_unsigned",
}
"""Types of the two tensors in the model file -> the function of intaglio_host.h."""


@dataclass(frozen=True)
class EdgeTensor:
    """A tensor outside of the accelerator, as the model file has it. identifier: its name in C, behind a prefix.
    scale, zero_point: of the file's int8 or uint8; None for other types."""

    name: str
    identifier: str
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float | None
    zero_point: int | None

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def element(self) -> str:
        """An element's type in C; bytes for what C99 has no type for."""
        if self.dtype == np.float32:
            return "float"
        return f"{self.dtype}_t" if self.dtype.kind in "iu" else "uint8_t"

    @property
    def count(self) -> int:
        """Number of elements in C."""
        return self.elements * (1 if self.element != "uint8_t" else self.dtype.itemsize)


@dataclass(frozen=True)
class Moved:
    """A tensor that the driver writes or reads: where it lies, and how to walk it in the file's order (form)."""

    tensor: EdgeTensor
    place: Place
    form: FileForm | None
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Step:
    """One operator of the host. function: what intaglio_host.h has for it, "memcpy" for a reshape (both have one source
    and one target), or None where the caller has to do it. numbers: a Softmax's rows, length, multiplier and
    left shift."""

    op: Operator
    sources: tuple[EdgeTensor, ...]
    targets: tuple[EdgeTensor, ...]
    function: str | None
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Edges:
    """given: the network's inputs; before: the host's steps from them to `inputs`, the accelerator's; then `outputs`,
    the host's steps after them, and `results`, the network's outputs."""

    given: tuple[EdgeTensor, ...]
    before: tuple[Step, ...]
    inputs: tuple[Moved, ...]
    outputs: tuple[Moved, ...]
    after: tuple[Step, ...]
    results: tuple[EdgeTensor, ...]

    @property
    def tensors(self) -> list[EdgeTensor]:
        """Each once: given, inputs, outputs, then those of the steps."""
        found = [*self.given, *(m.tensor for m in self.inputs + self.outputs)]
        found += [tensor for step in self.before + self.after for tensor in step.targets]
        return list({tensor.name: tensor for tensor in found}.values())


def edges_of(session: Session) -> Edges:
    """InputError if the driver cannot move one of the accelerator's inputs or outputs."""
    graph, program = session.graph, session.program
    host = [graph.operators[index] for index in sorted(host_operators(graph, session.config))]
    order = [*graph.inputs, *program.inputs, *program.outputs, *graph.outputs]
    order += [name for op in host for name in (*op.inputs, *op.outputs)]
    names = identifiers(order)

    def edge(name: str) -> EdgeTensor:
        return _edge_tensor(graph.tensors[name], names[name])

    def moved(name: str) -> Moved:
        tensor, place = graph.tensors[name], program.places[name]
        described = edge(name)
        if described.scale is None:
            raise InputError(
                f"tensor {name!r}: is {tensor.file_dtype} in the model file; the driver moves int8 and uint8; quantize the "
                "network so that its edges are of these types"
            )
        return Moved(described, place, tensor.form, loops_of(name, addresses(place, tensor)))

    known = set(graph.inputs)
    before: list[Step] = []
    after: list[Step] = []
    for op in host:
        function, numbers = _function(op, graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]])
        early = all(name in known for name in op.inputs)
        if early:
            known.update(op.outputs)
        sources, targets = (tuple(edge(name) for name in names) for names in (op.inputs, op.outputs))
        (before if early else after).append(Step(op, sources, targets, function, numbers))
    return Edges(
        given=tuple(edge(name) for name in graph.inputs),
        before=tuple(before),
        inputs=tuple(moved(name) for name in program.inputs),
        outputs=tuple(moved(name) for name in program.outputs),
        after=tuple(after),
        results=tuple(edge(name) for name in graph.outputs),
    )


def _edge_tensor(tensor: Tensor, identifier: str) -> EdgeTensor:
    shape, dtype = tensor.file_shape, tensor.file_dtype
    q = tensor.quantization
    if tensor.dtype != np.int8 or dtype not in (np.int8, np.uint8) or q is None or len(q.scale) != 1:
        return EdgeTensor(tensor.name, identifier, shape, dtype, None, None)
    zero_point = int(q.zero_point[0]) + (128 if dtype == np.uint8 else 0)
    return EdgeTensor(tensor.name, identifier, shape, dtype, float(q.scale[0]), zero_point)


def _function(op: Operator, source: Tensor, target: Tensor) -> tuple[str | None, tuple[int, ...]]:
    match op:
        case Quantize():
            return "intaglio_quantize_even" if op.half_even else "intaglio_quantize_away", ()
        case Dequantize():
            return "intaglio_dequantize", ()
        case Reshape():
            same = source.file_dtype == target.file_dtype and (file_order(source) == file_order(target)).all()
            return "memcpy" if same else None, ()
        case Softmax():
            length = source.shape[-1]
            function = SOFTMAXES.get((source.file_dtype, target.file_dtype))
            if not (function and _as_in_file(source) and _as_in_file(target)) or length > LONGEST_SOFTMAX:
                return None, ()
            scaling = host_ops.softmax_scaling(op.beta, float(host_ops.per_tensor(source).scale[0]))
            return function, (int(np.prod(source.shape[:-1], dtype=np.int64)), length, *scaling)
        case _:
            return None, ()


def _as_in_file(tensor: Tensor) -> bool:
    """True for a tensor that the model file has in the graph's shape and order."""
    return tensor.file_shape == tensor.shape and bool((np.diff(file_order(tensor)) == 1).all())
