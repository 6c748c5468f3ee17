"""manifest.json: what an export holds; intaglio/schemas/export.json describes it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from intaglio.analysis.layers import LayerFigures, Totals
from intaglio.export.edges import Edges, EdgeTensor, Moved
from intaglio.export.folder import FORMAT
from intaglio.export.known_answer import SEED, KnownAnswer
from intaglio.machine.config import INSTRUCTION_SET
from intaglio.program.program import PROGRAM_OFFSET
from intaglio.session import Session
from intaglio.version import __version__

SCHEMA_VERSION = 1


def manifest_of(
    model: str,
    model_sha256: str,
    session: Session,
    edges: Edges,
    layers: Sequence[LayerFigures],
    summary: Totals,
    answer: KnownAnswer,
    files: Mapping[str, bytes],
) -> dict[str, Any]:
    """files: all but the manifest."""
    config, program = session.config, session.program
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "intaglio_version": __version__,
        "model": model,
        "model_sha256": model_sha256,
        "network": program.network,
        "config": config.to_dict(),
        "clock": config.clock.to_dict(),
        "config_hash": f"{program.config_hash:016x}",
        "register_version": INSTRUCTION_SET,
        "cycles": summary.cycles,
        "memory": {
            "alignment": 4096,
            "bytes": program.memory_bytes,
            "image_bytes": len(program.image),
            "image_crc32": f"{zlib.crc32(program.image):08x}",
            "program_offset": PROGRAM_OFFSET,
            "program_bytes": 4 * len(program.words()),
        },
        "inputs": [_moved(moved) for moved in edges.inputs],
        "outputs": [_moved(moved) for moved in edges.outputs],
        "network_inputs": [_tensor(tensor) for tensor in edges.given],
        "network_outputs": [_tensor(tensor) for tensor in edges.results],
        "host_steps": [
            {
                "op": step.op.kind,
                "when": "before" if step in edges.before else "after",
                "sources": [tensor.name for tensor in step.sources],
                "targets": [tensor.name for tensor in step.targets],
                "function": step.function,
            }
            for step in edges.before + edges.after
        ],
        "layers": [
            {"name": layer.name, "op": layer.op, "where": layer.where, "cycles": layer.cycles} for layer in layers
        ],
        "test": {"inputs": "given" if answer.given else "random", "seed": None if answer.given else SEED},
        "notes": list(session.graph.notes),
        "files": [
            {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        ],
    }


def _tensor(tensor: EdgeTensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "identifier": tensor.identifier,
        "type": str(tensor.dtype),
        "shape": list(tensor.shape),
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def _moved(moved: Moved) -> dict[str, Any]:
    place = moved.place
    return {
        **_tensor(moved.tensor),
        "offset": place.offset,
        "rows": place.rows,
        "row_bytes": place.row_bytes,
        "row_stride": place.row_stride,
        "loops": [[loop.count, loop.stride] for loop in moved.loops],
    }
