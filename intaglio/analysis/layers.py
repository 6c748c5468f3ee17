"""The figures of every layer of a run or of a mapped network, from the Program and its clock alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from intaglio.analysis.bounds import CAUSES, bound_by, causes_of_layers
from intaglio.machine.config import Config
from intaglio.machine.isa import TRANSFERS, WORDS_OF
from intaglio.program.program import Program

HOST = "host"
ACCELERATOR = "accelerator"


@dataclass(frozen=True)
class LayerFigures:
    """One operator. cycles: of its interval of the run; None on the host, 0 for a reshape that only renames bytes.
    lower_bound: fewest cycles of the layer alone. causes: its cycles by bounds.CAUSES. external_bytes: moved by its
    LOAD and STORE commands. host_seconds: measured, None on the accelerator."""

    name: str
    op: str
    where: str
    macs: int
    cycles: int | None
    lower_bound: int | None
    utilization: float | None
    bound_by: str | None
    external_bytes: int
    causes: dict[str, int] | None
    host_seconds: float | None


@dataclass(frozen=True)
class Totals:
    """Figures of the accelerator. macs, lower_bound, external_bytes and host_seconds are sums over layers; cycles is
    the sum of the layers' intervals and the run's length. network_lower_bound: the greater of the layers' compute
    cycles and of their bytes' cycles, each summed: loads overlap with earlier layers. command_bytes: of the commands
    themselves, which are not in external_bytes."""

    macs: int
    cycles: int
    lower_bound: int
    network_lower_bound: int
    utilization: float
    bound_by: str | None
    external_bytes: int
    command_bytes: int
    inferences_per_second: float
    host_seconds: float | None


def layer_figures(
    config: Config,
    program: Program,
    retire_cycles: np.ndarray,
    cycles: int,
    host_seconds: Mapping[int, float] | None = None,
) -> list[LayerFigures]:
    """One entry for each operator of the graph, in order. host_seconds: by operator, None if nothing was run."""
    causes = causes_of_layers(config, program, retire_cycles, cycles)
    moved = external_bytes(program)
    out = []
    for tag, layer in enumerate(program.layers):
        if layer.where == HOST:
            seconds = None if host_seconds is None else host_seconds[tag]
            out.append(LayerFigures(layer.name, layer.kind, HOST, 0, None, None, None, None, 0, None, seconds))
            continue
        mine = causes.get(tag, dict.fromkeys(CAUSES, 0))
        spent = sum(mine.values())
        out.append(
            LayerFigures(
                name=layer.name,
                op=layer.kind,
                where=ACCELERATOR,
                macs=layer.macs,
                cycles=spent,
                lower_bound=layer.bound_cycles,
                utilization=layer.macs / (config.macs_per_cycle * spent) if spent else 0.0,
                bound_by=bound_by(mine) if spent else "onchip",
                external_bytes=moved.get(tag, 0),
                causes=mine,
                host_seconds=None,
            )
        )
    return out


def totals(config: Config, program: Program, layers: list[LayerFigures], cycles: int) -> Totals:
    macs = sum(layer.macs for layer in layers)
    summed = {cause: sum(layer.causes[cause] for layer in layers if layer.causes) for cause in CAUSES}
    seconds = [layer.host_seconds for layer in layers if layer.host_seconds is not None]
    measured = bool(seconds) or all(layer.where == ACCELERATOR for layer in layers)
    return Totals(
        macs=macs,
        cycles=cycles,
        lower_bound=sum(layer.lower_bound or 0 for layer in layers),
        network_lower_bound=max(
            sum(layer.compute_cycles for layer in program.layers), sum(layer.memory_cycles for layer in program.layers)
        ),
        utilization=macs / (config.macs_per_cycle * cycles) if cycles else 0.0,
        bound_by=bound_by(summed),
        external_bytes=sum(layer.external_bytes for layer in layers),
        command_bytes=4 * sum(WORDS_OF[c.opcode] for c in program.commands),
        inferences_per_second=config.clock_mhz * 1e6 / cycles if cycles else 0.0,
        host_seconds=sum(seconds) if measured else None,
    )


def external_bytes(program: Program) -> dict[int, int]:
    """Bytes of LOAD and STORE commands by tag."""
    out: dict[int, int] = {}
    for command in program.commands:
        if command.opcode in TRANSFERS:
            out[command["tag"]] = out.get(command["tag"], 0) + command["rows"] * command["row_bytes"]
    return out
