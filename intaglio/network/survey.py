"""The importer's result for a model file, refused operators included: for `load` and for `intaglio check`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from intaglio.errors import Refusal, RefusedError
from intaglio.network.graph import Graph, Operator


@dataclass(frozen=True)
class Refused(Operator):
    """Stands in a survey's graph for an operator that could not be imported. code: its kind in the model file."""

    code: str
    macs: int = 0
    """Multiply-accumulates, as far as the file's shapes tell."""

    @property
    def kind(self) -> str:
        return self.code


CONSTANT = "a constant, computed when the file is read"
UNREAD = "nothing reads its result"
BEHIND = "cannot be told: an operator before it is refused"
UNTOLD = "cannot be told before what is refused of the network's inputs and the whole network is mended"


@dataclass(frozen=True)
class Step:
    """The outcome for one operator of the model file. name: its first output tensor. code: its kind there. became: the
    name of the graph's operator that it is, or is part of (`folded`); '' where it is none, for the reason `why`:
    CONSTANT, UNREAD, BEHIND or UNTOLD, or as refusals say. macs: of such a one, as far as the file's shapes tell."""

    name: str
    code: str
    became: str
    folded: bool = False
    why: str = ""
    macs: int = 0


@dataclass(frozen=True)
class Survey:
    """graph: runs if there are no refusals; else it shows the network's shape, with Refused in the gaps. steps: one for
    each operator of the model file, in its order. refusals: of operators and of inputs."""

    graph: Graph
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]

    def accepted(self, path: str | Path) -> Graph:
        """The graph of a file without refusals; else RefusedError with them all. path: for its message."""
        if not self.refusals:
            return self.graph
        counts = {"operator": len(self.steps), "input": len(self.graph.inputs)}
        kinds = [r.operator if r.number is None else "operator" for r in self.refusals]
        parts = [f"{kinds.count(kind)} of its {count} {kind}s" for kind, count in counts.items() if kind in kinds]
        raise RefusedError(f"{path}: cannot be imported{': ' * bool(parts)}{' and '.join(parts)}:", self.refusals)
