"""Short hashes of what a pair of network and machine gives: one for each thing that a change of the code may change."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from intaglio import __version__
from intaglio.analysis.energy_counts import layer_counts
from intaglio.analysis.layers import layer_figures, totals
from intaglio.check import check_survey
from intaglio.errors import RefusedError
from intaglio.export import make_bundle
from intaglio.network.execute import execute, random_inputs
from intaglio.power_model import compare, load_table, measured
from intaglio.report.documents import check_document, run_document
from intaglio.report.energy import compare_document, fingerprint
from intaglio.session import NetworkRun, Session
from intaglio.trace.chrome import events
from tests.fuzz.hold import document_of, mapped
from tests.replay.pairs import Pair

Digests = dict[str, str | int]
MODEL = Path("network")
OUTSIDE = {"seconds", "intaglio_version", "model", "files"}
"""Keys of documents that hold times, versions and paths; and an export's files, which are hashed themselves."""
MOST_TRACED = 200_000
"""Cycles of runs whose trace is held: seconds beyond."""


def digests_of(pair: Pair) -> Digests:
    """By what is hashed: "inputs" and "reference" tell of the network itself, the others of what is made of it."""
    found, config = pair.found, pair.config
    out: Digests = {"check": of_document(check_document(MODEL, config, check_survey(found, config)))}
    if found.refusals:
        return out
    session = mapped(found.graph, config, pair.way, pair.keep_all)
    if isinstance(session, RefusedError):
        return out | {"refused": of_text(str(session))}
    inputs = random_inputs(session.graph, pair.seed)
    run, program = session.run(inputs), session.program
    return out | {
        "inputs": of_arrays(inputs),
        "reference": of_arrays(execute(session.graph, inputs)),
        "cycles": run.cycles,
        "commands": _commands(session),
        "program": of_bytes([program.image]),
        "listing": of_text(program.listing()),
        "retired": of_arrays({"retired": np.asarray(run.result.retire_cycles, np.int64)}),
        "counters": of_document({counter.name: count for counter, count in run.counters.items()}),
        "outputs": of_arrays(run.tensors),
        "map": of_document(document_of(session, pair.way)),
        "run": of_document(_run(session, run)),
        "compare": of_document(_compared(session)),
        "trace": of_trace(run) if run.cycles <= MOST_TRACED else "",
        "export": of_export(session),
    }


def _commands(session: Session) -> str:
    """How many by opcode, such as "CONV 12, LOAD 30, STORE 1"."""
    found = Counter(command.opcode.name for command in session.program.commands)
    return ", ".join(f"{name} {count}" for name, count in sorted(found.items()))


def _run(session: Session, run: NetworkRun) -> dict[str, Any]:
    program, config = session.program, session.config
    layers = layer_figures(config, program, run.result.retire_cycles, run.cycles)
    summary = totals(config, program, layers, run.cycles)
    return run_document(MODEL, config, "host", "random", layers, summary, run.counters, {}, session.graph.notes, None)


def _compared(session: Session) -> dict[str, Any]:
    found = compare(session.config, layer_counts(session), load_table())
    return compare_document(MODEL, found, {}, measured(fingerprint(session)), session.graph.notes)


def of_trace(run: NetworkRun) -> str:
    return of_bytes(json.dumps(event, sort_keys=True).encode() for event in events(run.trace, set()))


def of_export(session: Session) -> str:
    """Of all files but the Verilog, which is held by its configuration; without this version's name."""
    bundle = make_bundle(str(MODEL), b"", session, "")
    texts = {name: content.replace(__version__.encode(), b"") for name, content in bundle.files.items()}
    texts["manifest.json"] = of_document(bundle.manifest).encode()
    return of_bytes(part for name in sorted(texts) for part in (f"{name} {len(texts[name])}\n".encode(), texts[name]))


def of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    parts: list[bytes] = []
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        parts += [f"{name} {array.dtype.newbyteorder('<').str} {array.shape}\n".encode(), array.tobytes()]
    return of_bytes(parts)


def of_document(document: Mapping[str, Any]) -> str:
    return of_text(json.dumps(_inside(document), sort_keys=True))


def _inside(value: Any) -> Any:
    """Without OUTSIDE."""
    if isinstance(value, Mapping):
        return {key: _inside(held) for key, held in value.items() if key not in OUTSIDE}
    return [_inside(held) for held in value] if isinstance(value, list | tuple) else value


def of_text(text: str) -> str:
    return of_bytes([text.encode()])


def of_bytes(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:16]
