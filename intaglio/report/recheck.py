"""A saved mapping held against its own commands, by code that has no part in making mappings.

Legality is `mapper.validate`'s, which proves ports, bytes and tokens from footprints of its own; cycles come from the clock
that steps through every one of them; bytes are counted from the commands' words.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from intaglio.errors import InputError
from intaglio.hw.config import Config, config_from_dict
from intaglio.hw.isa import Command, Engine, Opcode, decode
from intaglio.hw.timing import compute_cycles
from intaglio.mapper.validate import validate_commands
from intaglio.sim.cycle_model import run_cycles

REMEDY = "write it again with `intaglio map MODEL --json M.json`"


@dataclass(frozen=True)
class Recheck:
    """What was found, all of it as the mapping states it."""

    commands: int
    cycles: int
    external_bytes: int
    command_bytes: int
    layers: int


def recheck(path: Path) -> Recheck:
    """Raises InputError where the file is no mapping, a command is illegal, or a figure is not what its commands give."""
    document = _read(path)
    try:
        config = config_from_dict(document["config"], "its configuration")
        stated, layers, program = document["totals"], document["layers"], document["program"]
        words = np.frombuffer(base64.b64decode(program["code"], validate=True), "<u4").astype(np.uint32)
        commands = tuple(decode(words.tolist()))
        figures = {name: stated[name] for name in ("cycles", "external_bytes", "command_bytes")}
        per_layer = [(layer["name"], layer["cycles"] or 0, layer["external_bytes"]) for layer in layers]
        memory_bytes, count = program["memory_bytes"], program["commands"]
    except InputError as error:
        _refuse(path, str(error))
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        _refuse(path, f"not a mapping ({type(error).__name__}: {error})")
    if document.get("config_hash") != f"{config.hardware_hash():016x}":
        _refuse(path, f"config_hash = {document.get('config_hash')!r} is not that of its configuration")
    if not isinstance(memory_bytes, int) or not 4 * len(words) <= memory_bytes <= 1 << 32:
        _refuse(path, f"memory_bytes = {memory_bytes!r} does not hold its commands, or is above 4 GiB")
    validate_commands(commands, config, memory_bytes, len(layers))
    cycles, by_layer = _clock(config, words, commands)
    moved = _moved(commands)
    _same(path, "commands", count, len(commands))
    _same(path, "cycles", figures["cycles"], cycles)
    _same(path, "external_bytes", figures["external_bytes"], sum(moved.values()))
    _same(path, "command_bytes", figures["command_bytes"], 4 * len(words))
    for tag, (name, stated_cycles, stated_bytes) in enumerate(per_layer):
        _same(path, f"cycles of layer {name!r}", stated_cycles, by_layer.get(tag, 0))
        _same(path, f"external_bytes of layer {name!r}", stated_bytes, moved.get(tag, 0))
    return Recheck(len(commands), cycles, sum(moved.values()), 4 * len(words), len(per_layer))


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"mapping {path}: {error.strerror or 'cannot be read'}; give a file that `intaglio map` wrote") from None
    except (ValueError, RecursionError) as error:
        _refuse(path, f"no JSON ({' '.join(str(error).split())[:200]})")
    if not isinstance(document, dict):
        _refuse(path, "not a mapping")
    return document


def _clock(config: Config, words: np.ndarray, commands: tuple[Command, ...]) -> tuple[int, dict[int, int]]:
    """Cycles, and those of each layer: up to and with the cycle in which COMPUTE retires a command they are its layer's, the
    rest the last one's."""
    compute = [i for i, command in enumerate(commands) if command.engine == Engine.COMPUTE]
    lengths = np.array([compute_cycles(config, commands[i]) for i in compute], np.int64)
    clock = run_cycles(config, words, lengths)
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
        if command.opcode in (Opcode.LOAD, Opcode.STORE):
            out[command["tag"]] = out.get(command["tag"], 0) + command["rows"] * command["row_bytes"]
    return out


def _same(path: Path, what: str, stated: object, found: int) -> None:
    if stated != found:
        _refuse(path, f"states {what} = {stated!r}, its commands give {found}")


def _refuse(path: Path, reason: str) -> NoReturn:
    raise InputError(f"mapping {path}: {reason}; {REMEDY}")
