"""The way from an integer graph to a Program: layers to tiles, order, addresses, commands and tokens."""

from __future__ import annotations

from intaglio.errors import InputError
from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.mapper.emit.emission import Emission
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.emit.overlap import overlapped
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.schedule.residency import Scheduler
from intaglio.mapper.schedule.schedule import Schedule
from intaglio.mapper.schedule.viewed import with_views
from intaglio.mapper.search.by_objective import schedule_by
from intaglio.mapper.search.objective import Objective
from intaglio.mapper.search.polish import polished
from intaglio.mapper.search.prove import Certificate, prove
from intaglio.mapper.search.quiet import collector_paused
from intaglio.mapper.search.stopwatch import Clock
from intaglio.network.graph import Graph
from intaglio.program.layout import align_up
from intaglio.program.program import BASE_ALIGNMENT, PROGRAM_OFFSET, Place, Program
from intaglio.program.table import words_of
from intaglio.verifier.validate import validate

__all__ = ["Certificate", "Objective", "Program", "map_network", "map_proven"]


@collector_paused()
def map_network(
    graph: Graph, config: Config, keep_all: bool = False, objective: Objective | None = None, clock: Clock | None = None
) -> Program:
    """Schedules an int8 graph onto a configuration by estimates; the program is validated.

    keep_all: every tensor of the accelerator also gets a place in external memory, for comparison. objective: by default
    cycles alone. clock: gives the exact cycles of commands; then the schedule by cycles is polished by them (polish.py).
    Raises InputError with everything that cannot run, or with the field of the configuration that is too small.
    """
    network = with_views(graph, config, keep_all)
    if objective is not None:
        return program_of(graph, config, emit(network, config, schedule_by(network, config, keep_all, objective)))
    return program_of(graph, config, emit(network, config, _fastest(network, config, keep_all, clock)))


@collector_paused()
def map_proven(graph: Graph, config: Config, clock: Clock, keep_all: bool = False) -> tuple[Program, list[Certificate]]:
    """The same with the plans that are best under exact timing, and the certificates. clock: gives the cycles of commands."""
    network = with_views(graph, config, keep_all)
    schedule, certificates = prove(network, config, _fastest(network, config, keep_all, clock), clock)
    return program_of(graph, config, emit(network, config, schedule)), certificates


def _fastest(network: Lowered, config: Config, keep_all: bool, clock: Clock | None) -> Schedule:
    if clock is None:
        return Scheduler(network, config, keep_all).run()
    return polished(network, config, keep_all, clock)


def program_of(graph: Graph, config: Config, emitted: Emission) -> Program:
    """Commands and data as a validated program. emitted: of a graph as tasks; its commands are changed in place."""
    network = emitted.network
    code_bytes = 4 * sum(isa.WORDS_OF[c.opcode] for c in emitted.commands)
    data = align_up(PROGRAM_OFFSET + code_bytes, BASE_ALIGNMENT)
    if data + emitted.size >= 1 << 32:
        raise InputError(
            f"network {graph.name!r} needs {data + emitted.size} bytes of external memory; addresses have "
            "32 bits; use a smaller network"
        )
    code = _placed(config, emitted, data)
    places = {
        name: Place.of(x.layout, data + emitted.bases[x.value])
        for name, x in network.operands.items()
        if x.value in emitted.bases and name in graph.tensors  # copies that no file names have no place of their own
    }
    program = Program(
        network=graph.name,
        config=config.to_dict(),
        config_hash=config.hardware_hash(),
        commands=tuple(emitted.commands),
        image=bytes(PROGRAM_OFFSET) + code + bytes(data - PROGRAM_OFFSET - len(code)) + emitted.constants(),
        memory_bytes=data + emitted.size,
        places=places,
        inputs=network.inputs,
        outputs=network.outputs,
        layers=network.layers,
    )
    validate(program, config)
    return program


def _placed(config: Config, emitted: Emission, data: int) -> bytes:
    """The words of the emission's commands, whose external addresses count from `data` from now on."""
    table = overlapped(config, emitted)
    for opcode in isa.TRANSFERS:
        for i in table.at.get(opcode, ()):
            emitted.commands[i].fields["external"] += data
        if opcode in table.records:
            table.records[opcode]["external"] += data
    return words_of(table).astype("<u4").tobytes()
