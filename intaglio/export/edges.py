"""Where the accelerator's part of a network begins and ends: tensors that the driver moves, and the host's steps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from intaglio.errors import InputError
from intaglio.export.c_text import identifiers
from intaglio.export.loops import Loop, addresses, loops_of
from intaglio.mapper.lower import host_operators
from intaglio.mapper.program import Place
from intaglio.network import host_ops
from intaglio.network.graph import Dequantize, FileForm, Operator, Quantize, Reshape, Softmax, Tensor
from intaglio.session import Session

LONGEST_SOFTMAX = 4095


@dataclass(frozen=True)
class EdgeTensor:
    """A tensor outside of the accelerator, as the model file has it. identifier: its name in C, behind a prefix.
    element: "float", "int8_t" or "uint8_t". scale, zero_point: of the file's integers; None for floats."""

    name: str
    identifier: str
    shape: tuple[int, ...]
    element: str
    scale: float | None
    zero_point: int | None

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def type_name(self) -> str:
        """As people write it: float32, int8, uint8."""
        return "float32" if self.element == "float" else self.element.removesuffix("_t")


@dataclass(frozen=True)
class Moved:
    """A tensor that the driver writes or reads: where it lies, and how to walk it in the file's order (form)."""

    tensor: EdgeTensor
    place: Place
    form: FileForm | None
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Step:
    """One operator of the host. function: what intaglio_host.h has for it, "memcpy" for a reshape, or None where the
    caller has to do it. numbers: a Softmax's rows, length, multiplier and left shift."""

    op: Operator
    source: EdgeTensor
    target: EdgeTensor
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
        found += [step.target for step in self.before + self.after]
        return list({tensor.name: tensor for tensor in found}.values())


def edges_of(session: Session) -> Edges:
    """InputError if the driver cannot move one of the accelerator's inputs or outputs."""
    graph, program = session.graph, session.program
    host = [graph.operators[index] for index in sorted(host_operators(graph))]
    order = [*graph.inputs, *program.inputs, *program.outputs, *graph.outputs]
    order += [name for op in host for name in (*op.inputs, *op.outputs)]
    names = identifiers(order)

    def edge(name: str) -> EdgeTensor:
        return _edge_tensor(graph.tensors[name], names[name])

    def moved(name: str) -> Moved:
        tensor, place = graph.tensors[name], program.places[name]
        described = edge(name)
        if described.element == "float":
            raise InputError(
                f"tensor {name!r}: is {tensor.file_dtype} in the model file; the driver moves int8 and uint8; quantize the "
                "network so that its edges are of these types"
            )
        return Moved(described, place, tensor.form, loops_of(name, addresses(place, tensor)))

    known = set(graph.inputs)
    before: list[Step] = []
    after: list[Step] = []
    for op in host:
        source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
        function, numbers = _function(op, source, target)
        early = all(name in known for name in op.inputs)
        if early:
            known.update(op.outputs)
        (before if early else after).append(Step(op, edge(source.name), edge(target.name), function, numbers))
    return Edges(
        given=tuple(edge(name) for name in graph.inputs),
        before=tuple(before),
        inputs=tuple(moved(name) for name in program.inputs),
        outputs=tuple(moved(name) for name in program.outputs),
        after=tuple(after),
        results=tuple(edge(name) for name in graph.outputs),
    )


def _edge_tensor(tensor: Tensor, identifier: str) -> EdgeTensor:
    if tensor.dtype != np.int8 or tensor.file_dtype not in (np.int8, np.uint8):
        return EdgeTensor(tensor.name, identifier, tensor.file_shape, "float", None, None)
    relabelled = 128 if tensor.file_dtype == np.uint8 else 0
    q = host_ops.per_tensor(tensor)
    zero_point = int(q.zero_point[0]) + relabelled
    element = "uint8_t" if relabelled else "int8_t"
    return EdgeTensor(tensor.name, identifier, tensor.file_shape, element, float(q.scale[0]), zero_point)


def _function(op: Operator, source: Tensor, target: Tensor) -> tuple[str | None, tuple[int, ...]]:
    match op:
        case Quantize():
            return _quantizing(op, source, target), ()
        case Dequantize():
            return "intaglio_dequantize", ()
        case Reshape():
            return "memcpy", ()
        case Softmax():
            length = source.shape[-1]
            if source.form or target.form or target.dtype != np.int8 or length > LONGEST_SOFTMAX:
                return None, ()
            scaling = host_ops.softmax_scaling(op.beta, float(host_ops.per_tensor(source).scale[0]))
            return "intaglio_softmax", (int(np.prod(source.shape[:-1], dtype=np.int64)), length, *scaling)
        case _:
            return None, ()


def _quantizing(op: Quantize, source: Tensor, target: Tensor) -> str | None:
    """The function that rounds halves as the host's arithmetic does for this operator; None if none does."""
    scale = np.float32(host_ops.per_tensor(target).scale[0])
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], np.float32) * scale
    probe = dataclasses.replace(source, shape=halves.shape, form=None)
    probed = dataclasses.replace(target, shape=halves.shape, form=None)
    found = host_ops.run(op, [halves], [probe], [probed])[0].astype(np.int64)
    zero_point = int(host_ops.per_tensor(target).zero_point[0])
    ratios = (halves / scale).astype(np.float64)
    away = np.sign(ratios) * np.floor(np.abs(ratios) + 0.5)
    for rounded, function in ((away, "intaglio_quantize_away"), (np.rint(ratios), "intaglio_quantize_even")):
        if (found == np.clip(rounded + zero_point, -128, 127)).all():
            return function
    return None
