"""Configurations from files, by name or path, and from plain values; a refusal names the file and the field."""

from __future__ import annotations

import dataclasses
import reprlib
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from intaglio.errors import InputError
from intaglio.files import read_bytes
from intaglio.machine.clock import measured_clock_of
from intaglio.machine.config import KIB, Config
from intaglio.machine.memory import MemoryConfig
from intaglio.unique_keys import UniqueKeys

LARGEST_CONFIG = 64 * KIB
"""Bytes of a configuration file; YAML of no more is parsed at once."""


def shipped_names() -> list[str]:
    folder = resources.files("intaglio") / "configs"
    return sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_config(config: str | Path = "edge64", overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """A shipped configuration by name, or a YAML file by path, with overrides "field=value" (dotted) applied. Of a shipped one
    feed_bytes and partial_bytes follow where its shape changes, unless they are set too; what a file states, stays.

    Raises InputError that names the file or field, the reason and the remedy.
    """
    text, where = _read(str(config))
    data = _fields(text, where)
    for item in overrides:
        _override(data, item)
    named = {item.partition("=")[0] for item in overrides}
    for follower, shape in (
        ("feed_bytes", {"rows", "requantizers"}),
        ("partial_bytes", {"rows", "cols", "requantizers"}),
    ):
        if where in shipped_names() and named & shape and follower not in named:
            data[follower] = 0
    return config_from_dict(data, where)


def config_from_text(text: str, where: str) -> Config:
    """A Config from YAML, as in a file; where names it in messages."""
    return config_from_dict(_fields(text, where), where)


def _fields(text: str, where: str) -> dict[str, Any]:
    data = _yaml(text, f"configuration {where}", "`intaglio configs edge64` prints one to start from")
    if not isinstance(data, dict):
        found = "nothing" if data is None else type(data).__name__
        raise InputError(
            f"{where}: a configuration is a mapping of fields to values, "
            f"not {found}; `intaglio configs edge64` prints one to start from"
        )
    return data


def config_from_dict(data: dict[str, Any], where: str = "configuration") -> Config:
    """A Config from plain values; where names their origin in messages. A clock_mhz left out is measured_clock's, if there is one."""
    data = dict(data)
    _known(data, [f.name for f in dataclasses.fields(Config)], where, "")
    memory = data.get("memory", {})
    if not isinstance(memory, dict):
        raise InputError(
            f"{where}: configuration field memory = {reprlib.repr(memory)}: must be a mapping of "
            f"bytes_per_cycle, latency, outstanding (external memory)"
        )
    _known(memory, [f.name for f in dataclasses.fields(MemoryConfig)], where, "memory.")
    data["memory"] = MemoryConfig(**memory)
    for key in ("weight_bits", "activation_bits", "rounding"):
        if isinstance(data.get(key), list):
            data[key] = tuple(data[key])
    try:
        measured = data["measured_clock"] = measured_clock_of(data.get("measured_clock"))
        if measured is not None:
            data.setdefault("clock_mhz", measured.mhz)
        return Config(**data)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _known(data: dict[Any, Any], names: list[str], where: str, prefix: str) -> None:
    for key in data:
        if key not in names:
            raise InputError(
                f"{where}: unknown configuration field {prefix}{key}; "
                f"the fields are {', '.join(prefix + n for n in names)}"
            )


def _yaml(text: str, where: str, remedy: str) -> Any:
    try:
        return yaml.load(text, UniqueKeys)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a value such as the date 2001-99-99
        raise InputError(f"{where}: not YAML ({' '.join(str(error).split())[:300]}); {remedy}") from None


def _read(config: str) -> tuple[str, str]:
    shipped = shipped_names()
    if config in shipped:
        return (resources.files("intaglio") / "configs" / f"{config}.yaml").read_text(), config
    data = read_bytes(Path(config), f"give a YAML file or one of {', '.join(shipped)}", LARGEST_CONFIG)
    try:
        return data.decode(), config
    except UnicodeDecodeError:
        raise InputError(f"{config}: not a text file; a configuration is YAML") from None


def _override(data: dict[str, Any], item: str) -> None:
    name, equals, text = item.partition("=")
    if not equals or not name:
        raise InputError(f"--set {item}: write FIELD=VALUE, for example --set memory.latency=100")
    value = _yaml(text, f"--set {item[:100]}", "write FIELD=VALUE with a number, a name or a [list]")
    target: Any = data
    *parents, leaf = name.split(".")
    for part in parents:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise InputError(f"--set {item}: {part} has no fields of its own")
    target[leaf] = value
