"""A survey of a model on a configuration: what would run where, and why not; everything at once, before any work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from intaglio.errors import Refusal
from intaglio.machine.config import Config
from intaglio.mapper.lower.accept import NOTHING_TO_RUN, examined, onchip_bytes, tiled
from intaglio.mapper.tasks.task import Task
from intaglio.network import survey
from intaglio.network.graph import Conv2D, FullyConnected, Graph, Operator, Reshape
from intaglio.network.placement import host_operators
from intaglio.network.survey import BEHIND, UNTOLD, Refused, Step, Survey
from intaglio.network.tflite.host import LiteRTHost
from intaglio.program.layout import layout_of

ACCELERATOR, HOST, FUSED, REFUSED = PLACES = ("accelerator", "host", "fused", "refused")


@dataclass(frozen=True)
class CheckedOperator:
    """One operator of the model file. place: one of PLACES. why: in words, empty where refused. refusals: reasons and
    remedies, from importer and mapper. macs: multiply-accumulates (of an operator that could not be imported by the
    shapes in the file). weight_bytes: of its weights and biases in the network. onchip_bytes: of its inputs and output
    on chip, rows padded; None where it is no task of the accelerator. tiled: which of 'activations' and 'weights' do
    not fit on chip whole, so that the layer runs in pieces."""

    name: str
    op: str
    place: str
    why: str
    refusals: tuple[tuple[str, str], ...]
    macs: int
    weight_bytes: int
    onchip_bytes: int | None
    tiled: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """operators: in the model file's order. refusals: all, those of inputs and of the whole network included. macs,
    accelerator_macs: of all operators, and of those that the accelerator takes. weight_bytes: of all of the latter.
    activation_peak_bytes: the most that tensors of the accelerator take together while one operator runs, were none
    outside (on-chip form, rows padded); peak_layer: which operator that is. notes: what a person should know about the
    import."""

    operators: tuple[CheckedOperator, ...]
    refusals: tuple[Refusal, ...]
    macs: int
    accelerator_macs: int
    weight_bytes: int
    activation_peak_bytes: int
    peak_layer: str | None
    notes: tuple[str, ...] = ()

    @property
    def would_run(self) -> bool:
        return not self.refusals

    def count(self, place: str) -> int:
        return sum(op.place == place for op in self.operators)


def check(path: str | Path, config: Config) -> Check:
    """InputError for a file that cannot be read; whatever else is wrong is in the result."""
    return check_survey(survey(path), config)


def check_survey(found: Survey, config: Config) -> Check:
    """As check, of a model that is read already."""
    graph = found.graph
    host = host_operators(graph, config)
    gaps = {i for i, op in enumerate(graph.operators) if isinstance(op, Refused)}
    tasks, refused = examined(graph, config, gaps)
    by_tag = {task.tag: task for task in tasks}
    index_of = {op.name: i for i, op in enumerate(graph.operators)}
    refusals = [*found.refusals, *(refusal for i in sorted(refused) for refusal in refused[i])]
    if len(host) == len(graph.operators) and not refusals:
        refusals.append(Refusal(graph.name, "network", *NOTHING_TO_RUN))
    imported = {r.layer: r for r in found.refusals if r.number is not None}
    named = {step.became: step.name for step in found.steps if not step.folded}
    rows = []
    for step in found.steps:
        if not step.became:
            mine = [imported[step.name]] if step.name in imported else []
            rows.append(_row_of_none(step, mine))
            continue
        index = index_of[step.became]
        mine = [imported[step.name]] if step.name in imported else [] if step.folded else refused.get(index, [])
        rows.append(
            _row(graph, config, step, index, host, mine, by_tag.get(index), named.get(step.became, step.became))
        )
    peak, layer = _peak(graph, config, host)
    taken = [row for row in rows if row.place == ACCELERATOR]
    return Check(
        operators=tuple(rows),
        refusals=tuple(refusals),
        macs=sum(row.macs for row in rows),
        accelerator_macs=sum(row.macs for row in taken),
        weight_bytes=sum(row.weight_bytes for row in taken),
        activation_peak_bytes=peak,
        peak_layer=layer,
        notes=tuple(graph.notes),
    )


def _row_of_none(step: Step, refusals: Sequence[Refusal]) -> CheckedOperator:
    """The row of an operator that the graph does not have."""
    reasons = tuple((refusal.reason, refusal.remedy) for refusal in refusals)
    place = REFUSED if reasons or step.why in (BEHIND, UNTOLD) else FUSED
    why = "" if reasons else step.why
    return CheckedOperator(step.name, step.code, place, why, reasons, step.macs, 0, None, ())


def _row(
    graph: Graph,
    config: Config,
    step: Step,
    index: int,
    host: set[int],
    refusals: Sequence[Refusal],
    task: Task | None,
    whole: str,
) -> CheckedOperator:
    """whole: the operator of the file that a folded one is part of."""
    op = graph.operators[index]
    weights = 0
    if isinstance(op, Conv2D | FullyConnected) and not step.folded:
        weights = op.weights.size + op.bias.nbytes
    if refusals:
        place, why = REFUSED, ""
    elif step.folded:
        place, why = FUSED, f"part of {whole}"
    elif isinstance(op, Refused):
        place, why = REFUSED, BEHIND
    elif index in host:
        place, why = HOST, _why_host(op)
    elif task is None:
        place, why = ACCELERATOR, "another name for bytes on chip, no commands"
    else:
        place, why = ACCELERATOR, "array" if task.weighted is not None else "vector path"
    shown = task if place == ACCELERATOR else None
    return CheckedOperator(
        name=step.name,
        op=step.code,
        place=place,
        why=why,
        refusals=tuple((refusal.reason, refusal.remedy) for refusal in refusals),
        macs=0 if step.folded else _macs(graph, op),
        weight_bytes=weights,
        onchip_bytes=None if shown is None else onchip_bytes(shown),
        tiled=() if shown is None else tiled(shown, config),
    )


def _why_host(op: Operator) -> str:
    if isinstance(op, Reshape):
        return "shape of a tensor at the network's edge"
    return "at the network's edge, computed as the format's reference does"


def _macs(graph: Graph, op: Operator) -> int:
    """As LayerFigures.macs: output elements times the whole kernel."""
    if isinstance(op, Refused | LiteRTHost):
        return op.macs
    if isinstance(op, Conv2D | FullyConnected):
        return math.prod(graph.tensors[op.outputs[0]].shape) * math.prod(op.weights.shape[1:])
    return 0


def _peak(graph: Graph, config: Config, host: set[int]) -> tuple[int, str | None]:
    """The most bytes of tensors on chip at one operator, and which. A reshape shares its input's bytes."""
    storage: dict[str, str] = {}
    for op in graph.operators:
        for name in op.outputs:
            storage[name] = storage.get(op.inputs[0], op.inputs[0]) if isinstance(op, Reshape) and op.inputs else name
    mine = [i for i, op in enumerate(graph.operators) if i not in host and not isinstance(op, Refused)]
    begin: dict[str, int] = {}
    end: dict[str, int] = {}
    for i in mine:
        op = graph.operators[i]
        for name in (*op.inputs, *op.outputs):
            begin.setdefault(storage.get(name, name), i)
            end[storage.get(name, name)] = i
    for i, op in enumerate(graph.operators):
        if isinstance(op, Refused):
            for name in (*op.inputs, *op.outputs):
                if storage.get(name, name) in end:
                    end[storage.get(name, name)] = max(i, end[storage.get(name, name)])
    best, layer = 0, None
    for i in mine:
        alive = [name for name in begin if begin[name] <= i <= end[name]]
        size = sum(layout_of(t.shape, config.bus_bytes, t.format).size for t in map(graph.tensors.__getitem__, alive))
        if size > best:
            best, layer = size, graph.operators[i].name
    return best, layer
