"""The JSON document of `quantize`, and its table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from intaglio import __version__
from intaglio.errors import Refusal
from intaglio.hw.config import Config
from intaglio.report.documents import SCHEMA_VERSION
from intaglio.report.tables import accuracy_text, short

if TYPE_CHECKING:  # needs the extra `onnx`
    from intaglio.quantize.post_training import Quantized, Settings

NAMED = 6
"""Operators that a line of refusals names."""


def quantize_document(
    model: Path, data: Path, output: Path, settings: Settings, made: Quantized, config: Config, refusals: Sequence[Refusal],
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


def print_quantization(console: Console, document: dict[str, Any]) -> None:
    """A line for each quantized tensor, what stays float, and the accuracies."""
    settings = document["settings"]
    scales = "a scale for each output channel" if settings["per_channel"] else "one scale a tensor"
    bounds = "-127..127" if settings["narrow_range"] else "-128..127"
    console.print(
        f"{escape(document['model'])}: {settings['method']} over {document['samples']} samples of {escape(document['data'])}; "
        f"weights int8 {bounds}, {scales}; activations {settings['activations']}"
    )
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for column in ("tensor", "kind", ">scale", ">zero point", ">lowest", ">highest", ">SQNR dB"):
        right, first = column.startswith(">"), column == "tensor"
        table.add_column(
            column.removeprefix(">"), justify="right" if right else "left", no_wrap=not first, overflow="fold"
        )
    for tensor in document["tensors"]:
        low, high = tensor["scale"]
        scale = f"{low:.4g}" if tensor["channels"] == 1 else f"{low:.3g} to {high:.3g}"
        error = "" if tensor["sqnr_db"] is None else f"{tensor['sqnr_db']:.1f}"
        table.add_row(
            escape(short(tensor["name"])), tensor["kind"], scale, str(tensor["zero_point"]), f"{tensor['low']:.4g}",
            f"{tensor['high']:.4g}", error,
        )  # fmt: skip
    console.print(table)
    for entry in document["stays_float"]:
        console.print(f"stays float: {escape(entry['name'])} ({escape(entry['op'])})")
    if "accuracy" in document:
        console.print(f"float, onnxruntime: {accuracy_text(document['accuracy']['float'])}")
        console.print(f"quantized, onnxruntime ({document['kernels']}): {accuracy_text(document['accuracy']['quantized'])}")
    for note in document["notes"]:
        console.print(f"note: {escape(note)}")
    if settings["activations"] == "int16":
        console.print("note: the accelerator does not run int16 activations yet; the file is for other runtimes")
    else:
        _print_afterwards(console, document["accelerator"])
    console.print(f"{escape(document['output'])}: {document['output_bytes']:,} bytes, {document['seconds']:.1f} s")


def _print_afterwards(console: Console, found: dict[str, Any]) -> None:
    """What the accelerator will refuse of it, with the remedies; the operators of one reason and remedy in a line."""
    if found["would_run"]:
        console.print(f"the accelerator ({escape(found['config'])}) takes it")
        return
    console.print(f"the accelerator ({escape(found['config'])}) WILL REFUSE it:")
    groups: dict[tuple[str, str], list[str]] = {}
    for refusal in found["refusals"]:
        named = f"{short(refusal['name'])} ({refusal['op']})"
        groups.setdefault((refusal["reason"], refusal["remedy"]), []).append(named)
    for (reason, remedy), names in groups.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        console.print(f"  {escape(', '.join(names[:NAMED]))}{more}: {escape(reason)}; {escape(remedy)}")
