"""Reads a quantized .tflite file into the integer graph, by the format's rules."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from intaglio.errors import Refusal
from intaglio.network.advice import advice
from intaglio.network.graph import FileForm, Graph, Operator, Tensor
from intaglio.network.survey import CONSTANT, UNREAD, Refused, Step, Survey
from intaglio.network.tflite.file import FileOperator, FileTensor, ModelFile, read_model_file
from intaglio.network.tflite.fold import fold
from intaglio.network.tflite.host import HOST_TYPES, LiteRTHost
from intaglio.network.tflite.moves import foldable_pads
from intaglio.network.tflite.ops import RULES, Ruled
from intaglio.network.tflite.tail import host_tail
from intaglio.network.tflite.tensors import OFFSETS, Scope, Unsupported, activation, checked_quantization, run_time

SUPPORTED = f"use operators out of {', '.join(RULES)}"
WEIGHT_AXIS = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "DEPTHWISE_CONV_2D": 3}
"""Operators with weights, and the axis of their output channels."""


def load_tflite(path: str | Path) -> Graph:
    """The graph of a .tflite file, every tensor that is computed in it under the file's name.

    The result equals LiteRT's BUILTIN_REF on every input (see graph.notes for exceptions, if any). InputError for a
    file that cannot be read; RefusedError with every operator that is not supported.
    """
    return survey_tflite(path).accepted(path)


def survey_tflite(path: str | Path) -> Survey:
    """A survey of the file: what can be imported and what not. InputError for a file that cannot be read."""
    path = Path(path)
    file = read_model_file(path)
    model, constants = fold(file)
    scope = Scope(model, foldable_pads(model), list(model.notes))
    taken, faults = ruled(scope)
    ends = host_tail(model, taken, {op.index: macs_of(model, op) for op in model.operators})
    operators: list[Operator] = []
    refusals: list[Refusal] = []
    steps = []
    for op in file.operators:
        name = model.name_of(op)
        if op.index in constants:
            steps.append(Step(name, op.code, "", why=CONSTANT))
            continue
        if op.index in ends.parts:
            steps.append(Step(name, op.code, ends.parts[op.index], folded=True))
            continue
        if (end := ends.operators.get(op.index)) is not None:
            operators.append(end)
            if op.code in WEIGHT_AXIS:
                scope.notes.append(on_host(op, end, faults[op.index]))
        elif (fault := ends.faults.get(op.index, faults.get(op.index))) is not None:
            refusals.append(Refusal(name, op.code, fault.described(), fault.remedy, op.index))
            operators.append(refused(model, op))
        elif isinstance(converted := taken[op.index], list):
            operators += converted
            became, why = (converted[0].name, "") if converted else ("", UNREAD)
            steps.append(Step(name, op.code, became, why=why))
            continue
        elif converted is not None:
            operators.append(converted)
        else:
            reader = next(o for o in model.operators if op.outputs[0] in o.inputs)
            steps.append(Step(name, op.code, model.name_of(reader), folded=True))
            continue
        steps.append(Step(name, op.code, name))
    inputs, outputs = tuple(dict.fromkeys(model.inputs)), tuple(dict.fromkeys(model.outputs))
    for i in inputs:
        try:
            check_input(model.tensors[i])
        except Unsupported as fault:
            refusals.append(Refusal(fault.tensor, "input", fault.reason, fault.remedy))
    for i in outputs:
        if model.tensors[i].data is not None:
            reason = f"output {model.tensors[i].name!r} is a constant"
            refusals.append(Refusal(path.stem, "network", reason, "remove it from the outputs"))
    used = {name for op in operators for name in (*op.inputs, *op.outputs)}
    used |= {model.tensors[i].name for i in inputs + outputs}
    graph = Graph(
        path.stem,
        {t.name: t for t in scope.between} | {t.name: graph_tensor(t) for t in model.tensors if t.name in used},
        tuple(model.tensors[i].name for i in inputs),
        tuple(model.tensors[i].name for i in outputs),
        operators,
        scope.notes,
    )
    return Survey(graph, tuple(steps), tuple(refusals))


def ruled(scope: Scope) -> tuple[dict[int, Ruled], dict[int, Unsupported]]:
    """The rules' results by the operators' indices: what became of it, and refusals."""
    taken: dict[int, Ruled] = {}
    faults = {}
    for op in scope.model.operators:
        try:
            check_supported(scope.model, op)
            taken[op.index] = RULES[op.code](scope, op)
        except Unsupported as fault:
            faults[op.index] = fault
    return taken, faults


def on_host(op: FileOperator, end: LiteRTHost, fault: Unsupported) -> str:
    """A note on an operator with weights that the host runs."""
    return (
        f"{op.code} {end.name!r} runs on the host, not on the array: {fault.described()}; for the array {fault.remedy}"
    )


def check_supported(model: ModelFile, op: FileOperator) -> None:
    """Refuses an operator that no rule is for, or that lacks the output that every rule's operator has."""
    if op.code.startswith("CUSTOM:"):
        raise Unsupported("", *custom_operator(op.code.removeprefix("CUSTOM:")))
    if op.code not in RULES:
        if op.outputs and all(i >= 0 and model.tensors[i].type in ("INT32", "INT64") for i in op.outputs):
            raise Unsupported(
                "", "this operator is not supported; it computes integers, such as a shape", advice("shape", SUPPORTED)
            )
        raise Unsupported("", "this operator is not supported", advice(op.code, SUPPORTED))
    if not op.outputs or min(op.outputs) < 0:
        raise Unsupported("", "it has no output", "export the model again")


def custom_operator(name: str) -> tuple[str, str]:
    """Reason and remedy of a custom operator, which only the runtime that it was made for can define."""
    if name.startswith("Flex"):
        return (
            f"{name.removeprefix('Flex')!r} is an operator of TensorFlow, which the converter left as it is (Flex)",
            "convert without SELECT_TF_OPS, or replace it by operators of TensorFlow Lite",
        )
    if name.lower().startswith(("ethos-u", "edgetpu")):
        return f"{name!r} is what a compiler for another accelerator made", "give the file from before that compiler"
    return (
        f"{name!r} is a custom operator, which only the runtime that it was made for defines",
        "replace it by operators of TensorFlow Lite, or cut the network before it (detections' post-processing belongs outside)",
    )


def refused(model: ModelFile, op: FileOperator) -> Refused:
    """The gap in the graph where an operator cannot be imported."""
    read = (model.tensors[i] for i in op.inputs if i >= 0)
    outputs = tuple(model.tensors[i].name for i in op.outputs if i >= 0)
    inputs = tuple(t.name for t in read if t.data is None and not t.is_variable)
    return Refused(model.name_of(op), inputs, outputs, op.code, macs_of(model, op))


def macs_of(model: ModelFile, op: FileOperator) -> int:
    """Multiply-accumulates by the shapes in the file: output elements times the weights of one output channel."""
    if op.code not in WEIGHT_AXIS or len(op.inputs) < 2 or op.inputs[1] < 0 or not op.outputs or op.outputs[0] < 0:
        return 0
    weights, output = model.tensors[op.inputs[1]].shape, model.tensors[op.outputs[0]].shape
    axis = WEIGHT_AXIS[op.code]
    if len(weights) <= axis or min((*weights, *output)) < 1:
        return 0
    return math.prod(output) * math.prod(weights) // weights[axis]


def check_input(tensor: FileTensor) -> None:
    """Refuses a network input that is neither of 8 bits nor float32; operators check what they read themselves."""
    if tensor.data is not None:
        raise Unsupported(tensor.name, "it is a constant", "remove it from the inputs")
    if tensor.type == "FLOAT32":
        run_time(tensor, "FLOAT32")
    else:
        activation(tensor)


def graph_tensor(tensor: FileTensor) -> Tensor:
    """A run-time tensor. The rules have checked those that operators touch, so a fault here was refused there."""
    if tensor.type not in OFFSETS:
        return Tensor(tensor.name, tensor.shape, HOST_TYPES.get(tensor.type, np.dtype(np.float32)))
    try:
        quantization = checked_quantization(tensor)
    except Unsupported:
        quantization = None
    form = None
    if tensor.type == "UINT8":
        form = FileForm(tensor.shape, tuple(range(len(tensor.shape))), tensor.shape, np.dtype(np.uint8))
    return Tensor(tensor.name, tensor.shape, np.dtype(np.int8), quantization, form=form)
