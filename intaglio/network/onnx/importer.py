"""Reads a quantized .onnx file (QDQ or QOperator form) into the integer graph, by the format's rules."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import Refusal
from intaglio.network.graph import Graph, Tensor
from intaglio.network.onnx.file import (
    MICROSOFT,
    QUANTIZED,
    Node,
    OnnxFile,
    broken,
    constants_of,
    make_node,
    onnx_module,
)
from intaglio.network.onnx.fold import fold
from intaglio.network.onnx.gaps import close_gaps, gap, macs_of
from intaglio.network.onnx.model import check, float_model, parsed, plain, quantized_operators
from intaglio.network.onnx.nodes import node_values, unsupported_kind
from intaglio.network.onnx.qoperator import EXPANDED, expand
from intaglio.network.onnx.scope import PRODUCTS, Scope
from intaglio.network.onnx.values import (
    INT8,
    UINT8,
    Constant,
    Edge,
    Unknown,
    Unsupported,
    Weights,
)
from intaglio.network.survey import BEHIND, CONSTANT, UNREAD, UNTOLD, Step, Survey

MOST_LAYOUTS = 4
"""Entries whose layouts are tried one by one; beyond, all alike."""


def load_onnx(path: str | Path) -> Graph:
    """The graph of an .onnx file; every 8-bit tensor in it under the name of its QuantizeLinear's output.

    The result equals onnxruntime on every input but where graph.notes says otherwise. InputError for a file that
    cannot be read; RefusedError with every node that is not supported.
    """
    return survey_onnx(path).accepted(path)


def survey_onnx(path: str | Path) -> Survey:
    """A survey of the file: what can be imported and what not. InputError for a file that cannot be read, or that is
    not quantized."""
    path = Path(path)
    model = parsed(path, "give a quantized .onnx file")
    notes, faults = plain(path, model)
    if not quantized_operators(model):
        raise float_model(path)
    if faults:
        return _blind(path, model, notes, faults)
    check(path, model)
    file = read_onnx(path, model, notes)
    scope, refusals = import_nodes(file, None)
    for images in _layouts(list(dict.fromkeys(scope.entries))):
        if not refusals and not scope.rearranged:
            break
        other, faults = import_nodes(file, images)
        if (len(faults), other.rearranged) < (len(refusals), scope.rearranged):
            scope, refusals = other, faults
    used = {name for op in scope.operators for name in (*op.inputs, *op.outputs)} | {*file.inputs, *file.outputs}
    for name in used - set(scope.tensors):  # around what was refused
        dtype = file.types.get(name, np.dtype(np.float32))
        scope.tensors[name] = Tensor(
            name, file.shapes.get(name) or (1,), np.dtype(np.int8) if dtype == UINT8 else dtype
        )
    graph = Graph(
        path.stem,
        {name: tensor for name, tensor in scope.tensors.items() if name in used},
        file.inputs,
        file.outputs,
        scope.operators,
        list(dict.fromkeys(file.notes + scope.notes)),
        tuple(dict.fromkeys(scope.inexact)),
    )
    return Survey(graph, _steps(file, scope), tuple(refusals))


def _layouts(entries: list[str]) -> list[frozenset[str]]:
    """Choices of the entries that are images, but for all, which comes first, since most are."""
    if len(entries) > MOST_LAYOUTS:
        return [frozenset()]
    choices = itertools.product((True, False), repeat=len(entries))
    return [frozenset(itertools.compress(entries, choice)) for choice in choices][1:]


def _blind(path: Path, model: Any, notes: list[str], faults: list[Refusal]) -> Survey:
    """The survey of a network whose shapes or operators' meaning cannot be known: what is refused whatever they are, in
    one list."""
    steps, refusals = [], list(faults)
    for number, proto in enumerate(model.graph.node):
        node = make_node(proto, number)
        name = node.outputs[0] if node.outputs else f"{node.op}#{number}"
        steps.append(Step(name, node.op, "", why=UNTOLD))
        if node.op not in EXPANDED and (fault := unsupported_kind(node)) is not None:
            refusals.append(Refusal(name, node.op, fault.reason, fault.remedy, number))
    inputs = tuple(dict.fromkeys(value.name for value in model.graph.input))
    tensors = {name: Tensor(name, (1,), np.dtype(np.float32)) for name in inputs}
    return Survey(Graph(path.stem, tensors, inputs, (), notes=notes), tuple(steps), tuple(refusals))


def read_onnx(path: Path, model: Any, notes: list[str]) -> OnnxFile:
    """The nodes of a plain model in QDQ form, with all constants and shapes that are known before it runs."""
    constants = constants_of(path, model)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    opset = opsets.setdefault("", opsets.get("ai.onnx", 0))
    nodes: list[Node] = []
    faults: dict[int, Unsupported] = {}
    for number, proto in enumerate(model.graph.node):
        node = make_node(proto, number)
        try:
            nodes += expand(node, model, constants, opset) or [node]
        except Unsupported as fault:
            faults[number] = fault
            nodes.append(node)
    del model.graph.node[:]
    for node in nodes:
        copy = onnx_module().NodeProto.FromString(node.proto.SerializeToString())
        if copy.domain == MICROSOFT and copy.op_type in QUANTIZED:
            copy.domain = ""
        model.graph.node.append(copy)
    strict = not any("." in node.op for node in nodes)
    shapes, types = fold(path, model, nodes, constants, strict)
    inputs = tuple(value.name for value in model.graph.input if value.name not in constants)
    outputs = tuple(value.name for value in model.graph.output)
    if not inputs or not outputs:
        raise broken(path, "it has no inputs or no outputs")
    outputs = tuple(dict.fromkeys(outputs))
    return OnnxFile(path, nodes, constants, shapes, types, inputs, outputs, opsets, notes, faults)


def import_nodes(file: OnnxFile, images: frozenset[str] | None) -> tuple[Scope, list[Refusal]]:
    """One pass over the nodes. images: entries that the graph keeps as NHWC, None for all of rank 4."""
    readers = Counter(name for node in file.nodes for name in node.inputs if name)
    readers.update(file.outputs)
    scope = Scope(file, images, readers)
    scope.makers.update((name, node) for node in file.nodes for name in node.outputs if name)
    middle = _leads_to_products(file)
    refusals: dict[tuple[str, str], Refusal] = {}
    for name in file.inputs:
        try:
            _input(scope, name)
        except Unsupported as fault:
            refusals["input", name] = Refusal(name, "input", fault.reason, fault.remedy)
            scope.values[name] = Unknown()
    names = _names(file)
    for node in file.nodes:
        if node.outputs and all(name in file.constants for name in node.outputs):
            continue
        try:
            if node.number in file.faults:
                raise file.faults[node.number]
            scope.values.update(node_values(scope, node, middle))
        except Unsupported as fault:
            at = fault.node or node
            _refuse(refusals, names, at, fault)
            scope.values.update(gap(scope, node, at))
    for name in file.outputs:
        try:
            _output(scope, name)
        except Unsupported as fault:
            if fault.node is not None:
                _refuse(refusals, names, fault.node, fault)
                scope.values.update(gap(scope, fault.node, fault.node))
                continue
            reason = f"output {name!r}: {fault.reason}"
            refusals["output", name] = Refusal(file.path.stem, "network", reason, fault.remedy)
    close_gaps(scope)
    _drop_tables(scope)
    return scope, list(refusals.values())


def _drop_tables(scope: Scope) -> None:
    """Leaves out tables that only tables read which have taken them in."""
    for made in reversed(scope.tables):
        if made in scope.file.outputs or any(made in op.inputs for op in scope.operators):
            continue
        if scope.readers.get(made):
            scope.operators = [op for op in scope.operators if op.outputs != (made,)]
            if made in scope.inexact:
                scope.inexact.remove(made)


def _names(file: OnnxFile) -> dict[int, str]:
    """The file's nodes by number -> how they are called: their first output (of a group, the last node's), or kind and
    number."""
    found = {node.number: f"{node.code}#{node.number}" for node in file.nodes}
    return found | {node.number: node.outputs[0] for node in file.nodes if node.outputs and node.outputs[0]}


def _refuse(refusals: dict[tuple[str, str], Refusal], names: dict[int, str], at: Node, fault: Unsupported) -> None:
    """Notes why a node is refused, once."""
    layer = names[at.number]
    refusals.setdefault(("", layer), Refusal(layer, at.code, fault.reason, fault.remedy, at.number))


def _leads_to_products(file: OnnxFile) -> set[str]:
    """The values from which the network's own operators follow."""
    found: set[str] = set()
    for node in reversed(file.nodes):
        if node.op in PRODUCTS or any(name in found for name in node.outputs):
            found.update(node.inputs)
    return found


def _input(scope: Scope, name: str) -> None:
    if name not in scope.file.shapes or name not in scope.file.types:
        raise Unsupported("its type or shape is not known", "export the model with fixed shapes")
    shape, dtype = scope.file.shapes[name], scope.file.types[name]
    if dtype in (INT8, UINT8):
        scope.values[name] = scope.entry(name, shape, dtype)
        return
    if dtype.kind not in "fiu" or dtype.itemsize > 8 or 0 in shape:
        raise Unsupported(f"it is {dtype} of shape {list(shape)}", "use float32, int8 or uint8 inputs")
    scope.tensors[name] = Tensor(name, shape, dtype)
    scope.values[name] = Edge(name)


def _output(scope: Scope, name: str) -> None:
    """Sees to it that a tensor of this name exists."""
    value = scope.value(name)
    if isinstance(value, Unknown):
        if not any(name in node.outputs for node in scope.file.nodes):
            raise Unsupported("nothing computes it", "export the model again")
        return
    if isinstance(value, Constant | Weights):
        raise Unsupported("it is a constant", "remove it from the outputs")
    held = scope.to_host(value)
    if held == name:
        return
    if name in scope.tensors:
        raise Unsupported(f"it is only another name of {held!r}", "remove the Identity before it")
    proto = onnx_module().helper.make_node("Identity", [held], [name])
    scope.file.shapes.setdefault(held, scope.tensors[held].file_shape)
    scope.run_on_host([make_node(proto, -1)], [held])


def _steps(file: OnnxFile, scope: Scope) -> tuple[Step, ...]:
    """The outcome for each node of the file."""
    made = {op.name for op in scope.operators}
    writer = {name: node.number for node in file.nodes for name in node.outputs}
    became: dict[int, str] = {}
    for op in scope.operators:
        number = scope.origin.get(op.name, writer.get(op.outputs[0], -1))
        became.setdefault(number, op.name)
    readers: dict[str, list[Node]] = {}
    for node in file.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    target: dict[str, str] = {name: name for name in made}
    for node in reversed(file.nodes):  # what nodes behind it became
        for name in node.outputs:
            behind = [target[n] for reader in readers.get(name, []) for n in reader.outputs if n in target]
            if name not in target and behind:
                target[name] = behind[0]
    names = _names(file)
    steps = []
    for number, group in itertools.groupby(file.nodes, lambda node: node.number):
        nodes = list(group)
        code, written = nodes[0].code, [name for node in nodes for name in node.outputs if name]
        last = (nodes[-1].outputs or ("",))[0]
        if number in became:
            steps.append(Step(names[number], code, became[number]))
        elif last in file.constants:
            steps.append(Step(names[number], code, "", why=CONSTANT))
        elif code not in QUANTIZED and any(
            isinstance(scope.value(n), Unknown) for node in nodes for n in node.inputs if n
        ):
            steps.append(Step(names[number], code, "", why=BEHIND, macs=max(macs_of(file, node) for node in nodes)))
        elif last in target:
            steps.append(Step(names[number], code, target[last], folded=True))
        elif any(name in readers or name in file.outputs for name in written):
            steps.append(Step(names[number], code, "", why=BEHIND))
        else:
            steps.append(Step(names[number], code, "", why=UNREAD))
    return tuple(steps)
