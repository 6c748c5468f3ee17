"""The JSON document of `quantize`, and its table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from intaglio import __version__
from intaglio.report.documents import SCHEMA_VERSION
from intaglio.report.tables import accuracy_text, short

if TYPE_CHECKING:  # needs the extra `onnx`
    from intaglio.quantize.post_training import Quantized, Settings


def quantize_document(
    model: Path, data: Path, output: Path, settings: Settings, made: Quantized, seconds: float
) -> dict[str, Any]:
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
    if settings["activations"] == "int16":
        console.print("note: the accelerator does not run int16 activations yet; the file is for other runtimes")
    console.print(f"{escape(document['output'])}: {document['output_bytes']:,} bytes, {document['seconds']:.1f} s")
