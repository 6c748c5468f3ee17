"""Holds host engine, RTL and the format's reference (LiteRT, onnxruntime) against each other on random inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intaglio.analysis.difference import Difference, first_difference, first_tensor
from intaglio.machine.config import Config
from intaglio.network import Graph, execute, random_inputs
from intaglio.network.oracle import Oracle, oracle_of
from intaglio.network.reference import NoReference
from intaglio.session import Session
from intaglio.sim.rtl.build import library

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Verification:
    """inputs, seed: random inputs seed to seed + inputs - 1. reference: its name; None where it refuses the model, with
    reference_refusal in words. tensors, elements: compared with the reference for each input, 0 without it; off_by_one: elements, of all inputs, of the graph's inexact tensors that differ by 1.
    cycles: of the Program. unwritten: tensors that the RTL never writes, computed on the host. difference: the
    first, None where all are equal. build_seconds, simulate_seconds: of the RTL."""

    inputs: int
    seed: int
    reference: str | None
    reference_refusal: str | None
    off_by_one: int
    tensors: int
    elements: int
    cycles: int
    commands: int
    unwritten: tuple[str, ...]
    difference: Difference | None
    build_seconds: float
    simulate_seconds: float


def verify(
    model: Path,
    graph: Graph,
    config: Config,
    inputs: int = 2,
    seed: int = 0,
    step: Progress = lambda _: None,
    long: Progress = lambda _: None,
    waves: Path | None = None,
) -> Verification:
    """Stops at the first difference. model: the file that `graph` was read from. Where the format's reference refuses the model, host and RTL are compared alone.

    step, long: told what is done and what takes long. waves: a file for the RTL's run of the first input.
    Each input runs as two Programs on both engines: the ordinary one (outputs, cycles, retire cycles, counters) and one
    that keeps every tensor outside, for every tensor.
    """
    oracle: Oracle | None = None
    refusal: str | None = None
    try:
        oracle = oracle_of(model, graph)
    except NoReference as missing:
        refusal = f"{missing.reference}: {missing.reason}"
    step(f"mapping {graph.name} onto {config.name}")
    plain, keeping = Session.map(graph, config), Session.map(graph, config, keep_all=True)
    begin = time.perf_counter()
    library(config, None, long)
    if waves is not None:
        library(config, waves.suffix, long)
    built = time.perf_counter()
    written = set(keeping.program.places) - set(keeping.program.inputs)
    computed = [name for op in graph.operators for name in op.outputs]
    tensors = elements = cycles = off_by_one = 0
    difference: Difference | None = None
    simulated = 0.0
    for number in range(seed, seed + inputs):
        step(f"input {number - seed + 1} of {inputs}: {oracle.name + ', ' if oracle else ''}host, RTL")
        values = random_inputs(graph, number)
        kept = keeping.run(values)
        named = f"seed {number}"
        if oracle is not None:
            here = kept.tensors if kept.tensors.keys() >= set(computed) else {**execute(graph, values), **kept.tensors}
            reference = oracle.run(values, here)
            both = [name for name in computed if name in reference]
            tensors, elements = len(both), sum(here[name].size for name in both)
            off_by_one += _forgive(graph, here, reference)
            difference = first_tensor(keeping, kept.result, named, ("host", oracle.name), here, reference)
        for session in (plain, keeping):
            on_host = kept if session is keeping else session.run(values)
            cycles = on_host.result.cycles if session is plain else cycles
            start = time.perf_counter()
            first = waves if number == seed and session is plain else None
            on_rtl = session.run(values, "rtl", long, first)
            simulated += time.perf_counter() - start
            difference = difference or first_difference(session, named, on_host, on_rtl)
        if difference is not None:
            break
    return Verification(
        inputs=inputs,
        seed=seed,
        reference=None if oracle is None else oracle.name,
        reference_refusal=refusal,
        off_by_one=off_by_one,
        tensors=tensors,
        elements=elements,
        cycles=cycles,
        commands=len(plain.program.commands),
        unwritten=tuple(name for name in computed if name not in written),
        difference=difference,
        build_seconds=built - begin,
        simulate_seconds=simulated,
    )


def _forgive(graph: Graph, here: Mapping[str, np.ndarray], reference: dict[str, np.ndarray]) -> int:
    """Replaces elements of inexact tensors that differ by 1 in the reference by ours; how many."""
    count = 0
    for name in graph.inexact:
        if name in here and name in reference and here[name].shape == reference[name].shape:
            near = np.abs(here[name].astype(np.int64) - reference[name].astype(np.int64)) == 1
            count += int(near.sum())
            reference[name] = np.where(near, here[name], reference[name])
    return count
