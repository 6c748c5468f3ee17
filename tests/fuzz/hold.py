"""What must hold of every pair, in the order of what it costs: `check`, `map`, `map --check`, outputs.

    failure = hold(case, folder)            # None where everything holds

* `check` says that it would run where and only where mapping succeeds; else mapping refuses (RefusedError) the same layers for the
  same reasons.
* The mapping's document passes `map --check`, which proves legality anew and steps through every cycle: so the event model's
  cycles are those of the model that steps, in total and of every layer. Above MOST_CYCLES it is left out.
* No more is claimed as the network's lower bound than the cycles that it takes.
* With --prove, no more cycles than without; and no certificate with more plans timed than there are.
* The host engine's tensors equal reference execution; of networks that were written as files, LiteRT's or onnxruntime's
  too.
* On the RTL, where the case asks for it: outputs, cycles, retire cycles of every command and all counters equal the host's.

Any other exception is a failure.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.analysis.difference import first_difference
from intaglio.analysis.layers import layer_figures, totals
from intaglio.analysis.recheck import recheck
from intaglio.check import Check, check_survey
from intaglio.errors import RefusedError
from intaglio.machine.config import Config
from intaglio.network import survey
from intaglio.network.execute import execute, random_inputs
from intaglio.network.graph import Graph
from intaglio.network.oracle import oracle_of
from intaglio.network.survey import Survey
from intaglio.report.documents import map_document
from intaglio.session import Session
from tests.fuzz.case import Case
from tests.fuzz.graphs import graph_of, survey_of
from tests.fuzz.onnx_files import write_onnx
from tests.fuzz.pool import OutOfTime
from tests.fuzz.tflite_files import write_tflite

MOST_CYCLES = 20_000_000
"""Cycles that `map --check` steps through here: a quarter of a second."""
MOST_RTL_CYCLES = 300_000
"""Cycles that are simulated on the RTL: seconds."""


@dataclass(frozen=True)
class Failure:
    """kind: what went wrong and where, the same for pairs that fail alike. text: everything that helps."""

    kind: str
    text: str


@dataclass(frozen=True)
class Held:
    """A pair without a failure. refused: by both. commands, cycles: of its program. rechecked: by `map --check`. on_rtl: run
    there too."""

    refused: bool
    commands: int = 0
    cycles: int = 0
    rechecked: bool = False
    on_rtl: bool = False


class Broken(Exception):
    """Something that must hold does not. kind: short, without the pair's own numbers."""

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


def hold(case: Case, folder: Path) -> Held | Failure:
    """folder: for files, of this process alone."""
    stage = ["draw"]
    try:
        return _hold(case, folder, stage)
    except Broken as broken:
        return Failure(broken.kind, str(broken))
    except OutOfTime as error:
        return Failure(f"{stage[0]}: hang", "".join(traceback.format_exception(error)))
    except Exception as error:
        return Failure(
            f"{stage[0]}: {type(error).__name__} in {place_of(error)}", "".join(traceback.format_exception(error))
        )


def place_of(error: BaseException) -> str:
    """The innermost line of this project."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if "/intaglio/" in f.filename or "/fuzz/" in f.filename
    ]
    if not frames:
        return "?"
    last = frames[-1]
    path = Path(last.filename)
    return f"{'/'.join(path.parts[-2:])}:{last.name}"


def _hold(case: Case, folder: Path, stage: list[str]) -> Held | Failure:
    config, found = case.config, surveyed(case, folder)
    graph = found.graph
    stage[0] = "check"
    checked = check_survey(found, config)
    if found.refusals:  # at import already, where the graph itself is refused in this layer too
        of_graph = check_survey(survey_of(graph_of(case.recipe)), config)
        if (
            not {r.layer.removesuffix("_real") for r in found.refusals} <= {r.layer for r in of_graph.refusals}
            or checked.would_run
        ):
            raise Broken(f"import: refused: {_reasons(found.refusals)}", "\n".join(map(str, found.refusals)))
        return Held(True)
    stage[0] = "map"
    session = mapped(graph, config, case.way, case.keep_all)
    _agree(checked, session)
    if isinstance(session, RefusedError):
        return Held(True)
    if case.way == "prove":
        stage[0] = "map without --prove"
        plain = Session.map(graph, config, case.keep_all)
        _no_slower(session, plain)
    stage[0] = "clock"
    cycles = session.clock().cycles
    document = document_of(session, case.way)
    _truthful(document)
    if cycles <= MOST_CYCLES:
        stage[0] = "map --check"
        path = folder / "mapping.json"
        path.write_text(json.dumps(document))
        difference = recheck(path).difference
        if difference is not None:
            raise Broken(f"map --check: {_words(difference)}", difference)
    stage[0] = "run"
    inputs = random_inputs(graph, case.recipe.seed)
    run = session.run(inputs)
    stage[0] = "reference"
    wanted = execute(graph, inputs)
    _equal(run.tensors, wanted, "host")
    if case.form != "graph":
        oracle = oracle_of(folder / f"network.{case.form}", graph)
        stage[0] = oracle.name
        reference = oracle.run(inputs, wanted)
        ours = {name: value for name, value in wanted.items() if name in reference}
        if not any(op.outputs[0] in ours for op in graph.operators):
            raise Broken(f"reference beside {oracle.name}: nothing to compare", " ".join(reference))
        for name in (
            set(graph.inexact) & ours.keys()
        ):  # the format's reference computes them in float: 1 off, as notes say
            near = np.abs(ours[name].astype(int) - reference[name].astype(int)) <= 1
            ours[name] = np.where(near, reference[name], ours[name])
        _equal(ours, reference, f"reference beside {oracle.name}")
    if run.cycles != cycles:
        raise Broken("run: cycles differ from map's", f"{run.cycles} and {cycles}")
    on_rtl = case.rtl and cycles <= MOST_RTL_CYCLES
    if on_rtl:
        stage[0] = "rtl"
        first = first_difference(session, "its inputs", run, session.run(inputs, "rtl"))
        if first is not None:
            raise Broken("rtl: differs from the host", str(first))
    return Held(False, len(session.program.commands), cycles, cycles <= MOST_CYCLES, on_rtl)


def surveyed(case: Case, folder: Path) -> Survey:
    """The network as an importer gives it, of a file where the case says so."""
    if case.form == "graph":
        return survey_of(graph_of(case.recipe))
    path = folder / f"network.{case.form}"
    {"tflite": write_tflite, "onnx": write_onnx}[case.form](case.recipe, path)
    return survey(path)


def mapped(graph: Graph, config: Config, way: str, keep_all: bool = False) -> Session | RefusedError:
    """way: of a Case."""
    goal = "cycles" if way == "prove" else way
    try:
        return Session.map(graph, config, keep_all, way == "prove", goal)
    except RefusedError as refused:
        return refused


def document_of(session: Session, way: str) -> dict[str, Any]:
    """What `intaglio map --json` writes."""
    clock = session.clock()
    layers = layer_figures(session.config, session.program, clock.retire_cycles, clock.cycles)
    summary = totals(session.config, session.program, layers, clock.cycles)
    chosen = {"goal": way, "table": None, "energy": session.energy}
    return map_document(Path("fuzz"), session.config, session.program, layers, summary, chosen, session.certificates)


def _agree(checked: Check, session: Session | RefusedError) -> None:
    if isinstance(session, RefusedError):
        if checked.would_run:
            raise Broken(f"check: WOULD RUN, map refuses: {_reasons(session.refusals)}", str(session))
        if {(r.layer, r.reason) for r in checked.refusals} != {(r.layer, r.reason) for r in session.refusals}:
            both = "check:\n" + "\n".join(map(str, checked.refusals)) + f"\nmap:\n{session}"
            raise Broken(f"check and map refuse differently: {_reasons(session.refusals)}", both)
    elif not checked.would_run:
        raise Broken(
            f"check refuses, map succeeds: {_reasons(checked.refusals)}", "\n".join(map(str, checked.refusals))
        )


def _truthful(document: Mapping[str, Any]) -> None:
    """What a mapping states of itself."""
    totals = document["totals"]
    if totals["cycles"] < totals["network_lower_bound"]:
        raise Broken(
            "map: below its lower bound", f"{totals['cycles']} cycles, at least {totals['network_lower_bound']}"
        )
    for one in document["certificates"] or []:
        if not 0 < one["timed"] <= one["candidates"] or one["best_cycles"] < one["bound_cycles"]:
            raise Broken("map: a certificate contradicts itself", str(one))


def _reasons(refusals: Any) -> str:
    """Operators and reasons."""
    texts = {f"{r.operator} {_words(r.reason)}" for r in refusals}
    return "; ".join(sorted(texts)[:3])


def _words(text: str) -> str:
    """The first of a message, without numbers and names."""
    return " ".join(w for w in text.split()[:12] if w.isalpha())


def _no_slower(proven: Session, plain: Session) -> None:
    ours, without = proven.clock().cycles, plain.clock().cycles
    if ours > without:
        raise Broken("prove: slower than without", f"{ours} cycles with --prove, {without} without")


def _equal(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray], who: str) -> None:
    for name, value in got.items():
        if value.shape != wanted[name].shape or value.dtype != wanted[name].dtype:
            raise Broken(
                f"{who}: shape or type of a tensor",
                f"{name}: {value.dtype} {value.shape}, not {wanted[name].dtype} {wanted[name].shape}",
            )
        if not np.array_equal(value, wanted[name]):
            index = tuple(int(i) for i in np.argwhere(value != wanted[name])[0])
            count = int((value != wanted[name]).sum())
            raise Broken(
                f"{who}: outputs differ from the reference",
                f"{name}: {count} of {value.size} elements, first at {index}: {value[index]}, not {wanted[name][index]}",
            )
