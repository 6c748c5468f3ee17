"""main.c: the calls of one inference of this network, its steps on the processor included."""

from __future__ import annotations

from intaglio.export.c_network import described, quantization_macro, softmax_macro
from intaglio.export.c_text import comment_text, string_literal
from intaglio.export.edges import Edges, EdgeTensor, Step
from intaglio.export.templates import fill


def example(network: str, edges: Edges) -> str:
    have = {tensor.name for tensor in edges.given}
    before = [_exchange("BOARD_INPUT", tensor) for tensor in edges.given]
    for step in edges.before:
        before.append(_call(step) if step.function else _left(step, "give its result", step.target, "BOARD_INPUT"))
        have.add(step.target.name)
    before += [f"intaglio_write(device, INTAGLIO_INPUT_{m.tensor.identifier}, {_data(m.tensor)});" for m in edges.inputs]

    after = [f"intaglio_read(device, INTAGLIO_OUTPUT_{m.tensor.identifier}, {_data(m.tensor)});" for m in edges.outputs]
    have.update(m.tensor.name for m in edges.outputs)
    for step in edges.after:
        if step.source.name not in have:
            continue
        if step.function:
            after.append(_call(step))
            have.add(step.target.name)
        else:
            after.append(_left(step, "its operand", step.source, "BOARD_OUTPUT"))
    after += [_exchange("BOARD_OUTPUT", tensor) for tensor in edges.results if tensor.name in have]
    used = [tensor for tensor in edges.tensors if tensor.name in have]
    return fill(
        "main.c.in",
        network=comment_text(network),
        buffers="\n".join(_buffer(tensor) for tensor in used),
        before=_indented(before),
        after=_indented(after),
    )


def _data(tensor: EdgeTensor) -> str:
    return f"data_{tensor.identifier}"


def _buffer(tensor: EdgeTensor) -> str:
    return f"static {tensor.element} {_data(tensor)}[{tensor.elements}]; /* {described(tensor)} */"


def _exchange(macro: str, tensor: EdgeTensor) -> str:
    return f"{macro}({string_literal(tensor.name)}, {_data(tensor)}, sizeof {_data(tensor)});"


def _call(step: Step) -> str:
    source, target = _data(step.source), _data(step.target)
    if step.function == "memcpy":
        return f"memcpy({target}, {source}, sizeof {target});"
    if step.function == "intaglio_softmax":
        return f"intaglio_softmax({source}, {softmax_macro(step)}, {target});"
    integers = step.source if step.function == "intaglio_dequantize" else step.target
    return "\n".join([
        "{",
        f"    static const intaglio_quantization quantization = {quantization_macro(integers)};",
        f"    {step.function}(&quantization, {source}, {step.source.elements}u, {target});",
        "}",
    ])  # fmt: skip


def _left(step: Step, what: str, tensor: EdgeTensor, macro: str) -> str:
    return f"/* {step.op.kind} {comment_text(step.op.name)} is left to you: {what}. */\n{_exchange(macro, tensor)}"


def _indented(statements: list[str]) -> str:
    return "\n".join(f"    {line}" for statement in statements for line in statement.splitlines())
