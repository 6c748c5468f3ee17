"""The clock that a mapped design would reach, estimated in seconds: static timing with nets as long as their fan-out lets
expect."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from intaglio.fpga.families import CellDelay, Delays
from intaglio.fpga.netlist import Cell, Netlist


@dataclass(frozen=True)
class Path:
    """A slow path: the register or memory that it leaves and the one that it ends at, as block and signal, its
    nanoseconds, and how many cells it passes between them."""

    source: str
    target: str
    delay_ns: float
    levels: int


_UNKNOWN = CellDelay()


@dataclass(frozen=True)
class _Reach:
    """The latest arrival at a net: when, from where, through how many cells."""

    at: float
    source: str
    levels: int


def slowest_paths(netlist: Netlist, delays: Delays, count: int) -> list[Path]:
    """The slowest paths, slowest first, one for each source's vector and target's block."""
    timing = _Timing(netlist, delays)
    found: dict[tuple[str, str], Path] = {}
    for path in timing.paths():
        ends = _vector(path.source), path.target.rpartition(".")[0]
        if ends not in found or found[ends].delay_ns < path.delay_ns:
            found[ends] = path
    return sorted(found.values(), key=lambda path: (-path.delay_ns, path.source, path.target))[:count]


class _Timing:
    """Arrivals at the nets of a netlist, each found once, in the order of what they need."""

    def __init__(self, netlist: Netlist, delays: Delays):
        self._netlist, self._delays = netlist, delays
        self._driver = {net: (cell, port) for cell in netlist.cells for port, net in cell.outputs.items()}
        self._fanout: dict[int, int] = {}
        for cell in netlist.cells:
            for net in cell.inputs.values():
                self._fanout[net] = self._fanout.get(net, 0) + 1
        self._arcs: dict[tuple[str, str, str], float | None] = {}
        self._inputs: dict[tuple[str, str, str], bool] = {}
        self._reach: dict[int, _Reach] = {}
        for cell in netlist.cells:
            for net in cell.outputs.values():
                self._arrive(net)

    def paths(self) -> Iterator[Path]:
        """The slowest path to every input at which one ends."""
        for cell in self._netlist.cells:
            for port, net in cell.inputs.items():
                if net in self._reach and self._fits("ends", cell, port):
                    reach = self._reach[net]
                    delay = reach.at + self._wire(net, cell, port) + self._delays.cells[cell.timed].setup
                    yield Path(reach.source, self._netlist.signal(cell), delay, reach.levels)

    def _arrive(self, net: int) -> None:
        """Fills in the net, and those before it first; a stack of our own, since chains are longer than Python's."""
        stack = [net]
        while stack:
            top = stack[-1]
            if top in self._reach or top not in self._driver:
                stack.pop()
                continue
            cell, port = self._driver[top]
            timed = self._delays.cells.get(cell.timed, _UNKNOWN)
            if timed.launch is not None:
                self._reach[top] = _Reach(timed.launch, self._netlist.signal(cell), 0)
                stack.pop()
                continue
            arcs = [(of, given) for of, given in cell.inputs.items() if self._passes(cell.timed, of, port) is not None]
            missing = [given for _, given in arcs if given not in self._reach and given in self._driver]
            if missing:
                stack.extend(missing)
                continue
            self._reach[top] = max(
                (self._through(cell, of, given, port) for of, given in arcs if given in self._reach),
                key=lambda reach: reach.at,
                default=_Reach(0.0, "a constant", 0),
            )
            stack.pop()

    def _through(self, cell: Cell, of: str, given: int, port: str) -> _Reach:
        before = self._reach[given]
        passed = self._passes(cell.timed, of, port)
        assert passed is not None
        return _Reach(before.at + self._wire(given, cell, of) + passed, before.source, before.levels + 1)

    def _passes(self, kind: str, of: str, to: str) -> float | None:
        """Nanoseconds from an input of a cell to an output; None where nothing passes."""
        arc = kind, of, to
        if arc not in self._arcs:
            arcs = self._delays.cells.get(kind, _UNKNOWN).arcs
            self._arcs[arc] = next((ns for pattern, ns in arcs.items() if re.fullmatch(pattern, f"{of} {to}")), None)
        return self._arcs[arc]

    def _fits(self, what: str, cell: Cell, port: str) -> bool:
        """True for an input that is one of the cell's `ends` or `free`."""
        key = what, cell.timed, port
        if key not in self._inputs:
            pattern = getattr(self._delays.cells.get(cell.timed, _UNKNOWN), what)
            self._inputs[key] = re.fullmatch(pattern, port) is not None
        return self._inputs[key]

    def _wire(self, net: int, cell: Cell, port: str) -> float:
        """A net's delay; none for one that the family's cells share a place for, as carries do."""
        if self._fits("free", cell, port):
            return 0.0
        return self._delays.net + self._delays.net_per_doubling * math.log2(self._fanout[net])


def _vector(name: str) -> str:
    """A signal without its bit."""
    return re.sub(r"\[\d+\].*$", "", name)
