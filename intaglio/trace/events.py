"""A recorded run as named slices of time on tracks, in cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from typing import Any

import numpy as np

from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Command, conv_pixels
from intaglio.machine.opcodes import ByOpcode, Engine, Opcode
from intaglio.machine.timing import conv_timing, depthwise_timing
from intaglio.program.program import Program
from intaglio.sim.clock.result import CycleResult, Recording
from intaglio.sim.engines import layer_spans

STATES = {
    Counter.BUSY: "busy",
    Counter.WAIT_LOAD: "wait_load",
    Counter.WAIT_STORE: "wait_store",
    Counter.WAIT_COMMAND: "wait_command",
    Counter.FINISHING: "finishing",
}
"""Names of what COMPUTE does, by the counter of those cycles."""


@dataclass(frozen=True)
class Slice:
    """Cycles [begin, end) of a track. details: plain values for a person."""

    name: str
    begin: int
    end: int
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """A run by the simulator's clock, which equals the RTL's in every retire cycle and counter.

    engine: who ran the program. retire_cycles: int64 [commands]. Each method gives the slices of one kind in the order
    of their beginnings; those of one command, burst, tile, state or layer.
    """

    config: Config
    program: Program
    engine: str
    cycles: int
    retire_cycles: np.ndarray
    recording: Recording

    @staticmethod
    def of(config: Config, program: Program, clock: CycleResult, engine: str) -> Trace:
        """clock: of run_cycles with record=True."""
        assert clock.recording is not None
        return Trace(config, program, engine, clock.cycles, clock.retire_cycles, clock.recording)

    def layers(self) -> Iterator[Slice]:
        """Consecutive intervals that fill the run; a layer that runs together with others has several."""
        for tag, begin, end in layer_spans(self.program, self.retire_cycles, self.cycles):
            layer = self.program.layers[tag]
            yield Slice(layer.name, begin, end, {"operator": layer.kind, "macs": layer.macs})

    def states(self) -> Iterator[Slice]:
        """COMPUTE's cause of every cycle."""
        rows = self.recording.states.tolist()
        ends = [begin for _, begin in rows[1:]] + [self.cycles]
        for (state, begin), end in zip(rows, ends, strict=True):
            yield Slice(STATES[Counter(state)], begin, end)

    def commands(self, engine: Engine) -> Iterator[Slice]:
        """An engine's commands, each from the cycle in which it is taken to the one in which it retires, both included.
        Those of LOAD and STORE can overlap; one of COMPUTE that is taken before the one before has retired is shown behind
        that."""
        ended = 0
        for index, command in enumerate(self.program.commands):
            if command.engine == engine:
                taken, end = int(self.recording.started[index]), int(self.retire_cycles[index]) + 1
                begin, ended = max(taken, ended) if engine == Engine.COMPUTE else taken, end
                yield Slice(
                    f"{command.opcode.name} {self._layer(command)}",
                    begin,
                    end,
                    {
                        "command": index,
                        "dispatched": int(self.recording.dispatched[index]),
                        "taken": taken,
                        **_BRIEF[command.opcode](command),
                    },
                )

    def tiles(self) -> Iterator[Slice]:
        """The array's tiles: while their inputs are fed, idle cycles included, and each command's last sums on their
        way out, up to the next command's first tile."""
        slices = (
            piece
            for index, command in enumerate(self.program.commands)
            for piece in _TILES[command.opcode](
                self.config,
                command,
                index,
                int(self.recording.started[index]) + latency.COMMAND_START,
                int(self.retire_cycles[index]) + 1,
            )
        )
        for piece, following in pairwise(chain(slices, (None,))):
            assert piece is not None
            yield piece if following is None else replace(piece, end=min(piece.end, following.begin))

    def tile_count(self) -> int:
        """Number of slices that `tiles` gives."""
        counts = (_TILE_COUNTS[c.opcode](c) for c in self.program.commands)
        return sum(count + 1 for count in counts if count)

    def fetches(self) -> Iterator[Slice]:
        """FETCH's bursts, from the request to the last beat. They can overlap."""
        for row in self.recording.bursts.tolist():
            command, _, address, beats, requested, _, first, last, _ = row
            if command < 0:
                yield Slice("FETCH", requested, last + 1, {"address": address, "words": beats, "first_beat": first})

    def bursts(self, write: bool) -> Iterator[Slice]:
        """Bursts of reads or of writes on the external channel, from the first beat to the last."""
        for (
            command,
            is_write,
            address,
            beats,
            requested,
            accepted,
            first,
            last,
            answered,
        ) in self.recording.bursts.tolist():
            if is_write == write:
                yield Slice(
                    "FETCH" if command < 0 else self.program.commands[command].engine.name,
                    first,
                    last + 1,
                    {
                        "command": command,
                        "address": address,
                        "words": beats,
                        "requested": requested,
                        "accepted": accepted,
                        "answered": answered,
                    },
                )

    def _layer(self, command: Command) -> str:
        return self.program.layers[command["tag"]].name


def conv_tiles(config: Config, command: Command, index: int, begin: int, end: int) -> Iterator[Slice]:
    """The tiles of a CONV command whose first slot begins in cycle `begin` and which is over at `end`, and what remains
    after the last: the rigid schedule of hw.conv_feed."""
    timing = conv_timing(config, command)
    last = command["pixel_tiles"] * command["channel_tiles"] - 1
    at = begin
    for number in range(last + 1):
        channel, pixel = divmod(number, command["pixel_tiles"])
        # The last tile ends with its work, not with its slot.
        work = max(command["last_chunk_bytes"], command["last_pixels"]) - command["last_slot_cycles"]
        until = at + (timing.tile if number < last else timing.slots + work)
        yield Slice("tile", at, until, {"command": index, "channel_tile": channel, "pixel_tile": pixel})
        at = until
    yield Slice("drain" if command["drain_from"] < conv_pixels(command) else "keep", at, end, {"command": index})


def patch_tiles(config: Config, command: Command, index: int, begin: int, end: int) -> Iterator[Slice]:
    """Tiles of a DEPTHWISE command, patch by patch: the schedule of hw.depthwise_feed. Arguments as conv_tiles'."""
    timing = depthwise_timing(config, command)
    patches = command["patches_down"] * command["patches_across"]
    last = patches * command["channel_tiles"] - 1
    at = begin
    for number in range(last + 1):
        channel, patch = divmod(number, patches)
        short = patch // command["patches_across"] == command["patches_down"] - 1
        until = at + (timing.last_tile if short else timing.tile) - (command["idle_cycles"] if number == last else 0)
        yield Slice("tile", at, until, {"command": index, "channel_tile": channel, "patch": patch})
        at = until
    yield Slice("drain", at, end, {"command": index})


def lanes(slices: Iterable[Slice]) -> list[list[Slice]]:
    """The slices, given by their beginnings, on as few lanes as hold them without overlap."""
    out: list[list[Slice]] = []
    for piece in slices:
        for lane in out:
            if lane[-1].end <= piece.begin:
                lane.append(piece)
                break
        else:
            out.append([piece])
    return out


def _no_tiles(*_: Any) -> Iterator[Slice]:
    return iter(())


def _none(_command: Command) -> int:
    return 0


_TILES: ByOpcode[Callable[[Config, Command, int, int, int], Iterator[Slice]]] = ByOpcode(
    "tiles on the trace",
    {
        Opcode.LOAD: _no_tiles,
        Opcode.STORE: _no_tiles,
        Opcode.CONV: conv_tiles,
        Opcode.ADD: _no_tiles,
        Opcode.POOL: _no_tiles,
        Opcode.DEPTHWISE: patch_tiles,
    },
)
_TILE_COUNTS: ByOpcode[Callable[[Command], int]] = ByOpcode(
    "count of tiles",
    {
        Opcode.LOAD: _none,
        Opcode.STORE: _none,
        Opcode.CONV: lambda c: c["pixel_tiles"] * c["channel_tiles"],
        Opcode.ADD: _none,
        Opcode.POOL: _none,
        Opcode.DEPTHWISE: lambda c: c["patches_down"] * c["patches_across"] * c["channel_tiles"],
    },
)


def _transfer_brief(command: Command) -> dict[str, Any]:
    return {"rows": command["rows"], "row_bytes": command["row_bytes"], "external": command["external"]}


def _conv_brief(command: Command) -> dict[str, Any]:
    return {"pixel_tiles": command["pixel_tiles"], "channel_tiles": command["channel_tiles"]}


def _depthwise_brief(command: Command) -> dict[str, Any]:
    patches = {"patches": command["patches_down"] * command["patches_across"]}
    return {**patches, "outputs": command["tile_pixels"], "channel_tiles": command["channel_tiles"]}


def _add_brief(command: Command) -> dict[str, Any]:
    return {"rows": command["rows"], "row_bytes": command["row_bytes"]}


def _pool_brief(command: Command) -> dict[str, Any]:
    return {"rows": command["region_rows"], "columns": command["region_cols"], "channels": command["channels"]}


_BRIEF: ByOpcode[Callable[[Command], dict[str, Any]]] = ByOpcode(
    "brief on the trace",
    {
        Opcode.LOAD: _transfer_brief,
        Opcode.STORE: _transfer_brief,
        Opcode.CONV: _conv_brief,
        Opcode.ADD: _add_brief,
        Opcode.POOL: _pool_brief,
        Opcode.DEPTHWISE: _depthwise_brief,
    },
)
"""Facts that a person asks of a command first."""
