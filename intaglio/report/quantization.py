"""The JSON document of `quantize`, and its table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.errors import Refusal
from intaglio.machine.config import Config
from intaglio.report.table import Column, Kind, Table, grouped
from intaglio.report.tables import accuracy_text, short
from intaglio.report.terminal import Terminal
from intaglio.schema import SCHEMA_VERSION
from intaglio.version import __version__

if TYPE_CHECKING:  # needs the extra `onnx`
    from intaglio.quantize.post_training import Quantized, Settings

NAMED = 6
"""Operators that a line of refusals names."""


def quantize_document(
    model: Path,
    data: Path,
    output: Path,
    settings: Settings,
    made: Quantized,
    config: Config,
    refusals: Sequence[Refusal],
    seconds: float,
) -> dict[str, Any]:
    """refusals: what the accelerator of `config` will refuse of the quantized network."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "intaglio_version": __version__,
        "model": str(model),
        "data": str(data),
        "output": str(output),
        "output_bytes": len(made.content),
        "samples": made.samples,
        "settings": {"weights": "int8", **dataclasses.asdict(settings)},
        "tensors": [{**dataclasses.asdict(t), "scale": list(t.scale)} for t in made.tensors],
        "stays_float": [{"name": name, "op": op} for name, op in made.stays_float],
        "kernels": made.kernels,
        "notes": list(made.notes),
        "accelerator": {
            "config": config.name,
            "would_run": not refusals,
            "refusals": [{"name": r.layer, "op": r.operator, "reason": r.reason, "remedy": r.remedy} for r in refusals],
        },
        "seconds": seconds,
    }
    if made.accuracies is not None:
        before, after = made.accuracies
        document["accuracy"] = {"float": dataclasses.asdict(before), "quantized": dataclasses.asdict(after)}
    return document


def print_quantization(out: Terminal, document: dict[str, Any]) -> None:
    """A line for each quantized tensor, what stays float, and the accuracies."""
    settings = document["settings"]
    scales = "a scale for each output channel" if settings["per_channel"] else "one scale a tensor"
    bounds = "-127..127" if settings["narrow_range"] else "-128..127"
    out.line(
        f"{document['model']}: {settings['method']} over {document['samples']} samples of {document['data']}; "
        f"weights int8 {bounds}, {scales}; activations {settings['activations']}"
    )
    table = Table(
        [
            Column("tensor", Kind.NAME),
            Column("kind", Kind.WORD, leave=4),
            Column("scale", leave=5),
            Column("zero point", leave=1),
            Column("lowest", leave=2),
            Column("highest", leave=3),
            Column("SQNR dB"),
        ]
    )
    for tensor in document["tensors"]:
        low, high = tensor["scale"]
        scale = f"{low:.4g}" if tensor["channels"] == 1 else f"{low:.3g} to {high:.3g}"
        error = "" if tensor["sqnr_db"] is None else f"{tensor['sqnr_db']:.1f}"
        table.add(
            short(tensor["name"]),
            tensor["kind"],
            scale,
            str(tensor["zero_point"]),
            f"{tensor['low']:.4g}",
            f"{tensor['high']:.4g}",
            error,
        )
    out.table(table)
    for entry in document["stays_float"]:
        out.line(f"stays float: {entry['name']} ({entry['op']})")
    if "accuracy" in document:
        out.line(f"float, onnxruntime: {accuracy_text(document['accuracy']['float'])}")
        out.line(f"quantized, onnxruntime ({document['kernels']}): {accuracy_text(document['accuracy']['quantized'])}")
    for note in document["notes"]:
        out.line(f"note: {note}")
    if settings["activations"] == "int16":
        out.line("note: the accelerator does not run int16 activations yet; the file is for other runtimes")
    else:
        _print_afterwards(out, document["accelerator"])
    out.line(f"{document['output']}: {document['output_bytes']:,} bytes, {document['seconds']:.1f} s")


def _print_afterwards(out: Terminal, found: dict[str, Any]) -> None:
    """Operators that the accelerator will refuse, with the remedies; the operators of one reason and remedy in a line."""
    if found["would_run"]:
        out.line(f"the accelerator ({found['config']}) takes it")
        return
    out.line(f"the accelerator ({found['config']}) WILL REFUSE it:")
    groups: dict[tuple[str, str], list[str]] = {}
    for refusal in found["refusals"]:
        named = f"{short(refusal['name'])} ({refusal['op']})"
        groups.setdefault((refusal["reason"], refusal["remedy"]), []).append(named)
    for (reason, remedy), names in groups.items():
        out.line(f"  {grouped(names, NAMED)}: {reason}; {remedy}")
