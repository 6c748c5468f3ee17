"""Graph -> tasks, or every reason at once why a configuration cannot run it."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from intaglio.errors import Refusal, RefusedError
from intaglio.machine.config import Config
from intaglio.mapper.lower.lower import beyond_counting, lower
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.lower.refusals import Why, refusals
from intaglio.mapper.tasks.groups import weight_bytes
from intaglio.mapper.tasks.task import Task
from intaglio.mapper.tiling.layer_planner import LayerPlanner
from intaglio.network.graph import Graph
from intaglio.network.placement import host_operators

NOTHING_TO_RUN: Why = ("no operator runs on the accelerator", "give a network with int8 layers")


def accepted(graph: Graph, config: Config, copied: AbstractSet[str] = frozenset()) -> Lowered:
    """Raises RefusedError with every operator that this configuration cannot run, and the remedies. Of a network that could be
    lowered, the operators that do not fit are left to the schedulers, which find them anyway. copied: as `lower` takes it."""
    host = host_operators(graph, config)
    if not refused_operators(graph, config, host) and len(host) < len(graph.operators):
        lowered = lower(graph, config, host, copied)
        if not beyond_counting(graph, config, lowered):
            return lowered
    _, refused = examined(graph, config)
    found = [refusal for i in sorted(refused) for refusal in refused[i]]
    raise RefusedError(
        f"network {graph.name!r} cannot be mapped:", found or [Refusal(graph.name, "network", *NOTHING_TO_RUN)]
    )


def examined(
    graph: Graph, config: Config, gaps: AbstractSet[int] = frozenset()
) -> tuple[Sequence[Task], dict[int, list[Refusal]]]:
    """The tasks of what the rules do not exclude, and every refusal by index into graph.operators, without a schedule. gaps:
    operators that are told of elsewhere."""
    host = host_operators(graph, config)
    refused = {i: found for i, found in refused_operators(graph, config, host).items() if i not in gaps}
    lowered = lower(graph, config, host | gaps | refused.keys())
    # Whether a piece fits is not asked of networks that are too large as a whole: they have more pieces than are worth a look.
    late = beyond_counting(graph, config, lowered) or _too_large(graph, lowered.tasks, config)
    index_of = {op.name: i for i, op in enumerate(graph.operators)}
    for refusal in late:
        refused.setdefault(index_of[refusal.layer], []).append(refusal)
    return lowered.tasks, refused


def refused_operators(graph: Graph, config: Config, host: AbstractSet[int]) -> dict[int, list[Refusal]]:
    """Operators that cannot run whatever their size, by index into graph.operators. host: host_operators(graph, config)."""
    out: dict[int, list[Refusal]] = {}
    for index, op in enumerate(graph.operators):
        if index not in host:
            for reason, remedy in refusals(graph, op, config):
                out.setdefault(index, []).append(Refusal(op.name, op.kind, reason, remedy))
    for index, reason in _interruptions(graph, host):
        op = graph.operators[index]
        out.setdefault(index, []).append(Refusal(op.name, op.kind, reason, "split the network there"))
    return out


def onchip_bytes(task: Task) -> int:
    """Bytes of its inputs and output on chip; one operand twice counts once."""
    sizes = {operand.value: operand.layout.size for operand in (*task.inputs, task.output)}
    return sum(sizes.values())


def tiled(task: Task, config: Config) -> tuple[str, ...]:
    """Names of 'activations' and 'weights' if they do not fit on chip whole."""
    out = []
    if onchip_bytes(task) > config.activation_bytes:
        out.append("activations")
    if (conv := task.weighted) is not None:
        whole = weight_bytes(config, conv.geometry.whole_part, conv.channel_tiles(config))
        if whole > config.weight_bytes:
            out.append("weights")
    return tuple(out)


def _too_large(graph: Graph, tasks: Sequence[Task], config: Config) -> list[Refusal]:
    out = []
    for task in tasks:
        if tiled(task, config):
            planner = LayerPlanner(task, config)
            if planner.alone() is None:
                out.append(Refusal(task.name, graph.operators[task.tag].kind, *planner.shortage()))
    return out


def _interruptions(graph: Graph, host: AbstractSet[int]) -> list[tuple[int, str]]:
    """Host operators whose results the accelerator would need after it has begun: index and reason."""
    made: set[str] = set()
    late: dict[str, int] = {}
    faults = []
    for index, op in enumerate(graph.operators):
        if index not in host:
            made.update(op.outputs)
            faults += [
                (
                    late[name],
                    f"runs on the host in the middle of the network, before {op.name!r}; only the network's edges may",
                )
                for name in op.inputs
                if name in late
            ]
        elif any(name in made or name in late for name in op.inputs):
            late.update((name, index) for name in op.outputs)
    return faults
