"""Proves a Program safe on a configuration, without trusting how it was made.

Every command legal; sums continued where they were kept; the image whole; dispatch, queues and tokens without a
deadlock and without a counter's overflow; and each pair of commands of different engines that must not overlap or
change places ordered by tokens. Ordering is by vector clocks over the three engines (liveness.py), footprints are this
side's own (footprint.py, conflicts.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.isa import Command
from intaglio.program.program import PROGRAM_OFFSET, VERSION, Program
from intaglio.program.table import Table, words_of
from intaglio.verifier.conflicts import first_conflict
from intaglio.verifier.continuation import continuation_faults
from intaglio.verifier.legality import examine
from intaglio.verifier.liveness import clocks, links_of, order_of


def validate(program: Program, config: Config) -> None:
    """Raises InputError that names the first command at fault, or the part of the program."""
    _check_frame(program, config)
    table = validate_commands(program.commands, config, program.memory_bytes, len(program.layers))
    code = words_of(table).astype("<u4").tobytes()
    if code != program.image[PROGRAM_OFFSET : PROGRAM_OFFSET + len(code)]:
        raise InputError("program: its image does not begin with its commands; map the network again")


def validate_commands(commands: Sequence[Command], config: Config, memory_bytes: int, layers: int) -> Table:
    """The commands' table. Raises InputError that names the first command at fault. memory_bytes: of external memory; layers:
    tags are less."""
    table, touched, fault = examine(config, commands, memory_bytes)
    tags = table.header["tag"]
    foreign = np.flatnonzero(tags >= layers)
    if foreign.size and (fault is None or foreign[0] < fault[0]):
        fault = int(foreign[0]), f"tag = {tags[foreign[0]]}, the program has {layers} layers"
    fault = fault or next(continuation_faults(config, commands), None)
    if fault is not None:
        _refuse(commands, *fault)
    links = links_of(table)
    order, fault = order_of(links)
    if fault is not None:
        _refuse(commands, *fault)
    conflict = first_conflict(touched, links.engines, clocks(links, order))
    if conflict is not None:
        later, earlier, reason = conflict
        engine = commands[earlier].engine.name
        _refuse(commands, later, f"may overlap command {earlier} ({engine}): {reason}")
    return table


def _refuse(commands: Sequence[Command], index: int, reason: str) -> NoReturn:
    raise InputError(f"program: command {index} ({commands[index].opcode.name}): {reason}; map the network again")


def _check_frame(program: Program, config: Config) -> None:
    if program.version != VERSION:
        raise InputError(f"program: version {program.version}, this intaglio has {VERSION}; map again")
    if program.config_hash != config.hardware_hash():
        raise InputError(
            f"program: made for configuration hash {program.config_hash:016x}, {config.name!r} has "
            f"{config.hardware_hash():016x}; map the network for this configuration"
        )
    if not len(program.image) <= program.memory_bytes <= 1 << 32:
        raise InputError(f"program: memory_bytes = {program.memory_bytes} does not hold the image, or is above 4 GiB")
    for name in (*program.inputs, *program.outputs):
        if name not in program.places:
            raise InputError(f"program: tensor {name!r} has no place; map the network again")
    for name, place in program.places.items():
        if fault := place.fault():
            raise InputError(f"program: the place of tensor {name!r} is malformed ({fault}); map the network again")
        built = [known.name for known in config.activation_formats]
        if place.format not in built:
            raise InputError(
                f"program: tensor {name!r} has {place.format} elements, {config.name!r} has {', '.join(built)} built in; "
                "map the network for this configuration"
            )
        if place.offset + (place.rows - 1) * place.row_stride + place.row_bytes > program.memory_bytes:
            raise InputError(f"program: tensor {name!r} ends beyond memory_bytes; map the network again")
