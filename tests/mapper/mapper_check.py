"""Maps a graph, runs the program on the functional simulator and holds every tensor against the reference."""

from __future__ import annotations

import numpy as np

from intaglio.machine.config import Config
from intaglio.mapper import map_network
from intaglio.network.execute import execute, random_inputs
from intaglio.network.graph import Graph
from intaglio.program.program import Program
from intaglio.sim.functional import execute_program
from intaglio.sim.tensors import values_at


def check(graph: Graph, config: Config, keep_all: bool = False, seed: int = 0) -> Program:
    program = map_network(graph, config, keep_all)
    check_program(graph, config, program, list(program.places) if keep_all else list(program.outputs), seed)
    return program


def check_program(graph: Graph, config: Config, program: Program, names: list[str], seed: int = 0) -> None:
    """names: of the tensors to hold against the reference."""
    wanted = execute(graph, random_inputs(graph, seed))
    result = execute_program(config, program, {name: wanted[name] for name in program.inputs})
    for name in names:
        got = values_at(result.memory, program.places[name])
        assert np.array_equal(got.ravel(), wanted[name].ravel()), f"tensor {name} differs (seed {seed})"
