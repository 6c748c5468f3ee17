"""The JSON documents of run, verify, map and check; docs/json.md and intaglio/schemas describe them."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from intaglio.accuracy import Accuracy
from intaglio.analysis.layers import LayerFigures, Totals
from intaglio.analysis.recheck import Recheck
from intaglio.check import PLACES, Check
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Engine
from intaglio.mapper import Certificate
from intaglio.network.operators import Known
from intaglio.program.program import Program
from intaglio.schema import SCHEMA_VERSION
from intaglio.verify import Verification
from intaglio.version import __version__


def _head(model: Path, config: Config) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "intaglio_version": __version__,
        "model": str(model),
        "config": config.to_dict(),
    }


def operators_document(known: Sequence[Known]) -> dict[str, Any]:
    """The operators that are supported."""
    return {
        "schema_version": SCHEMA_VERSION,
        "intaglio_version": __version__,
        "operators": [operator.to_dict() for operator in known],
    }


def run_document(
    model: Path,
    config: Config,
    engine: str,
    given: str,
    layers: Sequence[LayerFigures],
    totals: Totals,
    counters: Mapping[Counter, int],
    seconds: Mapping[str, float],
    notes: Sequence[str],
    host_only: Sequence[str] | None,
) -> dict[str, Any]:
    """given: where the input is from. counters: empty where the RTL has none. seconds: measured, by step. host_only: tensors of --all-tensors that the
    accelerator did not write; None without that option."""
    document = {
        **_head(model, config),
        "clock": config.clock.to_dict(),
        "engine": engine,
        "input": given,
        "layers": [dataclasses.asdict(layer) for layer in layers],
        "totals": dataclasses.asdict(totals),
        "counters": {counter.name.lower(): counters[counter] for counter in Counter} if counters else None,
        "seconds": dict(seconds),
        "notes": list(notes),
    }
    return document if host_only is None else {**document, "host_only_tensors": list(host_only)}


def accuracy_document(accuracy: Accuracy, data: str, seconds: float) -> dict[str, Any]:
    """data: the file. seconds: measured, for all samples."""
    return {"data": data, **dataclasses.asdict(accuracy), "seconds": seconds}


def verify_document(model: Path, config: Config, found: Verification) -> dict[str, Any]:
    difference = None
    if found.difference is not None:
        difference = dataclasses.asdict(found.difference)
        difference.update(engines=list(found.difference.engines), values=list(found.difference.values))
        difference["index"] = None if found.difference.index is None else list(found.difference.index)
        difference["message"] = str(found.difference)
    return {
        **_head(model, config),
        "equal": found.difference is None,
        "inputs": found.inputs,
        "seed": found.seed,
        "reference": found.reference,
        "reference_refusal": found.reference_refusal,
        "off_by_one": found.off_by_one,
        "tensors": found.tensors,
        "elements": found.elements,
        "cycles": found.cycles,
        "commands": found.commands,
        "counters_compared": config.counters,
        "host_only_tensors": list(found.unwritten),
        "difference": difference,
        "seconds": {"build": found.build_seconds, "simulate": found.simulate_seconds},
    }


def map_document(
    model: Path,
    config: Config,
    program: Program,
    layers: Sequence[LayerFigures],
    totals: Totals,
    objective: Mapping[str, Any],
    certificates: Sequence[Certificate] = (),
) -> dict[str, Any]:
    """objective: goal; table and energy (pJ), None without prices. certificates: of --prove; none without it."""
    counts: list[dict[str, int]] = [{engine.name.lower(): 0 for engine in Engine} for _ in layers]
    for command in program.commands:
        counts[command["tag"]][command.engine.name.lower()] += 1
    return {
        **_head(model, config),
        "clock": config.clock.to_dict(),
        "config_hash": f"{program.config_hash:016x}",
        "layers": [
            {
                **dataclasses.asdict(layer),
                "commands": count,
                "compute_bound": bound.compute_cycles,
                "external_bound": bound.memory_cycles,
            }
            for layer, bound, count in zip(layers, program.layers, counts, strict=True)
        ],
        "totals": dataclasses.asdict(totals),
        "objective": dict(objective),
        "program": {
            "commands": len(program.commands),
            "image_bytes": len(program.image),
            "memory_bytes": program.memory_bytes,
            "inputs": list(program.inputs),
            "outputs": list(program.outputs),
            "tensors_outside": list(program.places),
            "code": base64.b64encode(program.words().astype("<u4").tobytes()).decode(),
        },
        "certificates": [_certificate(program, c) for c in certificates] or None,
    }


def _certificate(program: Program, c: Certificate) -> dict[str, Any]:
    return {
        "layers": [program.layers[tag].name for tag in c.tags],
        "candidates": c.candidates,
        "timed": c.timed,
        "estimated_cycles": c.estimated,
        "best_cycles": c.best,
        "cycles": c.cycles,
        "gap_to_best": c.gap_to_best,
        "bound_cycles": c.bound,
        "gap_to_bound": c.gap_to_bound,
    }


def recheck_document(mapping: Path, found: Recheck) -> dict[str, Any]:
    """The document of `map --check`: the mapping is as stated, or is not."""
    versions = {"schema_version": SCHEMA_VERSION, "intaglio_version": __version__}
    return {**versions, "mapping": str(mapping), "equal": found.difference is None, **dataclasses.asdict(found)}


def check_document(model: Path, config: Config, found: Check) -> dict[str, Any]:
    """The refusals that are no operator's stand apart."""
    of_operators = {(op.name, reason) for op in found.operators for reason, _ in op.refusals}
    return {
        **_head(model, config),
        "would_run": found.would_run,
        "operators": [
            {
                **dataclasses.asdict(op),
                "refusals": [{"reason": reason, "remedy": remedy} for reason, remedy in op.refusals],
                "tiled": list(op.tiled),
            }
            for op in found.operators
        ],
        "other_refusals": [
            {"name": r.layer, "kind": r.operator, "reason": r.reason, "remedy": r.remedy}
            for r in found.refusals
            if (r.layer, r.reason) not in of_operators
        ],
        "totals": {
            "operators": {place: found.count(place) for place in PLACES},
            "macs": found.macs,
            "accelerator_macs": found.accelerator_macs,
            "weight_bytes": found.weight_bytes,
            "activation_peak_bytes": found.activation_peak_bytes,
            "peak_layer": found.peak_layer,
        },
        "notes": list(found.notes),
    }
