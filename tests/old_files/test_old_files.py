"""Files that earlier code wrote are read, or refused, as docs/versions.md says. README.md says which code wrote them."""

from __future__ import annotations

import base64
import copy
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from referencing import Registry, Resource

from intaglio.cli import status
from intaglio.errors import InputError
from intaglio.hw.ledger import CAUSES
from intaglio.machine.config import INSTRUCTION_SET
from intaglio.machine.config_files import load_config, shipped_names
from intaglio.machine.counters import Counter
from intaglio.program.program import VERSION, Program
from intaglio.schema import SCHEMA_VERSION
from intaglio.sim.engines import run_program
from intaglio.verifier.validate import validate

HERE = Path(__file__).parent
SCHEMAS = HERE.parents[1] / "intaglio" / "schemas"
OLD = HERE / "instruction_set_7"
OLDER = HERE / "instruction_set_5"
HASHES = {
    "arty100": "5a6548d9cf9a9dab",
    "arty35": "0851ef535b2de46b",
    "colorlight": "3b4d3638793e34db",
    "edge1024": "752bbbc4f73c7eeb",
    "edge256": "3b5d2aaf44e002dc",
    "edge64": "e650376a6344a60f",
    "tang20k": "79b6f8105aa675a3",
    "tiny16": "988f24d29ad2dedb",
    "ulx3s": "151dadbac17960ce",
    "wide": "2643417ded754eae",
}
"""Of the shipped configurations with instruction set 7."""
KINDS = ("check", "compare", "export", "map", "quantize", "recheck", "run", "trace", "verify")


def document(kind: str, folder: Path = OLD) -> Any:
    with zipfile.ZipFile(folder / "documents.zip") as files:
        return json.loads(files.read(f"{kind}.json"))


def written(folder: Path, kind: str, **changes: object) -> Path:
    """An old document as a file of its own, some of its fields changed."""
    path = folder / f"{kind}.json"
    path.write_text(json.dumps(document(kind) | changes))
    return path


def changed_program(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The old program, its head changed."""
    with np.load(OLD / "program.npz") as old:
        head, image = json.loads(old["head"].tobytes()), old["image"]
    change(head)
    np.savez(folder / "changed.npz", head=np.frombuffer(json.dumps(head).encode(), np.uint8), image=image)
    return folder / "changed.npz"


# Programs.


def test_an_old_program_gives_the_same_outputs() -> None:
    """And all that is counted but cycles, which follow the pipelines' stages: each command may take a few more than when
    it was written."""
    config, program = load_config(OLD / "machine.yaml"), Program.load(OLD / "program.npz")
    validate(program, config)
    with np.load(OLD / "run.npz") as old:
        found = run_program(config, program, {"input": old["input"]})
        (output,) = found.outputs.values()
        assert np.array_equal(output, old["output"])
        assert int(old["cycles"]) == document("run")["totals"]["cycles"]
        assert 0 <= found.cycles - int(old["cycles"]) <= 10 * len(program.commands)
    counters = {c.name.lower(): n for c, n in found.counters.items() if c not in (Counter.CYCLES, *CAUSES)}
    assert counters == {name: n for name, n in document("run")["counters"].items() if name in counters}
    assert sum(found.counters[cause] for cause in CAUSES) == found.cycles


def test_it_says_what_it_is_when_saved_again(tmp_path: Path) -> None:
    Program.load(OLD / "program.npz").save(tmp_path / "again.npz")
    with np.load(tmp_path / "again.npz") as again:
        assert json.loads(again["head"].tobytes())["instruction_set"] == INSTRUCTION_SET
    assert Program.load(tmp_path / "again.npz") == Program.load(OLD / "program.npz")


def test_a_program_of_an_older_instruction_set_is_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"program\.npz: for another instruction set, .* \(instruction set \d+\); map the network again",
    ):
        Program.load(OLDER / "program.npz")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", VERSION + 1, f"version {VERSION + 1}, this intaglio reads {VERSION}; map the network again"),
        ("version", 0, f"version 0, this intaglio reads {VERSION}; map the network again"),
        ("instruction_set", 99, f"for instruction set 99, this intaglio has {INSTRUCTION_SET}; map the network again"),
        ("config_hash", 12, "its configuration's hash is 000000000000000c, here"),
    ],
)
def test_programs_of_other_versions_are_refused(tmp_path: Path, field: str, value: int, message: str) -> None:
    path = changed_program(tmp_path, lambda head: head.update({field: value}))
    with pytest.raises(InputError) as refused:
        Program.load(path)
    assert str(path) in str(refused.value) and message in str(refused.value)


def test_what_a_reader_may_leave_unread_is_no_new_version(tmp_path: Path) -> None:
    path = changed_program(tmp_path, lambda head: head.update({"made_for_a_reader_to_come": [1, 2]}))
    assert Program.load(path) == Program.load(OLD / "program.npz")


# Configurations.


def test_hashes_stay_within_an_instruction_set() -> None:
    assert INSTRUCTION_SET == 7, "HASHES and old files of the new one, please"
    assert {name: f"{load_config(name).hardware_hash():016x}" for name in shipped_names()} == HASHES


NEWER: dict[str, Any] = {"chip": None, "measured_clock": None, "clock_mhz": 200}
"""What shipped files have said since, none of it of the hardware."""


def test_an_old_configuration_is_the_machine_that_it_was() -> None:
    old = load_config(OLD / "machine.yaml")
    assert f"{old.hardware_hash():016x}" == document("map")["config_hash"] == HASHES["tiny16"]
    assert old == replace(load_config("tiny16"), **NEWER)


def test_a_field_that_an_older_file_lacks_has_its_default() -> None:
    older = load_config(OLDER / "machine.yaml")
    assert "weight_lanes" not in (OLDER / "machine.yaml").read_text()
    assert older == replace(load_config("tiny16"), **NEWER)


def test_a_field_of_a_newer_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "newer.yaml").write_text((OLD / "machine.yaml").read_text() + "systolic_depth: 3\n")
    with pytest.raises(
        InputError, match=r"newer\.yaml: unknown configuration field systolic_depth; the fields are .*rows"
    ):
        load_config(tmp_path / "newer.yaml")


# JSON documents.


def validator(kind: str) -> Any:
    resources = [(path.name, Resource.from_contents(json.loads(path.read_text()))) for path in SCHEMAS.glob("*.json")]
    schema = json.loads((SCHEMAS / f"{kind}.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=Registry().with_resources(resources))


def paths(value: Any, here: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every key of every object, of each list in its first entry."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*here, key)
            yield from paths(inner, (*here, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*here, 0))


def without(value: Any, path: tuple[str | int, ...]) -> Any:
    out = copy.deepcopy(value)
    inner = out
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return out


def faults(check: Any, value: Any) -> set[tuple[Any, ...]]:
    return {(*error.absolute_path, error.validator, error.message) for error in check.iter_errors(value)}


def new_fault(check: Any, value: Any, known: set[tuple[Any, ...]]) -> bool:
    """True at the first fault that is not known."""
    errors = check.iter_errors(value)
    return any((*error.absolute_path, error.validator, error.message) not in known for error in errors)


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_document_fits_but_for_fields_added_since(kind: str) -> None:
    """All of a document that a reader of its version relies on is there with its type, under the same number."""
    old = document(kind)
    assert old.get("otherData", old)["schema_version"] == SCHEMA_VERSION
    assert [fault for fault in faults(validator(kind), old) if fault[-2] != "required"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_of_an_old_document_may_be_left_out(kind: str) -> None:
    check, old = validator(kind), document(kind)
    known = faults(check, old)
    assert [path for path in paths(old) if not new_fault(check, without(old, path), known)] == []


def test_an_old_mapping_is_held_against_its_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which take as many cycles as today's pipelines give them."""
    path = written(tmp_path, "map")
    assert status(["map", "--check", str(path)]) == 1
    config, program = load_config(OLD / "machine.yaml"), Program.load(OLD / "program.npz")
    told, cycles = capsys.readouterr().out, document("map")["totals"]["cycles"]
    now = run_program(config, program, {"input": np.load(OLD / "run.npz")["input"]}).cycles
    assert f"DIFFERENT: states cycles = {cycles}, its commands give {now}" in " ".join(told.split())


@pytest.mark.parametrize("version", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
def test_a_mapping_of_another_version_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: int
) -> None:
    path = written(tmp_path, "map", schema_version=version)
    assert status(["map", "--check", str(path)]) == 2
    message = capsys.readouterr().err
    assert f"{path}: schema_version = {version}: only {SCHEMA_VERSION} is read; write it again" in message


def test_a_mapping_of_an_older_instruction_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its commands can still be read by chance: then it is not as it states, on a machine of today. Else it is no mapping."""
    path, older = tmp_path / "older.json", document("map", OLDER)
    path.write_text(json.dumps(older))
    assert status(["map", "--check", str(path)]) == 1
    told = capsys.readouterr().out
    assert f"config_hash = '{older['config_hash']}' is not that of its configuration" in told
    assert f"with instruction set {INSTRUCTION_SET} it is {HASHES['tiny16']}" in " ".join(told.split())
    code = bytearray(base64.b64decode(older["program"]["code"]))
    code[0] = 0xFF  # an opcode that there is not
    older["program"]["code"] = base64.b64encode(code).decode()
    path.write_text(json.dumps(older))
    assert status(["map", "--check", str(path)]) == 2
    message = capsys.readouterr().err
    assert f"{path}: for another instruction set" in message and "write it again" in message
