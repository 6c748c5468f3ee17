"""A network on an engine: its edges on the host, the rest as a Program; tensors as the model file has them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.mapper import Certificate, Objective, map_network, map_proven
from intaglio.mapper.search.objective import check_goal
from intaglio.network import Graph, arithmetic, check_inputs, execute, host_ops
from intaglio.network.execute import graph_inputs
from intaglio.network.graph import Operator
from intaglio.network.placement import host_operators
from intaglio.power_model import Table, load_table, prices
from intaglio.program.program import Program
from intaglio.sim.clock.result import CycleResult
from intaglio.sim.engines import RunResult, clock_of, cycles_of, run_program
from intaglio.sim.functional import execute_program
from intaglio.sim.ledger import actions
from intaglio.sim.rtl.build import Progress
from intaglio.sim.tensors import values_at
from intaglio.trace import Trace


@dataclass(frozen=True)
class NetworkRun:
    """One inference. tensors: inputs, host operators' outputs and what the engine left in external memory, by
    the model file's names, in its types and shapes. host_seconds: by index into graph.operators, measured."""

    session: Session
    result: RunResult
    tensors: dict[str, np.ndarray]
    host_seconds: dict[int, float]

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """The network's."""
        return {name: self.tensors[name] for name in self.session.graph.outputs}

    @property
    def cycles(self) -> int:
        """Clock cycles of the accelerator; host operators are not in them."""
        return self.result.cycles

    @property
    def counters(self) -> dict[Counter, int]:
        """The hardware's ledger; empty where the RTL ran a configuration without counters."""
        return self.result.counters

    @cached_property
    def trace(self) -> Trace:
        """Times of everything that happened, from the simulator's clock, whichever engine ran."""
        return Trace.of(self.session.config, self.session.program, self.session.clock(record=True), self.result.engine)


@dataclass(frozen=True)
class Session:
    """A graph and its Program for one configuration. certificates: of its layers and chains where they were proven.
    objective: what the schedule was chosen by, where prices were given; else it was cycles."""

    graph: Graph
    config: Config
    program: Program
    certificates: tuple[Certificate, ...] = ()
    objective: Objective | None = None

    @staticmethod
    def map(
        graph: Graph,
        config: Config,
        keep_all: bool = False,
        prove: bool = False,
        goal: str = "cycles",
        table: Table | None = None,
    ) -> Session:
        """keep_all: the engine leaves every tensor of the accelerator in external memory. prove: each layer's plan is
        the best of its space under exact timing, in place of the one that an estimate prefers; takes seconds. goal:
        "cycles", "energy" or "edp", their product; of schedules that are equal in the first, the other decides. table:
        has the prices; for cycles none are needed, and then energy decides nothing, for the others the default is the
        shipped one. InputError for a goal that is none, and for prove with prices."""
        check_goal(goal)
        if prove and (goal != "cycles" or table is not None):
            raise InputError(
                f"prove: finds the fewest cycles, whatever the energy; leave out the objective {goal!r} and the table, or prove"
            )
        if not prove and goal == "cycles" and table is None:
            return Session(graph, config, map_network(graph, config, keep_all, clock=cycles_of))
        if not prove:
            objective = Objective(goal, prices(config, table or load_table()), actions)
            return Session(graph, config, map_network(graph, config, keep_all, objective), objective=objective)
        program, certificates = map_proven(graph, config, cycles_of, keep_all)
        return Session(graph, config, program, tuple(certificates))

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        engine: str = "host",
        progress: Progress | None = None,
        waves: Path | None = None,
    ) -> NetworkRun:
        """inputs: the graph's, by name, as the model file has them; InputError if they are not exactly those."""
        edges, operands = self._begun(inputs)
        result = run_program(self.config, self.program, operands, engine, progress, waves)
        edges.values.update(self.written(result.memory))
        edges.advance()
        return NetworkRun(self, result, edges.in_file(), edges.seconds)

    def outputs(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The graph's outputs from the Program's commands on the host, without the clock: for many inputs."""
        edges, operands = self._begun(inputs)
        edges.values.update(self.written(execute_program(self.config, self.program, operands).memory))
        edges.advance()
        return {name: self.graph.tensors[name].to_file(edges.values[name]) for name in self.graph.outputs}

    def _begun(self, inputs: Mapping[str, np.ndarray]) -> tuple[_Edges, dict[str, np.ndarray]]:
        """Runs what comes before the accelerator; returns the edges and the Program's inputs."""
        check_inputs(self.graph, inputs)
        edges = _Edges(self.graph, self.config, inputs)
        edges.advance()
        return edges, {name: edges.values[name] for name in self.program.inputs}

    def written(self, memory: np.ndarray) -> dict[str, np.ndarray]:
        """The tensors that the accelerator wrote to external memory (uint8 [memory_bytes]), by name, as the graph
        holds them (int8, NHWC)."""
        return {
            name: values_at(memory, place).reshape(self.graph.tensors[name].shape)
            for name, place in self.program.places.items()
            if name not in self.program.inputs
        }

    @property
    def energy(self) -> float | None:
        """pJ of an inference by the objective's prices, from exact counts and cycles; None without an objective."""
        if self.objective is None:
            return None
        return self.objective.energy(self.config, self.program.commands, self.clock().cycles)

    def clock(self, record: bool = False) -> CycleResult:
        """The cycles of the Program, which no input changes. record: with what happens when."""
        return clock_of(self.config, self.program.commands, record)


def every_tensor(
    graph: Graph, config: Config, run: NetworkRun, engine: str, progress: Progress | None = None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Every tensor of the graph for the inputs of `run`, and the names of those that the accelerator never wrote.

    A second Program that keeps all tensors outside runs on the engine; what it does not write (the edges, and
    tensors that exist inside a fused layer only) comes from the host.
    """
    inputs = {name: run.tensors[name] for name in graph.inputs}
    keeping = Session.map(graph, config, keep_all=True)
    kept = keeping.run(inputs, engine, progress)
    on_host = execute(graph, inputs)
    written = set(keeping.program.places) - set(keeping.program.inputs)
    missing = [name for name in on_host if name not in written and name not in graph.inputs]
    return {name: kept.tensors.get(name, value) for name, value in on_host.items()}, missing


class _Edges:
    """Runs host operators as soon as their operands are known, and times them."""

    def __init__(self, graph: Graph, config: Config, inputs: Mapping[str, np.ndarray]):
        self.values = graph_inputs(graph, inputs)
        self.seconds: dict[int, float] = {}
        self._graph = graph
        self._host = sorted(host_operators(graph, config))

    def advance(self) -> None:
        """Runs every host operator that can run and has not."""
        for index in self._host:
            op = self._graph.operators[index]
            if index not in self.seconds and all(name in self.values for name in op.inputs):
                host_ops.prepare(op)  # what is started once is no time of the operator's
                begin = time.perf_counter()
                self.values.update(self._run(op))
                self.seconds[index] = time.perf_counter() - begin

    def in_file(self) -> dict[str, np.ndarray]:
        """All values as the model file has them."""
        return {name: self._graph.tensors[name].to_file(value) for name, value in self.values.items()}

    def _run(self, op: Operator) -> dict[str, np.ndarray]:
        sources, targets = ([self._graph.tensors[name] for name in names] for names in (op.inputs, op.outputs))
        operands = [self.values[name] for name in op.inputs]
        if op.on_host:
            return dict(zip(op.outputs, host_ops.run(op, operands, sources, targets), strict=True))
        return dict(
            zip(op.outputs, arithmetic.run(op, operands, targets), strict=True)
        )  # a Reshape or a table at the edge
