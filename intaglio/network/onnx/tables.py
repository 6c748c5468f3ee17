"""Tables of functions of one element: onnxruntime itself tells the result of each of the 256 values.

The nodes run alone, between the DequantizeLinear and QuantizeLinear of their file and in the session that every
comparison has, so that they are fused as they are in the whole network, and the table is the reference's arithmetic
whatever it is.
"""

from __future__ import annotations

import functools

import numpy as np

from intaglio.errors import InputError
from intaglio.network.graph import FileForm, Table
from intaglio.network.onnx.file import QUANTIZED, Node, onnx_module
from intaglio.network.onnx.functions import MOST_NODES
from intaglio.network.onnx.host import session_of
from intaglio.network.onnx.moves import MOVES
from intaglio.network.onnx.output import Output
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import UINT8, Function, Real, Stored, Unsupported, Weights

GATES = {"Sigmoid": "SiLU", "HardSigmoid": "HardSwish"}
"""Function -> its product with its own argument."""
CODES = "every code"
"""Input of the small model."""


def table(scope: Scope, value: Function, out: Output) -> Stored:
    """Emits the Table of a function behind which a QuantizeLinear stands."""
    scope.accelerated(value.stored)
    source = value.sources[0].origin.form.dtype
    model = _alone(scope, value, out)
    try:
        values, differing = _values(model, source, out.dtype, max(len(value.stored.shape), 1))
    except InputError:
        raise
    except Exception as error:  # onnxruntime's exceptions have no common base
        reason = f"onnxruntime cannot compute it: {' '.join(str(error).split())[:300]}"
        raise Unsupported(reason, "export the model again", value.nodes[-1]) from None
    if differing:
        scope.may_differ(
            value.nodes[-1],
            out.name,
            f"onnxruntime's result depends on where in the tensor a value stands, for {differing} of 256 values",
        )
    if len(scope.tables) < MOST_NODES:
        scope.tables[out.name] = value, out.node
    scope.origin[out.name] = value.nodes[-1].number
    return emit_table(scope, value.stored, out, values, name_of(value))


def name_of(value: Function) -> str:
    """A name for what a function's nodes compute: the operators', or the whole's where it has one of its own."""
    own = [node for node in value.nodes if node.op not in (*MOVES, *QUANTIZED)]
    kinds = list(dict.fromkeys(node.op for node in own))
    computed = {real.name for real in value.sources} | {node.outputs[0] for node in value.nodes}
    if len(own) == 2 and kinds[1:] == ["Mul"] and kinds[0] in GATES and computed.issuperset(own[1].inputs):
        return GATES[kinds[0]]
    return "+".join(kinds[:4]) or "Table"


def emit_table(scope: Scope, stored: Stored, out: Output, values: np.ndarray, what: str) -> Stored:
    """A Table of int8 [256] of the graph's values -128 to 127."""
    old = stored.form
    form = FileForm(old.unfolded, old.permutation, old.shape, out.dtype)
    shape = scope.tensors[stored.tensor].shape
    tensor, result = scope.result(out.name, form, shape, out.scale, out.zero_point)
    scope.emit(Table(out.name, (stored.tensor,), (out.name,), values, what), tensor)
    return result


def requantized(scope: Scope, real: Real, out: Output, what: str) -> Stored:
    """DequantizeLinear and the QuantizeLinear `out`, by float32's steps, as a Table."""
    codes = np.arange(-128, 128) + 128 * (real.stored.form.dtype == UINT8)
    values = (codes - real.zero_point).astype(np.float32) * real.scale
    return emit_table(scope, real.stored, out, out.quantize(values).astype(np.int8), what)


def _alone(scope: Scope, value: Function, out: Output) -> bytes:
    """A model of the function alone, which takes a row of the source's type. Results that are read elsewhere too are its
    outputs, so that nothing is fused that the whole network does not fuse."""
    onnx = onnx_module()
    helper, of_array = onnx.helper, onnx.numpy_helper.from_array
    form = value.sources[0].origin.form
    constants: dict[str, np.ndarray] = {}
    protos = []

    def quantizer(op: str, x: str, y: str, scale: np.ndarray, zero_point: np.ndarray) -> None:
        names = [f"{y}::scale", f"{y}::zero point"]
        constants.update(zip(names, (scale, zero_point), strict=True))
        protos.append(helper.make_node(op, [x, *names], [y]))

    for real in value.sources:
        zero_point = np.array(real.zero_point, form.dtype)
        quantizer("DequantizeLinear", CODES, real.name, np.array(real.scale, np.float32), zero_point)
    made = {real.name for real in value.sources} | {name for node in value.nodes for name in node.outputs}
    for name in dict.fromkeys(name for node in value.nodes for name in node.inputs if name and name not in made):
        given = scope.value(name)
        if isinstance(given, Weights):
            constants[f"{name}::raw"] = given.raw
            zero_point = given.zero_point.astype(given.raw.dtype).reshape(())
            quantizer("DequantizeLinear", f"{name}::raw", name, given.scale.astype(np.float32).reshape(()), zero_point)
        else:
            constants[name] = scope.file.constants[name]
    protos += [_still(node) for node in value.nodes]
    zero_point = np.array(out.zero_point, out.dtype)
    quantizer("QuantizeLinear", value.nodes[-1].outputs[0], out.name, np.array(out.scale, np.float32), zero_point)
    inside = [name for node in value.nodes for name in node.inputs] + [value.nodes[-1].outputs[0]]
    shared = [n.outputs[0] for n in value.nodes if scope.readers.get(n.outputs[0], 0) > inside.count(n.outputs[0])]
    types = scope.file.types
    kinds = [(out.name, out.dtype), *((n, types[n]) for n in shared if n in types)]
    row = [1] * (len(value.stored.shape) - 1) + ["n"]
    graph = helper.make_graph(
        protos,
        "table",
        [helper.make_tensor_value_info(CODES, helper.np_dtype_to_tensor_dtype(form.dtype), row)],
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.dtype(t)), None) for n, t in kinds],
        [of_array(np.asarray(array), name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in scope.file.opsets.items()]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return content


def _still(node: Node) -> object:
    """The node; an Identity in place of one that only moves elements."""
    if node.op not in MOVES:
        return node.proto
    return onnx_module().helper.make_node("Identity", [node.inputs[0]], [node.outputs[0]])


@functools.lru_cache(maxsize=256)
def _values(model: bytes, source: np.dtype, target: np.dtype, rank: int) -> tuple[np.ndarray, int]:
    """onnxruntime's results of the graph's values -128 to 127, int8 [256], all in one row; and how many of them are
    others where each stands alone, as the last elements of a tensor may."""
    session = session_of(model)
    name = session.get_outputs()[0].name
    codes = (np.arange(256) - 128 * (source != UINT8)).astype(source)

    def results(row: np.ndarray) -> np.ndarray:
        found = np.asarray(session.run([name], {CODES: row.reshape((1,) * (rank - 1) + (-1,))})[0]).reshape(-1)
        return found ^ np.int8(-128).view(np.uint8) if target == UINT8 else found

    row = results(codes).view(np.int8)
    alone = np.concatenate([results(codes[i : i + 1]) for i in range(256)]).view(np.int8)
    return row, int((row != alone).sum())
