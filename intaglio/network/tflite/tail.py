"""The operators behind the array's last one that no rule takes: LiteRT runs them on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intaglio.network.graph import HostOperator, Operator, Reshape
from intaglio.network.tflite.file import CONTROL_FLOW, FileOperator, ModelFile
from intaglio.network.tflite.host import HOST_TYPES, LiteRTHost
from intaglio.network.tflite.single import alone, run_time_inputs
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


def host_tail(
    model: ModelFile, taken: Mapping[int, Operator | None], macs: Mapping[int, int]
) -> dict[int, LiteRTHost | Unsupported]:
    """The refused operators that are the host's by their places, by index: as LiteRT runs each, or why it does not. taken: what
    the rules made of the others. macs: of each."""
    found: dict[int, LiteRTHost | Unsupported] = {}
    made: dict[int, bytes] = {}
    room = COPIES * len(model.content) + SPARE
    ops = {op.index: op for op in model.operators}
    for index in _at_the_end(model, taken):
        try:
            content = alone(model, ops[index])
            room -= len(content)
            if room < 0:
                reason = "the operators at the network's end share more constants than the host copies"
                raise Unsupported("", reason, LEAVE_OUT)
            made[index] = content
        except Unsupported as fault:
            found[index] = fault
    for (index, content), verdict in zip(made.items(), tried(tuple(made.values())), strict=True):
        op = ops[index]
        try:
            _check(model, op, verdict)
        except Unsupported as fault:
            found[index] = fault
            continue
        inputs = tuple(t.name for t in run_time_inputs(model, op))
        outputs = tuple(model.tensors[i].name for i in op.outputs)
        found[index] = LiteRTHost(model.name_of(op), inputs, outputs, content, op.code, macs[index])
    return found


def _at_the_end(model: ModelFile, taken: Mapping[int, Operator | None]) -> list[int]:
    """The refused operators that LiteRT may run alone: behind an operator of the array, with nothing behind them that is on the
    array or stays refused. Operators that make constants for them are the host's too."""
    behind: set[int] = set()
    for op in model.operators:
        if _on_array(op, taken) or not behind.isdisjoint(op.inputs):
            behind.update(i for i in op.outputs if i >= 0)
    needed: set[int] = set()
    wanted: set[int] = set()
    hosted = []
    for op in reversed(model.operators):
        if _on_array(op, taken) or not needed.isdisjoint(op.outputs):
            needed.update(op.inputs)
        elif op.index not in taken:
            constant = not run_time_inputs(model, op) and not wanted.isdisjoint(op.outputs)
            if _may_run_alone(model, op) and (constant or not behind.isdisjoint(op.inputs)):
                hosted.append(op.index)
                wanted.update(op.inputs)
            else:
                needed.update(op.inputs)
    return hosted[::-1]


def _on_array(op: FileOperator, taken: Mapping[int, Operator | None]) -> bool:
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
