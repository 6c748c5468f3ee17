"""Maps a graph of an ONNX file, whose tensors the file may have in another form, and compares its outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intaglio.machine.config_files import load_config
from intaglio.mapper import map_network
from intaglio.network import execute, random_inputs
from intaglio.network.graph import Graph
from intaglio.program.program import Program
from intaglio.sim.functional import execute_program
from intaglio.sim.tensors import values_at


def on_machine(graph: Graph, machine: str, settings: Sequence[str] = (), seed: int = 0) -> Program:
    """The program; its outputs equal the reference executor's."""
    config = load_config(machine, list(settings))
    program = map_network(graph, config)
    found = execute(graph, random_inputs(graph, seed))
    wanted = {name: graph.tensors[name].from_file(found[name]) for name in (*program.inputs, *program.outputs)}
    result = execute_program(config, program, {name: wanted[name] for name in program.inputs})
    for name in program.outputs:
        got = values_at(result.memory, program.places[name])
        assert np.array_equal(got.ravel(), wanted[name].ravel()), f"tensor {name} differs (seed {seed})"
    return program
