"""Random networks, small enough for cocotb, as programs with their inputs and the outputs that they must give."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from intaglio.hw.ledger import CAUSES
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Engine
from intaglio.machine.timing import compute_cycles, lead_cycles
from intaglio.mapper import Program, map_network
from intaglio.network import execute, load, random_inputs
from intaglio.sim.engines import clock_of
from intaglio.sim.functional import execute_program
from intaglio.sim.tensors import initial_memory
from tests.networks import random_network

MOST_MACS, MOST_BYTES = 40_000, 64 * 1024
MOST_CYCLES = 10_000
"""On the configuration's memory. A bench's pauses make up to three times as many; its time limit is for what hangs."""


@dataclass
class Workload:
    """memory: external memory before the start. outputs: by name, as the reference executor has them."""

    seed: int
    config: Config
    program: Program
    inputs: Mapping[str, np.ndarray]
    memory: np.ndarray
    outputs: dict[str, np.ndarray]

    @property
    def code_bytes(self) -> int:
        return 4 * len(self.program.words())

    def ledger(self) -> dict[Counter, int]:
        """Every counter that the external memory's timing does not change."""
        total = execute_program(self.config, self.program, self.inputs).counters.sum(axis=0)
        timed = (Counter.CYCLES, *CAUSES)
        ledger = {counter: int(total[counter]) for counter in Counter if counter not in timed}
        ledger[Counter.FETCH_WORDS] = -(-self.code_bytes // self.config.bus_bytes)
        return ledger

    def busy(self) -> range:
        """BUSY's values: every command alone, or as many as may beside the end of the one before."""
        computes = [c for c in self.program.commands if c.engine == Engine.COMPUTE]
        most = sum(compute_cycles(self.config, c) for c in computes)
        return range(most - sum(lead_cycles(self.config, *pair) for pair in pairwise(computes)), most + 1)


def random_workload(config: Config, most_cycles: int = MOST_CYCLES) -> Workload:
    """A network that runs in seconds. most_cycles: without a bench's pauses."""
    while True:
        seed = random.getrandbits(32)
        with tempfile.TemporaryDirectory() as folder:
            network = random_network(seed, Path(folder) / "network.tflite")
            graph = load(network.path)
        if network.macs > MOST_MACS:
            continue
        program = map_network(graph, config)
        if program.memory_bytes > MOST_BYTES or clock_of(config, program.commands).cycles > most_cycles:
            continue
        inputs = random_inputs(graph, seed)
        values = execute(graph, inputs)
        outputs = {name: values[name] for name in program.outputs}
        return Workload(seed, config, program, inputs, initial_memory(program, inputs), outputs)
