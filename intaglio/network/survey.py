"""What an importer makes of a model file, refused operators included: for `load` and for `intaglio check`."""

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


@dataclass(frozen=True)
class Step:
    """What became of one operator of the model file. name: its first output tensor. code: its kind there. became: the
    name of the graph's operator that it is, or is part of (`folded`)."""

    name: str
    code: str
    became: str
    folded: bool = False


@dataclass(frozen=True)
class Survey:
    """graph: runs if there are no refusals; else it shows the network's shape, with Refused in the gaps. steps: one for
    each operator of the model file, in its order. refusals: of operators and of inputs."""

    graph: Graph
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]

    def accepted(self, path: str | Path) -> Graph:
        """The graph of a file without refusals; else RefusedError with them all. path: for its message."""
        if self.refusals:
            raise RefusedError(
                f"{path}: {len(self.refusals)} of its {len(self.steps)} operators and {len(self.graph.inputs)} inputs "
                "cannot be imported:",
                self.refusals,
            )
        return self.graph
