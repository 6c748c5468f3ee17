"""The division of a graph between host and accelerator."""

from __future__ import annotations

import numpy as np

from intaglio.machine.config import Config
from intaglio.network.graph import Graph, Reshape, Table


def host_operators(graph: Graph, config: Config) -> set[int]:
    """Indices of the operators that the host runs: host operators, reshapes of anything but int8, reshapes between host
    operators; and tables of a machine that has none, where no operator of the accelerator reads what they make."""
    before = {name for name in graph.inputs if graph.tensors[name].dtype != np.int8}
    after: set[str] = set()
    at_end = set() if config.tables else _tables_at_the_end(graph)
    out = set()
    for index, op in enumerate(graph.operators):
        not_int8 = any(graph.tensors[name].dtype != np.int8 for name in op.inputs + op.outputs)
        moved = isinstance(op, Reshape) and (not_int8 or any(name in after for name in op.inputs))
        if op.on_host or moved or index in at_end:
            out.add(index)
            (before if all(n in before or n in graph.inputs for n in op.inputs) else after).update(op.outputs)
    return out


def _tables_at_the_end(graph: Graph) -> set[int]:
    """Tables whose results reach the network's outputs through operators alone that the host may run."""
    needed: set[str] = set()
    found = set()
    for index, op in reversed(list(enumerate(graph.operators))):
        if not needed.isdisjoint(op.outputs) or not (op.on_host or isinstance(op, Reshape | Table)):
            needed.update(op.inputs)
        elif isinstance(op, Table):
            found.add(index)
    return found
