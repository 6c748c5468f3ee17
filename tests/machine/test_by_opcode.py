"""Every part of what a command is has an entry for every opcode, and an unknown opcode is an error everywhere."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import intaglio
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Command, decode
from intaglio.machine.opcodes import ENGINE_OF, ByOpcode, Engine, Opcode
from intaglio.machine.timing import compute_cycles
from intaglio.program.table import table_of
from intaglio.sim.ledger import count
from intaglio.verifier.legality import rules

UNKNOWN = 99
PARTS = {
    "format",
    "legality",
    "footprint",
    "footprint's roles",
    "accesses",
    "in place",
    "timing",
    "end known",
    "on the array",
    "kernels",
    "counts",
    "elements",
    "operands",
    "causes of cycles",
    "written element",
    "tiles of a command",
    "tiles on the trace",
    "count of tiles",
    "brief on the trace",
    "bytes touched",
}


@pytest.fixture(scope="module")
def parts() -> dict[str, ByOpcode]:
    """Those of all modules, tests' own left out."""
    for module in pkgutil.walk_packages(intaglio.__path__, "intaglio."):
        if not module.name.endswith("__main__") and not module.name.startswith("intaglio.hw."):
            importlib.import_module(module.name)
    return {name: part for name, part in ByOpcode.parts.items() if not name.startswith("test")}


def test_parts_are_all_there(parts: dict[str, ByOpcode]) -> None:
    assert parts.keys() == PARTS


def test_every_part_has_every_opcode_of_an_engine_or_of_all(parts: dict[str, ByOpcode]) -> None:
    compute = {opcode for opcode in Opcode if ENGINE_OF[opcode] is Engine.COMPUTE}
    for name, part in parts.items():
        assert set(part) in (set(Opcode), compute), name
        with pytest.raises(LookupError, match=f"{name}: none for opcode {UNKNOWN}"):
            part[UNKNOWN]


def test_a_part_that_lacks_an_opcode_cannot_be_made() -> None:
    some = dict.fromkeys(Opcode, 0)
    assert ByOpcode("test", some)[Opcode.ADD] == 0
    with pytest.raises(ValueError, match="test: has"):
        ByOpcode("test", {opcode: 0 for opcode in Opcode if opcode is not Opcode.POOL})
    with pytest.raises(ValueError, match="test: has"):
        ByOpcode("test", some, Engine.COMPUTE)


def test_commands_of_an_unknown_opcode() -> None:
    config, command = load_config("tiny16"), Command(UNKNOWN, {})
    with pytest.raises(ValueError, match=f"unknown opcode {UNKNOWN}"):
        decode([UNKNOWN] + [0] * 31)
    with pytest.raises(ValueError, match=f"{UNKNOWN}"):
        table_of([command])
    for use in (
        lambda: compute_cycles(config, command),
        lambda: list(rules(config, command)),
        lambda: count(config, [command]),
    ):
        with pytest.raises(LookupError, match=f"none for opcode {UNKNOWN}"):
            use()
