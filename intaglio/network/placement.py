"""The division of a graph between host and accelerator."""

from __future__ import annotations

import numpy as np

from intaglio.network.graph import Graph, Reshape


def host_operators(graph: Graph) -> set[int]:
    """Indices of the operators that the host runs: host operators, reshapes of anything but int8, and reshapes
    between host operators."""
    before = {name for name in graph.inputs if graph.tensors[name].dtype != np.int8}
    after: set[str] = set()
    out = set()
    for index, op in enumerate(graph.operators):
        not_int8 = any(graph.tensors[name].dtype != np.int8 for name in op.inputs + op.outputs)
        moved = isinstance(op, Reshape) and (not_int8 or any(name in after for name in op.inputs))
        if op.on_host or moved:
            out.add(index)
            (before if all(n in before or n in graph.inputs for n in op.inputs) else after).update(op.outputs)
    return out
