"""intaglio_network.h and intaglio_network.c: one network on one configuration as constants of C."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from intaglio.export.c_text import LONGEST_CLOCK, comment_text, float_literal, string_literal
from intaglio.export.edges import SOFTMAXES, Edges, EdgeTensor, Moved, Step
from intaglio.export.templates import fill
from intaglio.machine.config import INSTRUCTION_SET
from intaglio.program.program import PROGRAM_OFFSET
from intaglio.session import Session
from intaglio.version import __version__


def network_header(model: str, session: Session, edges: Edges, cycles: int) -> str:
    """model: the model file's name. cycles: of one inference."""
    config, program = session.config, session.program
    quantized = [tensor for tensor in edges.tensors if tensor.scale is not None]
    return fill(
        "intaglio_network.h.in",
        network=comment_text(program.network),
        configuration=comment_text(config.name),
        intaglio_version=__version__,
        model=comment_text(model),
        version=INSTRUCTION_SET,
        hash_low=f"0x{program.config_hash & 0xFFFFFFFF:08X}",
        hash_high=f"0x{program.config_hash >> 32:08X}",
        bus_bytes=config.bus_bytes,
        program_offset=PROGRAM_OFFSET,
        program_bytes=4 * len(program.words()),
        image_bytes=len(program.image),
        image_crc=f"0x{zlib.crc32(program.image):08X}",
        memory_bytes=program.memory_bytes,
        memory_rate=config.memory.bytes_per_cycle,
        memory_latency=config.memory.latency,
        memory_outstanding=config.memory.outstanding,
        cycles=cycles,
        rate=f"{config.clock_mhz * 1e6 / cycles:.1f}",
        clock=comment_text(str(config.clock), LONGEST_CLOCK),
        inputs_count=len(edges.inputs),
        outputs_count=len(edges.outputs),
        tensors="\n".join(
            [_moved("INPUT", i, moved) for i, moved in enumerate(edges.inputs)]
            + [_moved("OUTPUT", i, moved) for i, moved in enumerate(edges.outputs)]
        ),
        quantizations="/* As an intaglio_quantization. */\n"
        + "\n".join(f"#define {quantization_macro(tensor)} {_quantization(tensor)}" for tensor in quantized)
        + "\n",
        steps=_steps(edges),
    )


def network_tables(session: Session, edges: Edges) -> str:
    return fill(
        "intaglio_network.c.in",
        name=string_literal(session.program.network),
        inputs="\n".join(_entry("INPUT", moved) for moved in edges.inputs),
        outputs="\n".join(_entry("OUTPUT", moved) for moved in edges.outputs),
    )


def quantization_macro(tensor: EdgeTensor) -> str:
    return f"INTAGLIO_QUANTIZATION_{tensor.identifier}"


def softmax_macro(step: Step) -> str:
    """Name of the macro for the numbers that intaglio_softmax takes between its two arrays."""
    return f"INTAGLIO_SOFTMAX_{step.targets[0].identifier}"


def described(tensor: EdgeTensor) -> str:
    """'classes, int8 [1, 10]', for a comment or Markdown."""
    return f"{comment_text(tensor.name)}, {tensor.dtype} ({', '.join(map(str, tensor.shape))})"


def all_described(tensors: Sequence[EdgeTensor]) -> str:
    return " and ".join(described(tensor) for tensor in tensors)


def layout(moved: Moved) -> str:
    """'28 rows of 28 bytes, one every 32, as int8', and how the model file's order differs."""
    place, form = moved.place, moved.form
    text = f"{place.rows} rows of {place.row_bytes} bytes, one every {place.row_stride}, as int8"
    if form is None or form.permutation == tuple(range(len(form.permutation))):
        return text
    return f"{text}; as {form.unfolded} transposed by {form.permutation} they stand in the file's order"


def _moved(role: str, index: int, moved: Moved) -> str:
    tensor, place = moved.tensor, moved.place
    assert tensor.scale is not None and tensor.zero_point is not None
    name = f"INTAGLIO_{role}_{tensor.identifier}"
    lines = [
        f"/* {described(tensor)} in the model file. In memory {layout(moved)}. */",
        f"#define {name} (&intaglio_{role.lower()}s[{index}])",
        f"#define {name}_OFFSET {place.offset}u",
        f"#define {name}_ROWS {place.rows}u",
        f"#define {name}_ROW_BYTES {place.row_bytes}u",
        f"#define {name}_ROW_STRIDE {place.row_stride}u",
        f"#define {name}_ELEMENTS {tensor.elements}u",
        f"#define {name}_TYPE {tensor.element}",
        f"#define {name}_RANK {len(tensor.shape)}",
        f"#define {name}_SHAPE {{{', '.join(map(str, tensor.shape))}}}",
        f"#define {name}_SCALE {float_literal(tensor.scale)} /* {tensor.scale:.9g} */",
        f"#define {name}_ZERO_POINT {_signed(tensor.zero_point)}",
        "",
    ]
    return "\n".join(lines)


def _quantization(tensor: EdgeTensor) -> str:
    assert tensor.scale is not None
    lowest = 0 if tensor.dtype == np.uint8 else -128
    return f"{{{float_literal(tensor.scale)}, {tensor.zero_point}, {lowest}}}"


def _signed(value: int) -> str:
    """A value that may be negative stands in parentheses."""
    return f"({value})" if value < 0 else str(value)


def _entry(role: str, moved: Moved) -> str:
    tensor = moved.tensor
    name = f"INTAGLIO_{role}_{tensor.identifier}"
    loops = ", ".join(f"{{{loop.count}, {loop.stride}}}" for loop in moved.loops)
    return (
        f"    {{{string_literal(tensor.name)}, {name}_OFFSET, {moved.place.span}, {name}_ELEMENTS,\n"
        f"     {quantization_macro(tensor)}, {len(moved.loops)}, {{{loops}}}}},"
    )


def _steps(edges: Edges) -> str:
    if not edges.before and not edges.after:
        return "/* The whole network runs on the accelerator. */\n"
    lines = ["/* The processor's part of the network (functions of intaglio_host.h):"]
    for title, steps in (("before the start", edges.before), ("after the end", edges.after)):
        lines += [f" * {title}: {_step(step)}" for step in steps]
    lines.append(" */")
    lines += _softmax_numbers(edges.before + edges.after)
    return "\n".join(lines) + "\n"


def _step(step: Step) -> str:
    how = step.function or "not in intaglio_host.h, left to you"
    return f"{comment_text(step.op.kind)} of {all_described(step.sources)} to {all_described(step.targets)}: {how}"


def _softmax_numbers(steps: Sequence[Step]) -> list[str]:
    found = [step for step in steps if step.function in SOFTMAXES.values()]
    lines = ["/* Rows, length, multiplier and left shift of intaglio_softmax. */"] if found else []
    return lines + [f"#define {softmax_macro(step)} {', '.join(map(str, step.numbers))}" for step in found]
