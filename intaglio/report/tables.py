"""The documents as tables for a person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from intaglio.hw.config import Config

NAME_WIDTH = 44


def print_run(console: Console, document: dict[str, Any]) -> None:
    """The document of `run`."""
    config, totals = document["config"], document["totals"]
    console.print(f"{_title(document)}, engine {document['engine']}, input {escape(document['input'])}")
    table = _table("layer", "operator", ">MACs", ">cycles", ">bound", ">utilization", "bounded by", ">bytes outside")
    for layer in document["layers"]:
        table.add_row(escape(short(layer["name"])), layer["op"], *_figures(layer))
    table.add_section()
    table.add_row("total", "", *_figures(totals))
    console.print(table)
    seconds = document["seconds"]
    console.print(f"{totals['inferences_per_second']:,.1f} inferences/s at {config['clock_mhz']:g} MHz; no schedule takes "
                  f"fewer than {totals['network_lower_bound']:,} cycles; {totals['command_bytes']:,} bytes of commands")
    _print_host(console, document["layers"], totals["host_seconds"])
    if document["engine"] == "rtl":
        console.print(f"RTL: {seconds['build']:.1f} s to build or find the model, {seconds['run']:.2f} s to simulate")
    if "accuracy" in document:
        print_accuracy(console, document["accuracy"])
    if "host_only_tensors" in document:
        names = ", ".join(document["host_only_tensors"]) or "none"
        console.print(f"tensors that the accelerator never wrote, computed on the host: {escape(names)}")
    _print_notes(console, document["notes"])


def print_accuracy(console: Console, accuracy: dict[str, Any]) -> None:
    rate = accuracy["total"] / accuracy["seconds"]
    console.print(f"accuracy: {accuracy_text(accuracy)} ({escape(accuracy['data'])}; {rate:,.0f} labels/s on the host engine)")


def accuracy_text(accuracy: dict[str, Any]) -> str:
    """'467 of 500 right, 93.40 %, top five 99.80 %'."""
    text = f"{accuracy['correct']:,} of {accuracy['total']:,} right, {100 * accuracy['top1']:.2f} %"
    return text if accuracy["top5"] is None else f"{text}, top five {100 * accuracy['top5']:.2f} %"


def print_map(console: Console, document: dict[str, Any], notes: Sequence[str]) -> None:
    """The document of `map`."""
    program, totals = document["program"], document["totals"]
    console.print(f"{_title(document)}, configuration hash {document['config_hash']}")
    table = _table("layer", "operator", ">loads", ">computes", ">stores", ">MACs", ">cycles", ">bound", ">utilization",
                   "bounded by", ">bytes outside")
    for layer in document["layers"]:
        counts = (_number(layer["commands"][engine]) for engine in ("load", "compute", "store"))
        table.add_row(escape(short(layer["name"])), layer["op"], *counts, *_figures(layer))
    table.add_section()
    sums = (_number(sum(layer["commands"][e] for layer in document["layers"])) for e in ("load", "compute", "store"))
    table.add_row("total", "", *sums, *_figures(totals))
    console.print(table)
    console.print(f"{program['commands']} commands; image {program['image_bytes']:,} bytes; external memory "
                  f"{program['memory_bytes']:,} bytes; tensors outside: "
                  f"{escape(', '.join(short(name) for name in program['tensors_outside']))}")
    chosen = document["objective"]
    energy = "" if chosen["table"] is None else f": {chosen['energy'] / 1e6:,.3f} uJ an inference by {escape(chosen['table'])}"
    console.print(f"objective {chosen['goal']}{energy}")
    if document["certificates"] is not None:
        _print_certificates(console, document["certificates"])
    _print_host(console, document["layers"], None)
    _print_notes(console, notes)


def _print_certificates(console: Console, certificates: Sequence[dict[str, Any]]) -> None:
    table = _table("layers", ">plans", ">timed", ">best alone", ">gap to best", ">bound", ">gap to bound")
    for c in certificates:
        table.add_row(escape(" + ".join(short(name) for name in c["layers"])), _number(c["candidates"]), _number(c["timed"]),
                      _number(c["best_cycles"]), f"{c['gap_to_best']:.1%}", _number(c["bound_cycles"]), f"{c['gap_to_bound']:.1%}")
    console.print(table)
    console.print("Each layer or chain by itself, exact. Plans: every cut into pieces, placement of buffers and order of weights that "
                  "the mapper knows, with what stays on chip as it is; those that were not timed have a bound no lower than the "
                  "cycles found. Bound: all elements busy, every byte moved once. Gap to best: of the plan taken, which differs where "
                  "the whole network is faster with it.")


def print_verification(console: Console, document: dict[str, Any], notes: Sequence[str]) -> None:
    """The document of `verify`."""
    console.print(f"{_title(document)}: {document['inputs']} random inputs from seed {document['seed']}")
    seconds = document["seconds"]
    if document["reference"] is None:
        console.print(f"NO REFERENCE WAS COMPARED, host and RTL alone: the format's reference refuses this file. "
                      f"{escape(document['reference_refusal'])}")
    if document["equal"]:
        beside = (
            "" if document["reference"] is None else
            f"{document['reference']}: 0 differences in {document['elements']:,} elements of {document['tensors']} tensors an input. "
        )
        console.print(
            f"EQUAL. {beside}Host and RTL: tensors, {document['cycles']:,} cycles, retire cycles of {document['commands']} "
            f"commands and all counters, difference 0."
        )
        if document["off_by_one"]:
            console.print(f"{document['off_by_one']} elements differ by 1 in tensors that the notes name.")
        names = ", ".join(document["host_only_tensors"]) or "none"
        console.print(f"Tensors that only the host computes: {escape(names)}.")
    else:
        console.print(f"DIFFERENT. {escape(document['difference']['message'])}")
    console.print(f"RTL: {seconds['build']:.1f} s to build or find the model, {seconds['simulate']:.2f} s to simulate.")
    _print_notes(console, notes)


def print_check(console: Console, document: dict[str, Any]) -> None:
    """The document of `check`."""
    config, totals = document["config"], document["totals"]
    console.print(_title(document))
    table = _table("layer", "operator", "where", ">MACs", ">weights", ">on chip", "in pieces", "why")
    for op in document["operators"]:
        why = _short_quotes("; ".join(refusal["reason"] for refusal in op["refusals"]) or op["why"])
        if why.startswith("part of "):
            why = "part of " + short(why.removeprefix("part of "))
        onchip = "" if op["onchip_bytes"] is None else _number(op["onchip_bytes"])
        table.add_row(escape(short(op["name"])), op["op"], op["place"], _number(op["macs"]),
                      _number(op["weight_bytes"]), onchip, ", ".join(op["tiled"]), escape(why))  # fmt: skip
    table.columns[0].no_wrap, table.columns[-1].no_wrap = True, False
    console.print(table)
    counts = ", ".join(f"{count} {place}" for place, count in totals["operators"].items() if count)
    share = 100 * totals["accelerator_macs"] / totals["macs"] if totals["macs"] else 0.0
    console.print(f"{len(document['operators'])} operators: {counts}; {share:.1f} % of {totals['macs']:,} MACs on the "
                  f"accelerator")
    fits = "fit" if totals["activation_peak_bytes"] <= config["activation_bytes"] else "do not all fit"
    console.print(f"weights {totals['weight_bytes']:,} bytes; tensors take at most {totals['activation_peak_bytes']:,} "
                  f"bytes at once{_at(totals['peak_layer'])}: they {fits} into activation_bytes = "
                  f"{config['activation_bytes']:,}")
    _print_notes(console, document["notes"])
    if document["would_run"]:
        console.print("WOULD RUN.")
        return
    console.print("REFUSED. What to do:")
    remedies: dict[str, list[str]] = {}
    for op in document["operators"]:
        for refusal in op["refusals"]:
            remedies.setdefault(refusal["remedy"], []).append(f"{short(op['name'])} ({op['op']})")
    for remedy, layers in remedies.items():
        console.print(f"  {escape(remedy)}: {escape(', '.join(layers))}")
    for refusal in document["other_refusals"]:
        console.print(f"  {refusal['kind']} {escape(refusal['name'])}: {escape(refusal['reason'])}; "
                      f"{escape(refusal['remedy'])}")


def _short_quotes(text: str) -> str:
    """A reason with the names in it shortened as the columns'."""
    return re.sub("'([^']*)'", lambda quoted: repr(short(quoted[1])), text)


def _at(layer: str | None) -> str:
    return "" if layer is None else f" (at {escape(short(layer))})"


def print_configs(console: Console, configs: Sequence[Config]) -> None:
    """The shipped configurations."""
    table = _table("name", ">rows x cols", ">requantizers", ">on chip", ">bus", ">outside", ">latency", ">clock")
    for c in configs:
        table.add_row(
            c.name, f"{c.rows} x {c.cols}", str(c.requantizers), f"{c.on_chip_bytes // 1024} KiB",
            f"{8 * c.bus_bytes} bits", f"{c.memory.bytes_per_cycle} bytes/cycle", f"{c.memory.latency} cycles",
            f"{c.clock_mhz:g} MHz",
        )  # fmt: skip
    console.print(table)


def short(name: str) -> str:
    """A name for a column: converters join several names with ';', of which the last is kept, from its end."""
    last = name.split(";")[-1] or name
    return last if len(last) <= NAME_WIDTH else "..." + last[3 - NAME_WIDTH :]


def _title(document: dict[str, Any]) -> str:
    c = document["config"]
    return f"{escape(document['model'])} on {escape(c['name'])} ({c['rows']}x{c['cols']})"


def _table(*columns: str) -> Table:
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for column in columns:
        right, first = column.startswith(">"), column == columns[0]
        table.add_column(
            column.removeprefix(">"), justify="right" if right else "left", no_wrap=not first, overflow="fold"
        )
    return table


def _figures(layer: dict[str, Any]) -> list[str]:
    """MACs, cycles, bound, utilization, what bounds, bytes outside of a layer or of the totals."""
    if layer.get("where") == "host":
        return ["", "host", "", "", "", ""]
    bounded = layer["bound_by"] if layer["cycles"] else ""
    utilization = f"{100 * layer['utilization']:.1f} %" if layer["macs"] else ""
    return [_number(layer["macs"]), f"{layer['cycles']:,}", _number(layer["lower_bound"]), utilization, bounded,
            _number(layer["external_bytes"])]


def _number(value: int) -> str:
    return f"{value:,}" if value else "0"


def _print_host(console: Console, layers: Sequence[dict[str, Any]], seconds: float | None) -> None:
    mine = [layer for layer in layers if layer["where"] == "host"]
    if not mine:
        console.print("host: nothing; every operator runs on the accelerator")
        return
    names = ", ".join(f"{short(layer['name'])} ({layer['op']})" for layer in mine)
    measured = "" if seconds is None else f", {1000 * seconds:.2f} ms measured on this machine"
    console.print(f"host: {len(mine)} of {len(layers)} operators{measured}, apart from the cycles above: {escape(names)}")


def _print_notes(console: Console, notes: Sequence[str]) -> None:
    for note in notes:
        console.print(f"note: {escape(note)}")
