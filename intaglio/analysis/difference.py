"""The first difference between two runs of one Program, or between a run and the reference, told for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from intaglio.analysis.locate import Origin, origin_of
from intaglio.machine.counters import Counter
from intaglio.session import NetworkRun, Session
from intaglio.sim.engines import RunResult


@dataclass(frozen=True)
class Difference:
    """kind: tensor, cycles, retire_cycle or counter. engines: who gave which of values. name: the tensor or the
    counter. index: the element. origin: the tile that wrote it; cycle: when that command retired."""

    kind: str
    input: str
    engines: tuple[str, str]
    name: str
    values: tuple[float | int | str, float | int | str]
    index: tuple[int, ...] | None = None
    origin: Origin | None = None
    cycle: int | None = None

    def __str__(self) -> str:
        a, b = (f"{value} on {engine}" for value, engine in zip(self.values, self.engines, strict=True))
        if self.kind != "tensor":
            return f"input {self.input}: {self.kind} {self.name}: {a}, {b}"
        text = f"input {self.input}: tensor {self.name!r} at {list(self.index or ())}: {a}, {b}"
        if self.origin is None:
            return f"{text}; computed on the host"
        o = self.origin
        return (
            f"{text}; written by command {o.command} ({o.opcode}), pixel tile {o.pixel_tile}, channel tile "
            f"{o.channel_tile}, pixel {o.pixel}, channel {o.channel}; it retired in cycle {self.cycle}"
        )


def first_tensor(
    session: Session,
    result: RunResult,
    input_name: str,
    engines: tuple[str, str],
    a: Mapping[str, np.ndarray],
    b: Mapping[str, np.ndarray],
) -> Difference | None:
    """The first tensor, in the graph's order, that a and b both have and that differs, and its first element.

    session, result: the run that wrote one of them, for tile and cycle.
    """
    graph = session.graph
    names = [name for op in graph.operators for name in op.outputs if name in a and name in b]
    for name in names:
        x, y = a[name], b[name]
        if x.shape != y.shape or x.dtype != y.dtype:
            values = (f"{x.dtype} {list(x.shape)}", f"{y.dtype} {list(y.shape)}")
            return Difference("tensor", input_name, engines, name, values, ())
        differ = (x.reshape(-1).view(f"u{x.itemsize}") != y.reshape(-1).view(f"u{y.itemsize}")).nonzero()[0]
        if differ.size:
            at = int(differ[0])
            index = tuple(int(i) for i in np.unravel_index(at, x.shape))
            form = graph.tensors[name].form
            inside = at if form is None else int(form.order().reshape(-1)[at])
            origin = origin_of(session.config, session.program, name, inside)
            cycle = None if origin is None else int(result.retire_cycles[origin.command])
            return Difference(
                "tensor", input_name, engines, name, (x[index].item(), y[index].item()), index, origin, cycle
            )
    return None


def first_time(session: Session, input_name: str, a: RunResult, b: RunResult) -> Difference | None:
    """The first difference in time and ledger: retire cycles in program order, cycles, and the counters that both have."""
    engines = (a.engine, b.engine)
    differ = np.nonzero(a.retire_cycles != b.retire_cycles)[0]
    if differ.size:
        at = int(differ[np.argmin(np.minimum(a.retire_cycles[differ], b.retire_cycles[differ]))])
        command = session.program.commands[at]
        name = f"of command {at} ({command.opcode.name}, layer {session.program.layers[command['tag']].name})"
        return Difference(
            "retire_cycle", input_name, engines, name, (int(a.retire_cycles[at]), int(b.retire_cycles[at]))
        )
    if a.cycles != b.cycles:
        return Difference("cycles", input_name, engines, "of the run", (a.cycles, b.cycles))
    for counter in Counter if a.counters and b.counters else ():
        if a.counters[counter] != b.counters[counter]:
            values = (a.counters[counter], b.counters[counter])
            return Difference("counter", input_name, engines, counter.name.lower(), values)
    return None


def first_difference(session: Session, input_name: str, a: NetworkRun, b: NetworkRun) -> Difference | None:
    """Between two engines' runs of one Program: tensors first, then time and ledger."""
    engines = (a.result.engine, b.result.engine)
    return first_tensor(session, a.result, input_name, engines, a.tensors, b.tensors) or first_time(
        session, input_name, a.result, b.result
    )
