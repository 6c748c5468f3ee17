"""One inference with known inputs, computed by the host engine: what the exported example and testbench compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from intaglio.export.edges import Moved
from intaglio.export.loops import addresses
from intaglio.network import random_inputs
from intaglio.session import Session

SEED = 0
"""The seed of the inputs where none are given."""


@dataclass(frozen=True)
class KnownAnswer:
    """tensors: inputs, outputs and what the host's operators give, by name, as the model file has them. given: whether the
    inputs were given; else they are random."""

    session: Session
    tensors: dict[str, np.ndarray]
    given: bool

    def rows(self, moved: Moved) -> np.ndarray:
        """A tensor that the driver moves as it lies in the accelerator's memory, uint8 [rows, row_bytes]."""
        place, tensor = moved.place, self.session.graph.tensors[moved.tensor.name]
        values = np.ascontiguousarray(self.tensors[tensor.name]).reshape(-1)
        memory = np.zeros(place.rows * place.row_stride, np.uint8)
        memory[addresses(place, tensor)] = values.view(np.uint8) ^ np.uint8(0x80 if values.dtype == np.uint8 else 0)
        return memory.reshape(place.rows, place.row_stride)[:, : place.row_bytes]


def known_answer(session: Session, inputs: Mapping[str, np.ndarray] | None = None) -> KnownAnswer:
    """inputs: the graph's, by name, as the model file has them; None for random ones. InputError if they are not those."""
    values = random_inputs(session.graph, SEED) if inputs is None else dict(inputs)
    return KnownAnswer(session, session.run(values).tensors, inputs is not None)
