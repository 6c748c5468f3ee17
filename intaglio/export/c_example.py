"""main.c: the calls of one inference of this network, its steps on the processor included."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.export.c_known import array_name
from intaglio.export.c_network import described, quantization_macro, softmax_macro
from intaglio.export.c_text import comment_text, string_literal
from intaglio.export.edges import SOFTMAXES, Edges, EdgeTensor, Step
from intaglio.export.templates import fill


def compared(edges: Edges) -> list[EdgeTensor]:
    """The tensors of which intaglio_test.h has known values: those that the example takes or gives, and the results."""
    found = [*edges.given, *edges.results]
    for step in edges.before + edges.after:
        if step.function is None:
            found += step.sources if step in edges.after else step.targets
    return list({tensor.name: tensor for tensor in found}.values())


def example(network: str, edges: Edges) -> str:
    have = {tensor.name: tensor for tensor in edges.given}
    before = [_given(tensor) for tensor in edges.given]
    for step in edges.before:
        before += [_call(step)] if step.function else _left(step, "give its result", [_given(t) for t in step.targets])
        have.update({tensor.name: tensor for tensor in step.targets})
    before += [
        f"intaglio_write(device, INTAGLIO_INPUT_{m.tensor.identifier}, {_data(m.tensor)});" for m in edges.inputs
    ]

    after = [f"intaglio_read(device, INTAGLIO_OUTPUT_{m.tensor.identifier}, {_data(m.tensor)});" for m in edges.outputs]
    have.update({m.tensor.name: m.tensor for m in edges.outputs})
    for step in edges.after:
        known = [tensor for tensor in step.sources if tensor.name in have]
        if step.function and known:
            after.append(_call(step))
            have.update({tensor.name: tensor for tensor in step.targets})
        else:
            after += _left(step, "here is what it reads", [_taken(t) for t in known])
    after += [_taken(tensor) for tensor in edges.results if tensor.name in have]
    return fill(
        "main.c.in",
        network=comment_text(network),
        buffers="\n".join(_buffer(tensor) for tensor in have.values()),
        before=_indented(before),
        after=_indented(after),
    )


def _data(tensor: EdgeTensor) -> str:
    return f"data_{tensor.identifier}"


def _buffer(tensor: EdgeTensor) -> str:
    return f"static {tensor.element} {_data(tensor)}[{tensor.count}]; /* {described(tensor)} */"


def _given(tensor: EdgeTensor) -> str:
    data = _data(tensor)
    return f"input({string_literal(tensor.name)}, {data}, KNOWN({array_name(tensor)}), sizeof {data});"


def _taken(tensor: EdgeTensor) -> str:
    data, size = _data(tensor), tensor.dtype.itemsize
    return f"output({string_literal(tensor.name)}, {data}, KNOWN({array_name(tensor)}), sizeof {data}, {size}u);"


def _call(step: Step) -> str:
    (source,), (target,) = step.sources, step.targets
    if step.function == "memcpy":
        return f"memcpy({_data(target)}, {_data(source)}, sizeof {_data(target)});"
    if step.function in SOFTMAXES.values():
        return f"{step.function}({_data(source)}, {softmax_macro(step)}, {_data(target)});"
    integers = source if step.function == "intaglio_dequantize" else target
    return "\n".join(
        [
            "{",
            f"    static const intaglio_quantization quantization = {quantization_macro(integers)};",
            f"    {step.function}(&quantization, {_data(source)}, {source.elements}u, {_data(target)});",
            "}",
        ]
    )


def _left(step: Step, what: str, exchanges: Sequence[str]) -> list[str]:
    comment = f"/* {comment_text(step.op.kind)} {comment_text(step.op.name)} is left to you: {what}. */"
    return [comment, *exchanges]


def _indented(statements: list[str]) -> str:
    return "\n".join(f"    {line}" for statement in statements for line in statement.splitlines())
