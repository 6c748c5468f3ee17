"""The documents as tables for a person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intaglio.analysis.recheck import Recheck
from intaglio.machine.clock import clock_text
from intaglio.machine.config import Config
from intaglio.network.operators import Known
from intaglio.report.table import LONGEST_NAME, Column, Kind, Table, grouped, shortened
from intaglio.report.terminal import Terminal

MANY_ROWS = 40
"""Operators from which on `check` shows those that differ in nothing but their names as one row."""
MANY_NAMES = 12
"""Names in a sentence from which on it says how many more there are."""
NAME, CODE = Column("layer", Kind.NAME), Column("operator", Kind.CODE, leave=8)
FIGURES = (
    Column("MACs", leave=6),
    Column("cycles"),
    Column("bound", leave=4),
    Column("utilization", leave=5),
    Column("bounded by", Kind.WORD, leave=3),
    Column("bytes outside", leave=7),
)
"""Figures of run and map; see _figures."""


def print_run(out: Terminal, document: dict[str, Any]) -> None:
    """The document of `run`."""
    totals = document["totals"]
    out.line(f"{_title(document)}, engine {document['engine']}, input {document['input']}")
    table = Table([NAME, CODE, *FIGURES])
    for layer in document["layers"]:
        table.add(short(layer["name"]), layer["op"], *_figures(layer))
    table.section()
    table.add("total", "", *_figures(totals))
    out.table(table)
    seconds = document["seconds"]
    out.line(
        f"{totals['inferences_per_second']:,.1f} inferences/s at {clock_text(document['clock'])}; no schedule takes "
        f"fewer than {totals['network_lower_bound']:,} cycles; {totals['command_bytes']:,} bytes of commands"
    )
    _print_host(out, document["layers"], totals["host_seconds"])
    if document["engine"] == "rtl":
        out.line(f"RTL: {seconds['build']:.1f} s to build or find the model, {seconds['run']:.2f} s to simulate")
        if document["counters"] is None:
            out.line("counters: none, the configuration leaves them out (counters: false)")
    if "accuracy" in document:
        print_accuracy(out, document["accuracy"])
    if "host_only_tensors" in document:
        names = grouped(document["host_only_tensors"], MANY_NAMES) or "none"
        out.line(f"tensors that the accelerator never wrote, computed on the host: {names}")
    _print_notes(out, document["notes"])


def print_accuracy(out: Terminal, accuracy: dict[str, Any]) -> None:
    rate = accuracy["total"] / accuracy["seconds"]
    out.line(f"accuracy: {accuracy_text(accuracy)} ({accuracy['data']}; {rate:,.0f} labels/s on the host engine)")


def accuracy_text(accuracy: dict[str, Any]) -> str:
    """'467 of 500 right, 93.40 %, top five 99.80 %'."""
    text = f"{accuracy['correct']:,} of {accuracy['total']:,} right, {100 * accuracy['top1']:.2f} %"
    return text if accuracy["top5"] is None else f"{text}, top five {100 * accuracy['top5']:.2f} %"


def print_map(out: Terminal, document: dict[str, Any], notes: Sequence[str]) -> None:
    """The document of `map`."""
    program, totals = document["program"], document["totals"]
    out.line(f"{_title(document)}, configuration hash {document['config_hash']}")
    table = Table([NAME, CODE, *(Column(name, leave=1) for name in ("loads", "computes", "stores")), *FIGURES])
    for layer in document["layers"]:
        counts = (_number(layer["commands"][engine]) for engine in ("load", "compute", "store"))
        table.add(short(layer["name"]), layer["op"], *counts, *_figures(layer))
    table.section()
    sums = (_number(sum(layer["commands"][e] for layer in document["layers"])) for e in ("load", "compute", "store"))
    table.add("total", "", *sums, *_figures(totals))
    out.table(table)
    out.line(
        f"{program['commands']} commands; image {program['image_bytes']:,} bytes; external memory "
        f"{program['memory_bytes']:,} bytes; tensors outside: "
        f"{grouped([short(name) for name in program['tensors_outside']], MANY_NAMES)}"
    )
    chosen = document["objective"]
    energy = "" if chosen["table"] is None else f": {chosen['energy'] / 1e6:,.3f} uJ an inference by {chosen['table']}"
    out.line(f"objective {chosen['goal']}{energy}")
    if document["certificates"] is not None:
        _print_certificates(out, document["certificates"])
    _print_host(out, document["layers"], None)
    _print_notes(out, notes)


def _print_certificates(out: Terminal, certificates: Sequence[dict[str, Any]]) -> None:
    table = Table(
        [
            Column("layers", Kind.TEXT),
            Column("plans"),
            Column("timed", leave=1),
            Column("best alone"),
            Column("gap to best"),
            Column("bound", leave=2),
            Column("gap to bound", leave=3),
        ]
    )
    for c in certificates:
        table.add(
            " + ".join(short(name) for name in c["layers"]),
            _number(c["candidates"]),
            _number(c["timed"]),
            _number(c["best_cycles"]),
            f"{c['gap_to_best']:.1%}",
            _number(c["bound_cycles"]),
            f"{c['gap_to_bound']:.1%}",
        )
    out.table(table)
    out.line(
        "Each layer or chain by itself, exact. Plans: every cut into pieces, placement of buffers and order of weights that "
        "the mapper knows, with what stays on chip as it is; those that were not timed have a bound no lower than the "
        "cycles found. Bound: all elements busy, every byte moved once. Gap to best: of the plan taken, which differs where "
        "the whole network is faster with it."
    )


def print_recheck(out: Terminal, mapping: Path, found: Recheck) -> None:
    """Prints the findings of `map --check`."""
    if found.difference is not None:
        out.line(f"{mapping}: DIFFERENT: {found.difference}")
        return
    out.line(
        f"{mapping}: {found.commands:,} commands, legal. As stated: {found.cycles:,} cycles, and "
        f"{found.external_bytes:,} bytes of data and {found.command_bytes:,} of commands, in {found.layers} layers."
    )


def print_verification(out: Terminal, document: dict[str, Any], notes: Sequence[str]) -> None:
    """The document of `verify`."""
    out.line(f"{_title(document)}: {document['inputs']} random inputs from seed {document['seed']}")
    seconds = document["seconds"]
    if document["reference"] is None:
        out.line(
            f"NO REFERENCE WAS COMPARED, host and RTL alone: the format's reference refuses this file. "
            f"{document['reference_refusal']}"
        )
    if document["equal"]:
        beside = (
            ""
            if document["reference"] is None
            else f"{document['reference']}: 0 differences in {document['elements']:,} elements of {document['tensors']} tensors an input. "
        )
        times = f"{document['cycles']:,} cycles, retire cycles of {document['commands']} commands"
        if document["counters_compared"]:
            out.line(f"EQUAL. {beside}Host and RTL: tensors, {times} and all counters, difference 0.")
        else:
            out.line(
                f"EQUAL. {beside}Host and RTL: tensors, {times}, difference 0. NO COUNTERS WERE COMPARED: the "
                "configuration leaves them out (counters: false)."
            )
        if document["off_by_one"]:
            out.line(f"{document['off_by_one']} elements differ by 1 in tensors that the notes name.")
        names = grouped(document["host_only_tensors"], MANY_NAMES) or "none"
        out.line(f"Tensors that only the host computes: {names}.")
    else:
        out.line(f"DIFFERENT. {document['difference']['message']}")
    out.line(f"RTL: {seconds['build']:.1f} s to build or find the model, {seconds['simulate']:.2f} s to simulate.")
    _print_notes(out, notes)


def print_check(out: Terminal, document: dict[str, Any]) -> None:
    """The document of `check`."""
    config, totals = document["config"], document["totals"]
    out.line(_title(document))
    table = Table(
        [
            NAME,
            CODE,
            Column("where", Kind.WORD),
            Column("MACs", leave=4),
            Column("weights", leave=3),
            Column("on chip", leave=1),
            Column("in pieces", Kind.WORD, leave=2),
            Column("why", Kind.TEXT),
        ]
    )
    rows = _checked_rows(document["operators"])
    for row in rows:
        table.add(*row)
    out.table(table)
    if len(rows) < len(document["operators"]):
        out.line(
            f"xN: that many operators in one row, with their sums, where nothing but names and sizes differs; --json has "
            f"each of the {len(document['operators'])}"
        )
    counts = ", ".join(f"{count} {place}" for place, count in totals["operators"].items() if count)
    share = 100 * totals["accelerator_macs"] / totals["macs"] if totals["macs"] else 0.0
    out.line(
        f"{len(document['operators'])} operators: {counts}; {share:.1f} % of {totals['macs']:,} MACs on the accelerator"
    )
    fits = "fit" if totals["activation_peak_bytes"] <= config["activation_bytes"] else "do not all fit"
    if totals["activation_peak_bytes"]:
        out.line(
            f"weights {totals['weight_bytes']:,} bytes; tensors take at most {totals['activation_peak_bytes']:,} "
            f"bytes at once{_at(totals['peak_layer'])}: they {fits} into activation_bytes = "
            f"{config['activation_bytes']:,}"
        )
    _print_notes(out, document["notes"])
    if document["would_run"]:
        out.line("WOULD RUN.")
        return
    out.line("REFUSED. What to do:")
    remedies: dict[str, dict[str, list[str]]] = {}
    for op in document["operators"]:
        for refusal in op["refusals"]:
            remedies.setdefault(refusal["remedy"], {}).setdefault(op["op"], []).append(short(op["name"]))
    for remedy, kinds in remedies.items():
        named = (f"{grouped(names)} ({kind}{_times(names)})" for kind, names in kinds.items())
        out.line(f"  {remedy}: {', '.join(named)}")
    for refusal in document["other_refusals"]:
        out.line(f"  {refusal['kind']} {refusal['name']}: {refusal['reason']}; {refusal['remedy']}")


def _checked_rows(operators: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The cells of `check`'s rows, grouped where they are many: operators of one kind that are refused for one reason, or part of
    others."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for number, op in enumerate(operators):
        alone = len(operators) <= MANY_ROWS or op["place"] not in ("refused", "fused")
        reasons = tuple(re.sub("'[^']*'", "", refusal["reason"]) for refusal in op["refusals"])
        groups.setdefault((op["op"], op["place"], reasons, number if alone else None), []).append(op)
    rows: list[tuple[str, ...]] = []
    for mine in groups.values():
        first = mine[0]
        why = _short_quotes("; ".join(refusal["reason"] for refusal in first["refusals"]) or first["why"])
        if why.startswith("part of "):
            why = f"part of {short(first['why'].removeprefix('part of '))}" if len(mine) == 1 else "part of others"
        onchip = [op["onchip_bytes"] for op in mine if op["onchip_bytes"] is not None]
        names = [op["name"] for op in mine]
        name = short(names[0]) if len(names) == 1 else f"{short(names[0])} and {len(names) - 1:,} more"
        rows.append(
            (
                name,
                first["op"] + _times(names),
                first["place"],
                _number(sum(op["macs"] for op in mine)),
                _number(sum(op["weight_bytes"] for op in mine)),
                _number(max(onchip)) if onchip else "",
                ", ".join(first["tiled"]),
                why,
            )
        )
    return rows


def _times(names: Sequence[str]) -> str:
    return f" x{len(names):,}" if len(names) > 1 else ""


def _short_quotes(text: str) -> str:
    """A reason with the names in it shortened as the columns'."""
    return re.sub("'([^']*)'", lambda quoted: repr(short(quoted[1])), text)


def _at(layer: str | None) -> str:
    return "" if layer is None else f" (at {short(layer)})"


def print_operators(out: Terminal, known: Sequence[Known]) -> None:
    """The operators that are supported."""
    table = Table(
        [
            Column("operator", Kind.TEXT),
            Column("TFLite", Kind.TEXT),
            Column("ONNX", Kind.TEXT, leave=3),
            Column("runs on", Kind.WORD),
            Column("result", Kind.TEXT, leave=4),
            Column("what is taken", Kind.TEXT, leave=5),
        ],
        "docs/operators.md has them, with the tests",
    )
    for operator in known:
        files = (", ".join(names) or "no" for names in (operator.tflite, operator.onnx))
        table.add(operator.name, *files, operator.where, operator.result, operator.limits)
    out.table(table)


def print_configs(out: Terminal, configs: Sequence[Config]) -> None:
    """The shipped configurations."""
    table = Table(
        [
            Column("name", Kind.NAME),
            Column("rows x cols"),
            Column("requantizers", leave=2),
            Column("on chip"),
            Column("bus", leave=4),
            Column("outside", leave=5),
            Column("latency", leave=3),
            Column("clock", leave=1),
        ],
        "`intaglio configs NAME` has them",
    )
    for c in configs:
        table.add(
            c.name,
            f"{c.rows} x {c.cols}",
            str(c.requantizers),
            f"{c.on_chip_bytes // 1024} KiB",
            f"{8 * c.bus_bytes} bits",
            f"{c.memory.bytes_per_cycle} bytes/cycle",
            f"{c.memory.latency} cycles",
            f"{c.clock_mhz:g} MHz",
        )
    out.table(table)


def short(name: str) -> str:
    """A name for a column: converters join several names with ';', of which the last is kept, from its end."""
    last = name.split(";")[-1] or name
    return shortened(last, LONGEST_NAME)


def _title(document: dict[str, Any]) -> str:
    c = document["config"]
    return f"{document['model']} on {c['name']} ({c['rows']}x{c['cols']})"


def _figures(layer: dict[str, Any]) -> list[str]:
    """MACs, cycles, bound, utilization, what bounds, bytes outside of a layer or of the totals."""
    if layer.get("where") == "host":
        return ["", "host", "", "", "", ""]
    bounded = layer["bound_by"] if layer["cycles"] else ""
    utilization = f"{100 * layer['utilization']:.1f} %" if layer["macs"] else ""
    return [
        _number(layer["macs"]),
        f"{layer['cycles']:,}",
        _number(layer["lower_bound"]),
        utilization,
        bounded,
        _number(layer["external_bytes"]),
    ]


def _number(value: int) -> str:
    return f"{value:,}" if value else "0"


def _print_host(out: Terminal, layers: Sequence[dict[str, Any]], seconds: float | None) -> None:
    mine = [layer for layer in layers if layer["where"] == "host"]
    if not mine:
        out.line("host: nothing; every operator runs on the accelerator")
        return
    names = grouped([f"{short(layer['name'])} ({layer['op']})" for layer in mine], MANY_NAMES)
    measured = "" if seconds is None else f", {1000 * seconds:.2f} ms measured on this machine"
    out.line(f"host: {len(mine)} of {len(layers)} operators{measured}, apart from the cycles above: {names}")


def _print_notes(out: Terminal, notes: Sequence[str]) -> None:
    for note in notes:
        out.line(f"note: {note}")
