"""The operators behind the array's last one that no rule takes: LiteRT runs them on the host."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from intaglio.network.graph import HostOperator, Reshape
from intaglio.network.tflite.file import CONTROL_FLOW, FileOperator, ModelFile
from intaglio.network.tflite.host import HOST_TYPES, LiteRTHost
from intaglio.network.tflite.ops import Ruled
from intaglio.network.tflite.single import MAX_ELEMENTS, alone, results, run_time_inputs
from intaglio.network.tflite.tensors import Unsupported
from intaglio.network.tflite.trial import Verdict, tried

STATEFUL = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL")
"""Operators whose results depend on more than their inputs; SVDF, LSTM and their kin have variable tensors."""
WITH_SUBGRAPHS = (
    *CONTROL_FLOW,
    "STABLEHLO_CASE",
    "STABLEHLO_COMPOSITE",
    "STABLEHLO_CUSTOM_CALL",
    "STABLEHLO_REDUCE",
    "STABLEHLO_REDUCE_WINDOW",
    "STABLEHLO_RNG_BIT_GENERATOR",
    "STABLEHLO_SCATTER",
    "STABLEHLO_SORT",
    "STABLEHLO_WHILE",
)
LEAVE_OUT = "leave it out and compute it from the network's outputs yourself"
COPIES = 4
"""Bytes of all small files, as a multiple of the file's: constants that many operators share are copied into each."""
SPARE = 1 << 20
"""Bytes that they have beyond that."""


@dataclass(frozen=True)
class HostTail:
    """The refused operators at a network's end, by index. operators: as LiteRT runs them. faults: why it does not. parts: those
    that make constants for one of `operators`, whose name it is."""

    operators: dict[int, LiteRTHost] = field(default_factory=dict)
    faults: dict[int, Unsupported] = field(default_factory=dict)
    parts: dict[int, str] = field(default_factory=dict)


def host_tail(model: ModelFile, taken: Mapping[int, Ruled], macs: Mapping[int, int]) -> HostTail:
    """The operators that the rules refused and that are the host's by their places. taken: what the rules made of the others.
    macs: of each."""
    found = HostTail()
    taken = _without_parts_of_refused(model, taken)
    made: dict[int, bytes] = {}
    room, elements = COPIES * len(model.content) + SPARE, MAX_ELEMENTS
    makers = _makers(model, taken)
    groups = {op.index: _with_makers(op, makers) for op in _at_the_end(model, taken, makers)}
    for index, ops in groups.items():
        try:
            content = alone(model, ops)
            elements -= sum(math.prod(t.shape) for t in (*run_time_inputs(model, ops), *results(model, ops)))
            if elements < 0:
                reason = f"the operators at the network's end have more than {MAX_ELEMENTS} elements together"
                raise Unsupported("", reason, LEAVE_OUT)
            room -= len(content)
            if room < 0:
                reason = "the operators at the network's end share more constants than the host copies"
                raise Unsupported("", reason, LEAVE_OUT)
            made[index] = content
        except Unsupported as fault:
            found.faults[index] = fault
    for (index, content), verdict in zip(made.items(), tried(tuple(made.values())), strict=True):
        ops, op = groups[index], groups[index][-1]
        try:
            _check(model, op, verdict)
        except Unsupported as fault:
            found.faults[index] = fault
            continue
        name = model.name_of(op)
        inputs = tuple(t.name for t in run_time_inputs(model, ops))
        outputs = tuple(t.name for t in results(model, ops))
        found.operators[index] = LiteRTHost(name, inputs, outputs, content, op.code, macs[index])
        for maker in ops[:-1]:
            found.parts.setdefault(maker.index, name)
    return found


def _without_parts_of_refused(model: ModelFile, taken: Mapping[int, Ruled]) -> dict[int, Ruled]:
    """The rules' results without operators that are folded into one that they refused: the host runs both, or none."""
    refused = {i for op in model.operators if op.index not in taken for i in op.inputs}
    ops = {op.index: op for op in model.operators}
    return {i: op for i, op in taken.items() if op is not None or refused.isdisjoint(ops[i].outputs)}


def _makers(model: ModelFile, taken: Mapping[int, Ruled]) -> dict[int, FileOperator]:
    """The refused operators that only LiteRT computes and that are constants, by the tensors that they make; none that is an
    output of the network."""
    found: dict[int, FileOperator] = {}
    for op in model.operators:
        known = all(i < 0 or model.tensors[i].data is not None or i in found for i in op.inputs)
        if known and op.index not in taken and _may_run_alone(model, op) and set(op.outputs).isdisjoint(model.outputs):
            found.update((i, op) for i in op.outputs)
    return found


def _with_makers(op: FileOperator, makers: Mapping[int, FileOperator]) -> list[FileOperator]:
    """An operator behind all that make constants for it, in the file's order."""
    found = {op.index: op}
    left = [op]
    while left:
        for i in left.pop().inputs:
            if i in makers and makers[i].index not in found:
                found[makers[i].index] = makers[i]
                left.append(makers[i])
    return [found[index] for index in sorted(found)]


def _at_the_end(model: ModelFile, taken: Mapping[int, Ruled], makers: Mapping[int, FileOperator]) -> list[FileOperator]:
    """The refused operators that LiteRT may run alone: behind an operator of the array, with nothing behind them that is on the
    array or stays refused."""
    behind: set[int] = set()
    for op in model.operators:
        if _on_array(op, taken) or not behind.isdisjoint(op.inputs):
            behind.update(i for i in op.outputs if i >= 0)
    needed: set[int] = set()
    hosted = []
    for op in reversed(model.operators):
        if _on_array(op, taken) or not needed.isdisjoint(op.outputs):
            needed.update(op.inputs)
        elif op.index not in taken and not any(i in makers for i in op.outputs):
            if _may_run_alone(model, op) and not behind.isdisjoint(op.inputs):
                hosted.append(op)
            else:
                needed.update(op.inputs)
    return hosted[::-1]


def _on_array(op: FileOperator, taken: Mapping[int, Ruled]) -> bool:
    """True for what the array runs, what is folded into it included; a Reshape runs where its neighbours do."""
    return op.index in taken and not isinstance(taken[op.index], HostOperator | Reshape)


def _may_run_alone(model: ModelFile, op: FileOperator) -> bool:
    """True for an operator of LiteRT's own, without state or subgraphs, of tensors that the host has."""
    if op.code.startswith("CUSTOM:") or op.code in STATEFUL or op.code in WITH_SUBGRAPHS:
        return False
    if not op.outputs or min(op.outputs) < 0:
        return False
    tensors = [model.tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0]
    return not any(t.unusual or (t.data is None and t.type not in HOST_TYPES) for t in tensors)


def _check(model: ModelFile, op: FileOperator, verdict: Verdict) -> None:
    """Refuses what LiteRT does not run, or not as the file says."""
    if verdict.error:
        raise Unsupported("", f"LiteRT cannot run it on the host: {verdict.error}", LEAVE_OUT)
    if verdict.dynamic:
        raise Unsupported("", "its output's shape is known only when it has run", LEAVE_OUT)
    for i, (shape, dtype) in zip(op.outputs, verdict.outputs, strict=True):
        tensor = model.tensors[i]
        says: Any = (tensor.shape, HOST_TYPES[tensor.type].name)
        if says != (shape, dtype):
            reason = f"the file says {says[1]} of shape {list(says[0])}, LiteRT gives {dtype} of shape {list(shape)}"
            raise Unsupported(tensor.name, reason, "export the model again with fixed shapes")
