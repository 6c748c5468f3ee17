"""Tensors in external memory: where a Place says, row by row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intaglio.compiled import compiled
from intaglio.errors import InputError
from intaglio.machine.formats import INT8
from intaglio.program.packing import dtype_of, packed, unpacked
from intaglio.program.program import Place, Program


def rows_at(memory: np.ndarray, place: Place) -> np.ndarray:
    """The tensor's bytes in memory (uint8 [bytes]) as a view, int8 [rows, row_bytes]: its elements, if these are int8."""
    last = place.offset + (place.rows - 1) * place.row_stride + place.row_bytes
    if place.rows < 1 or place.row_bytes < 1 or last > memory.size:
        raise InputError(
            f"a tensor at offset {place.offset}, {place.rows} rows of {place.row_bytes} bytes, "
            f"is outside the program's {memory.size} bytes of memory; map the network again"
        )
    return np.lib.stride_tricks.as_strided(
        memory[place.offset :].view(np.int8), (place.rows, place.row_bytes), (place.row_stride, 1)
    )


def values_at(memory: np.ndarray, place: Place) -> np.ndarray:
    """The tensor's elements in memory (uint8 [bytes]): of the place's format, int8 as a rule, [rows, elements of a row], copies."""
    rows, layout = rows_at(memory, place), place.layout
    whole = layout.format is INT8 and layout.packed
    return rows.copy() if whole else unpacked(rows.view(np.uint8), layout)


def initial_memory(program: Program, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """External memory before the start, uint8 [memory_bytes]: the image and the inputs (of the places' format, int8 as a rule, any
    shape of the place's number of elements)."""
    memory = np.zeros(program.memory_bytes, np.uint8)
    if len(program.image) > memory.size:
        raise InputError(
            f"the program's image ({len(program.image)} bytes) is larger than its memory "
            f"({memory.size} bytes); map the network again"
        )
    memory[: len(program.image)] = np.frombuffer(program.image, np.uint8)
    for name in program.inputs:
        if name not in inputs:
            raise InputError(f"input {name!r} is missing; pass an int8 array under this key")
        place = program.places[name]
        value = np.asarray(inputs[name])
        layout = place.layout
        if value.dtype != dtype_of(layout) or value.size != layout.elements:
            raise InputError(
                f"input {name!r} is {value.dtype} with {value.size} elements; "
                f"expected {dtype_of(layout)} with {layout.elements}"
            )
        value = value.reshape(place.rows, layout.row_elements)
        rows_at(memory, place)[:] = value if layout.format is INT8 and layout.packed else packed(value, layout)
    return memory


def read_tensors(program: Program, memory: np.ndarray) -> dict[str, np.ndarray]:
    """The program's outputs after the end, by name, as `values_at` gives them."""
    return {name: values_at(memory, program.places[name]) for name in program.outputs}


@compiled(error_model="numpy", nogil=True)
def copy_rows(
    rows: int,
    row_bytes: int,
    source: np.ndarray,
    source_at: int,
    source_stride: int,
    target: np.ndarray,
    target_at: int,
    target_stride: int,
) -> None:
    """Copies rows of row_bytes bytes (uint8 memories, addresses and strides in bytes), row by row in order.

    IndexError before it touches what lies outside a memory.
    """
    for row in range(rows):
        at, to = source_at + row * source_stride, target_at + row * target_stride
        if at + row_bytes > source.size or to + row_bytes > target.size:
            raise IndexError("an address beyond a memory")
        row_from, row_to = source[at : at + row_bytes], target[to : to + row_bytes]
        for i in range(row_bytes):
            row_to[i] = row_from[i]
