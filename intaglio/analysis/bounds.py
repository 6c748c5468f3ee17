"""Each layer's cycles by cause: every cycle of a run has one cause, and the largest is what bounds the layer.

array: useful steps of the array, and filling and emptying it. feed: the array waits for its inputs because runs of
bytes are shorter than the rows they feed; of DEPTHWISE, pixels that come while a row has no tap for them. requantizer: a tile waits for the results of the one before. onchip: adds
and pools, which go at the rate of the activation memory and the requantizers. external: COMPUTE waits for a LOAD or a
STORE, or the run's last results leave. command: COMPUTE waits for its next command.

The shares inside compute commands and the cycles of waiting are exact. Which of external and command a wait is
follows from the retire cycles of the commands that it waits for; the counters WAIT_LOAD, WAIT_STORE and WAIT_COMMAND
count one priority a cycle and can differ from it by some cycles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.isa import Command, token_bit
from intaglio.machine.opcodes import ByOpcode, Engine, Opcode
from intaglio.machine.timing import compute_cycles, conv_timing
from intaglio.program.program import Program

CAUSES = ("array", "feed", "requantizer", "onchip", "external", "command")


def causes_of_layers(
    config: Config, program: Program, retire_cycles: np.ndarray, cycles: int
) -> dict[int, dict[str, int]]:
    """For each tag that COMPUTE retires: cycles by cause, which add up to its interval (RunResult.layer_cycles).

    retire_cycles: int64 [commands], in program order; cycles: the run's.
    """
    commands = program.commands
    waited = awaited(commands)
    out: dict[int, dict[str, int]] = {}
    free = 0  # the first cycle after the previous compute command
    causes: dict[str, int] = {}
    for i, command in enumerate(commands):
        if command.engine != Engine.COMPUTE:
            continue
        causes = out.setdefault(command["tag"], dict.fromkeys(CAUSES, 0))
        retired = int(retire_cycles[i])
        start = retired - compute_cycles(config, command) + 1
        ready = max((int(retire_cycles[other]) + 1 for other in waited[i]), default=0)
        waits = max(start - free, 0)
        external = min(max(ready - free, 0), waits)
        causes["external"] += external
        causes["command"] += waits - external
        for cause, count in inside(config, command, beside=max(free - start, 0)).items():
            causes[cause] += count
        free = retired + 1
    if out:
        causes["external"] += cycles - free
    return out


def inside(config: Config, command: Command, beside: int = 0) -> dict[str, int]:
    """The cycles of one compute command by cause. beside: how many of its first ones lie beside the end of the one before and
    are left out."""
    return _INSIDE[command.opcode](config, command, compute_cycles(config, command) - beside)


def _inside_vector(_config: Config, _command: Command, total: int) -> dict[str, int]:
    return {"onchip": total}


def _inside_conv(config: Config, command: Command, total: int) -> dict[str, int]:
    timing = conv_timing(config, command)
    tiles = command["pixel_tiles"] * command["channel_tiles"]
    # The last tile of a command neither idles nor waits for its last slot's end.
    idle = (tiles - 1) * command["idle_cycles"]
    starved = tiles * (timing.slots - timing.steps) - (command["last_slot_cycles"] - command["last_chunk_bytes"])
    feed = max(starved, 0)
    return {"array": total - feed - idle, "feed": feed, "requantizer": idle}


def _inside_depthwise(_config: Config, c: Command, total: int) -> dict[str, int]:
    columns = c["channel_tiles"] * c["patches_across"]
    rasters = columns * ((c["patches_down"] - 1) * c["raster_rows"] + c["last_raster_rows"]) * c["raster_cols"]
    tiles = columns * c["patches_down"]
    feed = rasters - tiles * c["kernel_rows"] * c["kernel_cols"]
    idle = (tiles - 1) * c["idle_cycles"]
    return {"array": total - feed - idle, "feed": feed, "requantizer": idle}


def bound_by(causes: dict[str, int]) -> str:
    """The largest cause, the first of CAUSES where two are equal."""
    return max(CAUSES, key=lambda cause: causes[cause])


def awaited(commands: Sequence[Command]) -> list[list[int]]:
    """For each command, the indices of the commands whose tokens it takes: the n-th wait of a pair of engines takes
    the n-th signal."""
    signalled: dict[tuple[Engine, Engine], deque[int]] = {(a, b): deque() for a in Engine for b in Engine if a != b}
    for index, command in enumerate(commands):
        for other in Engine:
            if other != command.engine and command["signal"] >> token_bit(command.engine, other) & 1:
                signalled[command.engine, other].append(index)
    out: list[list[int]] = []
    for command in commands:
        taken = [
            signalled[other, command.engine]
            for other in Engine
            if other != command.engine and command["wait"] >> token_bit(command.engine, other) & 1
        ]
        out.append([queue.popleft() for queue in taken])
    return out


_INSIDE: ByOpcode[Callable[[Config, Command, int], dict[str, int]]] = ByOpcode(
    "causes of cycles",
    {
        Opcode.CONV: _inside_conv,
        Opcode.ADD: _inside_vector,
        Opcode.POOL: _inside_vector,
        Opcode.DEPTHWISE: _inside_depthwise,
    },
    Engine.COMPUTE,
)
