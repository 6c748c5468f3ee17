"""intaglio_test.h and intaglio_test.c: known inputs and the outputs that belong to them, as constants of C."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intaglio.export.c_network import described
from intaglio.export.c_text import comment_text
from intaglio.export.edges import EdgeTensor
from intaglio.export.known_answer import SEED, KnownAnswer
from intaglio.export.templates import fill

_BYTES_A_LINE = 24


def array_name(tensor: EdgeTensor) -> str:
    return f"intaglio_test_{tensor.identifier}"


def known_header(network: str, tensors: Sequence[EdgeTensor], answer: KnownAnswer) -> str:
    """tensors: those that the example takes or compares."""
    return fill(
        "intaglio_test.h.in",
        network=comment_text(network),
        inputs="given to the export" if answer.given else f"random, seed {SEED}",
        arrays="\n".join(f"extern const {_declared(tensor)}; /* {described(tensor)} */" for tensor in tensors),
    )


def known_arrays(tensors: Sequence[EdgeTensor], answer: KnownAnswer) -> str:
    arrays = (f"const {_declared(t)} = {{\n{_values(answer.tensors[t.name], t)}\n}};\n" for t in tensors)
    return '/* The arrays of intaglio_test.h. */\n#include "intaglio_test.h"\n\n' + "\n".join(arrays)


def _declared(tensor: EdgeTensor) -> str:
    return f"{_element(tensor)} {array_name(tensor)}[{tensor.count}]"


def _element(tensor: EdgeTensor) -> str:
    """The tensor's type in C; a float's is that of its bits, so that infinities and signs of zero need no name."""
    return "uint32_t" if tensor.element == "float" else tensor.element


def _values(array: np.ndarray, tensor: EdgeTensor) -> str:
    flat = np.ascontiguousarray(array.astype(tensor.dtype)).reshape(-1)
    if tensor.element == "float":
        texts = [f"0x{value:08X}u" for value in flat.view(np.uint32).tolist()]
    elif tensor.element == "uint8_t":
        texts = [f"{value}u" for value in flat.view(np.uint8).tolist()]
    else:
        texts = [_integer(value, tensor.dtype) for value in flat.tolist()]
    step = max(1, _BYTES_A_LINE // (tensor.dtype.itemsize if tensor.element != "uint8_t" else 1))
    return "\n".join(f"    {', '.join(texts[i : i + step])}," for i in range(0, len(texts), step))


def _integer(value: int, dtype: np.dtype) -> str:
    suffix = ("LL" if dtype.itemsize == 8 else "") if dtype.kind == "i" else ("ULL" if dtype.itemsize == 8 else "u")
    if value == np.iinfo(dtype).min and dtype.kind == "i" and dtype.itemsize >= 4:
        return f"(-{-(value + 1)}{suffix} - 1)"  # C has no literal of the least value
    return f"{value}{suffix}"
