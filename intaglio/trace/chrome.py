"""A trace as Trace Event Format JSON, which ui.perfetto.dev and chrome://tracing open.

Google, "Trace Event Format": complete events ("ph": "X") with a start `ts` and a length `dur` in microseconds on a thread of a
process, and metadata events ("M") that name them. A clock cycle is drawn as 1 microsecond, so that all times stay integers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from intaglio.files import writing
from intaglio.machine.isa import Engine
from intaglio.trace.events import Slice, Trace, lanes
from intaglio.version import __version__

LIMIT = 1_000_000
"""Slices of a file at most; a viewer takes some 150 bytes of JSON and seconds for each 100,000."""
KINDS = ("tiles", "bursts", "commands", "states", "layers")
"""Kinds of slices, in the order in which they are left out beyond the limit."""
SCHEMA_VERSION = 1
PROCESS = 1


def write_chrome(path: Path, trace: Trace, limit: int = LIMIT) -> dict[str, int]:
    """Writes the file piece by piece, whole or not at all. Returns what was left out to stay within `limit` slices: how
    many of which kinds; the file says so too."""
    left_out = beyond(trace, limit)
    about = {
        "schema_version": SCHEMA_VERSION,
        "intaglio_version": __version__,
        "network": trace.program.network,
        "config": trace.config.name,
        "config_hash": f"{trace.program.config_hash:016x}",
        "engine": trace.engine,
        "cycles": trace.cycles,
        "clock_mhz": trace.config.clock_mhz,
        "time": "1 us in this file is 1 clock cycle; cycle 0 follows the edge that writes the start bit",
        "source": "times are the host simulator's; retire cycles and counters of the RTL equal its own, so the file is the "
        "same for either engine",
        "left_out": left_out,
    }
    with writing(path) as file:
        head = json.dumps(about)
        file.write(f'{{"displayTimeUnit": "ns", "otherData": {head}, "traceEvents": [\n'.encode())
        for number, event in enumerate(events(trace, set(left_out))):
            file.write(((",\n" if number else "") + json.dumps(event, separators=(",", ":"))).encode())
        file.write(b"\n]}\n")
    return left_out


def beyond(trace: Trace, limit: int) -> dict[str, int]:
    """Kinds to leave out, with their numbers, so that at most `limit` slices remain."""
    bursts = trace.recording.bursts
    counts = {
        "tiles": trace.tile_count(),
        "bursts": len(bursts) + int((bursts[:, 0] < 0).sum()),  # FETCH's are on two tracks
        "commands": len(trace.program.commands),
        "states": len(trace.recording.states),
        "layers": len(trace.program.layers),
    }
    out: dict[str, int] = {}
    for kind in KINDS:
        if sum(counts.values()) - sum(out.values()) > limit:
            out[kind] = counts[kind]
    return out


def events(trace: Trace, left_out: set[str]) -> Iterator[dict[str, Any]]:
    """Metadata and slices, track after track."""
    name = f"{trace.program.network} on {trace.config.name}, engine {trace.engine}"
    yield {"ph": "M", "pid": PROCESS, "tid": 0, "name": "process_name", "args": {"name": name}}
    for thread, (track, kind, slices) in enumerate(tracks(trace, left_out), start=1):
        yield {"ph": "M", "pid": PROCESS, "tid": thread, "name": "thread_name", "args": {"name": track}}
        yield {"ph": "M", "pid": PROCESS, "tid": thread, "name": "thread_sort_index", "args": {"sort_index": thread}}
        for piece in slices:
            yield {
                "ph": "X",
                "pid": PROCESS,
                "tid": thread,
                "ts": piece.begin,
                "dur": piece.end - piece.begin,
                "name": piece.name,
                "cat": kind,
                "args": piece.details,
            }


def tracks(trace: Trace, left_out: set[str]) -> Iterator[tuple[str, str, Iterator[Slice] | list[Slice]]]:
    """Name, kind and slices of each track, from the top; no two slices of a track overlap."""
    if "layers" not in left_out:
        yield "layers", "layers", trace.layers()
    if "states" not in left_out:
        yield "COMPUTE state", "states", trace.states()
    if "commands" not in left_out:
        yield "COMPUTE", "commands", trace.commands(Engine.COMPUTE)
    if "tiles" not in left_out:
        yield "array tiles", "tiles", trace.tiles()
    if "commands" not in left_out:
        for engine in (Engine.LOAD, Engine.STORE):
            for number, lane in enumerate(lanes(trace.commands(engine))):
                yield engine.name + (f" ({number + 1})" if number else ""), "commands", lane
    if "bursts" not in left_out:
        for number, lane in enumerate(lanes(trace.fetches())):
            yield "FETCH" + (f" ({number + 1})" if number else ""), "bursts", lane
        yield "external read", "bursts", trace.bursts(write=False)
        yield "external write", "bursts", trace.bursts(write=True)
