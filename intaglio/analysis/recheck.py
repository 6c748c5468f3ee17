"""A saved mapping held against its own commands, by code that has no part in making mappings.

Legality is `verifier.validate`'s, which proves ports, bytes and tokens from footprints of its own; cycles come from the clock
that steps through them (where the array alone counts down it does so at once); bytes are counted from the commands' words.
"""

from __future__ import annotations

import base64
import binascii
import json
import reprlib
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from intaglio.errors import InputError
from intaglio.files import read_bytes
from intaglio.machine.config import INSTRUCTION_SET, Config
from intaglio.machine.config_files import config_from_dict
from intaglio.machine.isa import TRANSFERS, Command, Engine, decode
from intaglio.machine.timing import compute_cycles, lead_cycles
from intaglio.schema import SCHEMA_VERSION
from intaglio.sim.clock.cycle_model import run_cycles
from intaglio.sim.clock.result import StuckError
from intaglio.verifier.validate import validate_commands

REMEDY = "write it again with `intaglio map MODEL --json M.json`"


LARGEST_MAPPING = 256 * 2**20
"""Bytes of a mapping that is read."""
MOST_VALUES = 4 * 2**20
"""Commas and brackets in it: each can become an object of a hundred bytes and more."""
MOST_CYCLES = 2**53
"""Cycles that are counted: JSON's readers take whole numbers up to here."""


ENGINES = tuple(engine.name.lower() for engine in Engine)


@dataclass(frozen=True)
class Recheck:
    """The result of a check. legal: whether every command is; difference: the first thing that is not as the mapping
    states it, None if everything is. cycles: of the commands; None where they are not legal, or more than stated
    whatever the memory does."""

    legal: bool
    difference: str | None
    commands: int
    cycles: int | None
    external_bytes: int
    command_bytes: int
    layers: int


@dataclass(frozen=True)
class _Stated:
    """A mapping's own words. layers: name, cycles, bytes of each, and commands by engine."""

    config: Config
    words: np.ndarray
    commands: tuple[Command, ...]
    config_hash: object
    memory_bytes: int
    figures: dict[str, int]
    layers: list[tuple[str, int, int, dict[str, int]]]


class _Different(Exception):
    """The difference as a message; legal: whether the commands are."""

    def __init__(self, message: str, legal: bool = True):
        super().__init__(message)
        self.legal = legal


def recheck(path: Path) -> Recheck:
    """Holds a mapping against its commands. Raises InputError where the file is no mapping."""
    stated = _stated(path)
    moved = _moved(stated.commands)
    cycles, difference, legal = None, None, True
    try:
        cycles = _checked(stated, moved)
    except _Different as found:
        difference, legal = str(found), found.legal
    return Recheck(
        legal, difference, len(stated.commands), cycles, sum(moved.values()), 4 * len(stated.words), len(stated.layers)
    )


def _stated(path: Path) -> _Stated:
    document = _read(path)
    if document.get("schema_version") != SCHEMA_VERSION:
        _refuse(path, f"schema_version = {reprlib.repr(document.get('schema_version'))}: only {SCHEMA_VERSION} is read")
    try:
        config = config_from_dict(document["config"], "its configuration")
        totals, program = document["totals"], document["program"]
        code = base64.b64decode(program["code"], validate=True)
        if len(code) % 4:
            raise ValueError(f"its code has {len(code)} bytes, no whole number of 32-bit words")
        words = np.frombuffer(code, "<u4").astype(np.uint32)
        return _Stated(
            config=config,
            words=words,
            commands=_decoded(words, config, document.get("config_hash")),
            config_hash=document.get("config_hash"),
            memory_bytes=_whole("memory_bytes", program["memory_bytes"]),
            figures={
                "commands": _whole("commands", program["commands"]),
                **{name: _whole(name, totals[name]) for name in ("cycles", "external_bytes", "command_bytes")},
            },
            layers=[
                (
                    str(layer["name"]),
                    _whole("cycles", layer["cycles"] or 0),
                    _whole("external_bytes", layer["external_bytes"]),
                    {engine: _whole(f"commands of {engine}", layer["commands"][engine]) for engine in ENGINES},
                )
                for layer in document["layers"]
            ],
        )
    except InputError as error:
        _refuse(path, str(error))
    except KeyError as error:
        _refuse(path, f"not a mapping: it has no {error}")
    except (TypeError, AttributeError, ValueError, binascii.Error) as error:
        _refuse(path, f"not a mapping ({type(error).__name__}: {error})"[:300])


def _decoded(words: np.ndarray, config: Config, config_hash: object) -> tuple[Command, ...]:
    """The commands. Raises InputError if they are none, and the hash tells that they are for another instruction set;
    else ValueError."""
    try:
        return tuple(decode(words.tolist()))
    except ValueError as error:
        if config_hash == f"{config.hardware_hash():016x}":
            raise
        raise InputError(
            f"for another instruction set, or a machine with other fields: config_hash = {reprlib.repr(config_hash)} is not that "
            f"of its configuration here (instruction set {INSTRUCTION_SET}), and its commands are none ({error})"
        ) from None


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_CYCLES:
        raise ValueError(f"{name} = {reprlib.repr(value)} is no number of them")
    return value


def _checked(stated: _Stated, moved: dict[int, int]) -> int:
    """The cycles, if all is as stated; else _Different."""
    config, words, commands, figures = stated.config, stated.words, stated.commands, stated.figures
    if stated.config_hash != f"{config.hardware_hash():016x}":
        raise _Different(
            f"config_hash = {reprlib.repr(stated.config_hash)} is not that of its configuration; with instruction set "
            f"{INSTRUCTION_SET} it is {config.hardware_hash():016x}",
            legal=False,
        )
    if not 4 * len(words) <= stated.memory_bytes <= 1 << 32:
        raise _Different(
            f"memory_bytes = {stated.memory_bytes} does not hold its commands, or is above 4 GiB", legal=False
        )
    try:
        validate_commands(commands, config, stated.memory_bytes, len(stated.layers))
    except InputError as error:
        raise _Different(str(error).removesuffix("; map the network again"), legal=False) from None
    _same("commands", figures["commands"], len(commands))
    computes = [command for command in commands if command.engine == Engine.COMPUTE]
    lengths = np.array([compute_cycles(config, command) for command in computes], np.int64)
    leads = np.array([0, *(lead_cycles(config, *pair) for pair in pairwise(computes))][: len(computes)], np.int64)
    alone = int((lengths - leads).sum())
    if alone > figures["cycles"]:  # without counting them: a wrong field can make billions of cycles
        raise _Different(f"states cycles = {figures['cycles']}, its compute commands alone take {alone}")
    try:
        cycles, by_layer = _clock(config, words, commands, lengths, leads)
    except StuckError as error:
        raise _Different(f"its commands do not end: {error}", legal=False) from None
    _same("cycles", figures["cycles"], cycles)
    _same("external_bytes", figures["external_bytes"], sum(moved.values()))
    _same("command_bytes", figures["command_bytes"], 4 * len(words))
    counted = Counter((command["tag"], command.engine.name.lower()) for command in commands)
    for tag, (name, layer_cycles, layer_bytes, layer_commands) in enumerate(stated.layers):
        _same(f"cycles of layer {name!r}", layer_cycles, by_layer.get(tag, 0))
        _same(f"external_bytes of layer {name!r}", layer_bytes, moved.get(tag, 0))
        for engine, count in layer_commands.items():
            _same(f"{engine} commands of layer {name!r}", count, counted[tag, engine])
    return cycles


def _read(path: Path) -> dict[str, Any]:
    data = read_bytes(path, "give a file that `intaglio map --json` wrote", LARGEST_MAPPING)
    values = sum(data.count(mark) for mark in (b",", b"[", b"{"))
    if values > MOST_VALUES:
        _refuse(path, f"not a mapping: it has {values} values, more than {MOST_VALUES}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"no JSON ({' '.join(str(error).split())[:200]})")
    if not isinstance(document, dict):
        _refuse(path, "not a mapping")
    return document


def _clock(
    config: Config, words: np.ndarray, commands: tuple[Command, ...], lengths: np.ndarray, leads: np.ndarray
) -> tuple[int, dict[int, int]]:
    """Cycles, and those of each layer: up to and with the cycle in which COMPUTE retires a command they are its
    layer's, the rest the last one's."""
    compute = [i for i, command in enumerate(commands) if command.engine == Engine.COMPUTE]
    clock = run_cycles(config, words, lengths, leads=leads)
    out: dict[int, int] = {}
    begin = 0
    for i in compute:
        end = clock.cycles if i == compute[-1] else int(clock.retire_cycles[i]) + 1
        out[commands[i]["tag"]] = out.get(commands[i]["tag"], 0) + end - begin
        begin = end
    return clock.cycles, out


def _moved(commands: tuple[Command, ...]) -> dict[int, int]:
    """Bytes that LOAD and STORE move, by layer."""
    out: dict[int, int] = {}
    for command in commands:
        if command.opcode in TRANSFERS:
            out[command["tag"]] = out.get(command["tag"], 0) + command["rows"] * command["row_bytes"]
    return out


def _same(what: str, stated: int, found: int) -> None:
    if stated != found:
        raise _Different(f"states {what} = {stated}, its commands give {found}")


def _refuse(path: Path, reason: str) -> NoReturn:
    raise InputError(f"mapping {path}: {reason}; {REMEDY}")
