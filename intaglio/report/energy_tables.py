"""The document of `compare` as tables for a person. Energies in nJ, an inference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from intaglio.machine.clock import clock_text
from intaglio.report.table import Column, Kind, Table, grouped
from intaglio.report.tables import CODE, MANY_NAMES, NAME, short
from intaglio.report.terminal import Terminal

NAMES = {"int8": "INT8", "equal_elements": "FP32 (a)", "equal_bytes": "FP32 (b)"}
COMPONENTS = ("arithmetic", "on_chip", "external", "idle", "total")
NONE = "-"
LEGEND = (
    "FP32: the same array and schedule, operands and buffers of four times the bytes; outside (a) as many elements a "
    "cycle, (b) as many bytes a cycle. Gain: FP32's energy over INT8's, which is also the ratio of inferences/s/W, in "
    "brackets over the table's bands, each at the same end on both sides. TOPS/W: two operations for each MAC of the "
    "network, nothing else."
)


def print_compare(terminal: Terminal, document: dict[str, Any]) -> None:
    c, table = document["config"], document["table"]
    terminal.line(
        f"{document['model']} on {c['name']} ({c['rows']}x{c['cols']}) at "
        f"{clock_text(document['clock'])}, energies of {table['name']} "
        f"({table['node_nm']:g} nm, {table['voltage']:g} "
        f"V), nJ an inference"
    )
    terminal.table(_energies(document))
    terminal.line()
    terminal.table(_rates(document))
    terminal.line(LEGEND)
    _print_place(terminal, document)
    _print_limits(terminal, document)
    _print_accuracy(terminal, document["accuracy"])
    _print_measured(terminal, document)
    _print_host(terminal, document)
    for note in document["notes"]:
        terminal.line(f"note: {note}")


def print_sources(terminal: Terminal, table: dict[str, Any]) -> None:
    """table: energy.table_document's."""
    terminal.line(f"table {table['name']}: {table['node_nm']:g} nm, {table['voltage']:g} V")
    sources = list(dict.fromkeys(entry["source"] for entry in table["entries"]))
    out = Table(
        [
            Column("constant", Kind.WORD),
            Column("value (band)", Kind.TEXT),
            Column("unit", Kind.WORD),
            Column("node", leave=2),
            Column("voltage", leave=1),
            Column("source", Kind.WORD),
            Column("note", Kind.TEXT),
        ],
        "compare --json has them",
    )
    for entry in table["entries"]:
        out.add(
            entry["name"],
            entry["given"],
            entry["unit"],
            f"{entry['node_nm']:g} nm",
            f"{entry['voltage']:g} V",
            f"({sources.index(entry['source']) + 1})",
            entry["note"],
        )
    terminal.table(out)
    for number, source in enumerate(sources, 1):
        terminal.line(f"({number}) {source}")


def _energies(document: dict[str, Any]) -> Table:
    parts = (
        Column("arithmetic", leave=3),
        Column("on chip", leave=4),
        Column("external", leave=5),
        Column("idle", leave=2),
    )
    out = Table([NAME, replace(CODE, leave=1), Column("", Kind.WORD), *parts, Column("total"), Column("gain", leave=6)])
    sides = [name for name in NAMES if name != "equal_bytes" or document["totals"]["int8"]["energy"]["idle"]]
    for layer in document["layers"]:
        if layer["where"] == "host":
            out.add(short(layer["name"]), layer["op"], "host", *[""] * 6)
            continue
        _add_sides(out, (short(layer["name"]), layer["op"]), layer, sides)
    out.section()
    _add_sides(out, ("total", ""), document["totals"], list(NAMES))
    return out


def _add_sides(out: Table, head: tuple[str, str], layer: dict[str, Any], sides: list[str]) -> None:
    for name in sides:
        energy = _side(layer, name)["energy"]
        parts = (f"{energy[c]['value'] / 1000:,.2f}" if energy[c] else NONE for c in COMPONENTS)
        out.add(
            *(head if name == "int8" else ("", "")),
            NAMES[name],
            *parts,
            "" if name == "int8" else _gain(layer["gain"][name]),
        )


def _rates(document: dict[str, Any]) -> Table:
    out = Table(
        [
            Column("", Kind.WORD),
            Column("cycles", leave=2),
            Column("inferences/s", leave=3),
            Column("mW", leave=5),
            Column("inferences/s/W", leave=6),
            Column("TOPS/W", leave=4),
            Column("bytes outside", leave=1),
        ]
    )
    for name, shown in NAMES.items():
        side, rates = _side(document["totals"], name), document["rates"][name]
        watts = rates["watts"]
        out.add(
            shown,
            f"{side['cycles']:,}",
            NONE if rates["inferences_per_second"] is None else f"{rates['inferences_per_second']:,.1f}",
            _band({key: 1000 * x for key, x in watts.items()} if watts else None, ",.2f"),
            _band(rates["inferences_per_joule"], ",.0f"),
            _band(rates["tops_per_watt"], ".4f"),
            f"{side['external_bytes']:,.0f}",
        )
    return out


def _print_place(terminal: Terminal, document: dict[str, Any]) -> None:
    curve = document["curve"]
    points = ", ".join(f"{p['value']:.2f}X at {reuse:g}" for reuse, p in curve["points"])
    terminal.line(f"Curve of the gain against MACs for each INT8 byte outside: {points}, up to {curve['end']:.1f}X.")
    if curve["ideal"] is not None:
        terminal.line(
            f"Here: {curve['reuse']:.1f} MACs a byte, where the curve has {_gain(curve['ideal'])}; with "
            f"memory on chip, requantization and commands the network has {_gain(curve['gain'])}."
        )
    for reason in curve["reasons"]:
        terminal.line(f"- {reason}.")
    terminal.line(f"Source of 16X and 4X: {curve['qualcomm']}. {curve['registers']}.")


def _print_limits(terminal: Terminal, document: dict[str, Any]) -> None:
    if document["not_priced"]:
        terminal.line(
            f"Not priced, because the table's source does not have it: {', '.join(document['not_priced'])}. "
            "Energy and watts are without it, so inferences/s/W is above what silicon gives."
        )
    if document["extrapolated"]:
        terminal.line(f"Beyond the table's memory sizes, extrapolated: {', '.join(document['extrapolated'])}.")


def _print_accuracy(terminal: Terminal, accuracy: dict[str, Any]) -> None:
    def told(found: dict[str, Any] | None) -> str:
        if found is None:
            return "not evaluated"
        top5 = "" if found["top5"] is None else f", top-5 {100 * found['top5']:.2f} %"
        return f"{100 * found['top1']:.2f} % ({found['correct']} of {found['total']}{top5})"

    terminal.line(f"accuracy: INT8 {told(accuracy['int8'])}; FP32 {told(accuracy['fp32'])}")


def _print_measured(terminal: Terminal, document: dict[str, Any]) -> None:
    system = document["measured"]
    if system is None:
        return
    energy = document["totals"]["int8"]["energy"]["total"]
    terminal.line(
        f"This network is {system['benchmark']}. System: {system['system']}, {system['microjoules']:,.1f} uJ an "
        f"inference, {system['inferences_per_second']:g} inferences/s ({system['conditions']}; "
        f"{system['source']}). Here: {energy['value'] / 1e6:,.3f} uJ modelled, of the array, its memories and "
        f"the external memory alone. The first was measured and the second was not: no ratio of the two is a gain."
    )


def _print_host(terminal: Terminal, document: dict[str, Any]) -> None:
    mine = [layer for layer in document["layers"] if layer["where"] == "host"]
    if not mine:
        terminal.line("host: nothing; every operator runs on the accelerator")
        return
    seconds = document["totals"]["host_seconds"]
    measured = "not measured" if seconds is None else f"{1000 * seconds:.2f} ms measured on this machine"
    names = grouped([f"{short(layer['name'])} ({layer['op']})" for layer in mine], MANY_NAMES)
    terminal.line(
        f"host: {len(mine)} of {len(document['layers'])} operators, {measured}, in none of the figures "
        f"above, energy not known: {names}"
    )


def _side(layer: dict[str, Any], name: str) -> Any:
    return layer["int8"] if name == "int8" else layer["fp32"][name]


def _gain(gain: dict[str, float] | None) -> str:
    return NONE if gain is None else f"{gain['value']:.2f}X ({gain['low']:.2f} to {gain['high']:.2f})"


def _band(band: dict[str, float] | None, form: str) -> str:
    return NONE if band is None else f"{band['value']:{form}} ({band['low']:{form}} to {band['high']:{form}})"
