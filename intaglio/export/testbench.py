"""The testbench's files that depend on the network: its constants, and the tensors' rows for $readmemh."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from intaglio.export.c_text import comment_text, string_literal
from intaglio.export.edges import Edges, Moved
from intaglio.export.known_answer import KnownAnswer
from intaglio.export.templates import fill
from intaglio.machine.config import INSTRUCTION_SET
from intaglio.machine.registers import ID_VALUE, STATUS_FAULT_LSB, Control, Register, Status
from intaglio.program.program import PROGRAM_OFFSET
from intaglio.session import Session

TEST_BASE = 0x40000000
"""The address at which the testbench's memory stands."""


def constants(session: Session, edges: Edges, cycles: int) -> str:
    """testbench.vh, part of the testbench's module. cycles: of one inference."""
    config, program = session.config, session.program
    return fill(
        "testbench.vh.in",
        network=comment_text(program.network),
        configuration=comment_text(config.name),
        reset=".aresetn(~(active))" if config.reset == "aresetn" else ".rst(active)",
        bus_bytes=config.bus_bytes,
        memory_words=-(-program.memory_bytes // config.bus_bytes),
        image_words=-(-len(program.image) // config.bus_bytes),
        base=_hexadecimal(TEST_BASE),
        rate=config.memory.bytes_per_cycle,
        latency=config.memory.latency,
        outstanding=config.memory.outstanding,
        half_period=f"{500 / config.clock_mhz:.3f}",
        id=_hexadecimal(ID_VALUE),
        version=INSTRUCTION_SET,
        hash_low=_hexadecimal(program.config_hash & 0xFFFFFFFF),
        hash_high=_hexadecimal(program.config_hash >> 32),
        program_address=_hexadecimal(TEST_BASE + PROGRAM_OFFSET),
        program_bytes=4 * len(program.words()),
        cycles=cycles,
        input_bytes=sum(_bytes(moved) for moved in edges.inputs),
        output_bytes=sum(_bytes(moved) for moved in edges.outputs),
        registers="\n".join(f"localparam [11:0] REG_{r.name} = 12'h{int(r):03X};" for r in Register),
        start=int(Control.START | Control.INTERRUPT_ENABLE),
        busy=int(Status.BUSY),
        done=int(Status.DONE),
        error=int(Status.ERROR),
        fault_lsb=STATUS_FAULT_LSB,
        places=_calls("place_rows", edges.inputs),
        comparisons=_calls("compare_rows", edges.outputs),
    )


def rows_text(moved: Iterable[Moved], answer: KnownAnswer) -> str:
    """The tensors' bytes for $readmemh, one row of the accelerator's memory a line, padding left out."""
    lines = []
    for one in moved:
        lines.append(f"// {comment_text(one.tensor.name)}: {one.place.rows} rows of {one.place.row_bytes} bytes")
        lines += [row.tobytes().hex(" ") for row in np.ascontiguousarray(answer.rows(one))]
    return "\n".join(lines) + "\n"


def _bytes(moved: Moved) -> int:
    return moved.place.rows * moved.place.row_bytes


def _calls(task: str, tensors: Sequence[Moved]) -> str:
    """One call a tensor: its name, where its bytes begin in the file, and where its rows lie."""
    lines, first = [], 0
    for moved in tensors:
        place = moved.place
        name = string_literal(moved.tensor.name)
        lines.append(
            f"        {task}({name}, {first}, {place.offset}, {place.rows}, {place.row_bytes}, {place.row_stride});"
        )
        first += _bytes(moved)
    return "\n".join(lines)


def _hexadecimal(value: int) -> str:
    return f"32'h{value:08X}"
