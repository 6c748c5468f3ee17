"""`map --prove` and `map --check`: certificates, and saved mappings held against their own commands."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intaglio.machine.isa import Opcode, decode
from intaglio.program.table import table_of, words_of
from tests.cli.command import intaglio, small_network, validate


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mapping")
    model, target = small_network(folder / "net.tflite"), folder / "m.json"
    done = intaglio("map", str(model), "--config", "tiny16", "--prove", "--json", str(target))
    assert done.status == 0 and "gap to best" in done.out, done.err
    return target


def test_certificates(mapping: Path) -> None:
    document = json.loads(mapping.read_text())
    validate(document, "map")
    found = document["certificates"]
    named = [name for c in found for name in c["layers"]]
    assert named == [x["name"] for x in document["layers"] if x["where"] == "accelerator" and x["cycles"]]
    for c in found:
        assert 1 <= c["timed"] <= c["candidates"] and c["bound_cycles"] <= c["cycles"] <= c["estimated_cycles"]


def test_without_prove_there_are_none(tmp_path: Path) -> None:
    target = tmp_path / "m.json"
    assert intaglio("map", str(small_network(tmp_path / "n.tflite")), "--json", str(target)).status == 0
    assert json.loads(target.read_text())["certificates"] is None


def test_a_mapping_is_what_it_states(mapping: Path, tmp_path: Path) -> None:
    done = intaglio("map", "--check", str(mapping), "--json", str(tmp_path / "r.json"))
    assert done.status == 0, done.err
    found, document = json.loads((tmp_path / "r.json").read_text()), json.loads(mapping.read_text())
    validate(found, "recheck")
    assert found["cycles"] == document["totals"]["cycles"] and found["commands"] == document["program"]["commands"]


def _recoded(document: dict[str, Any], change: Callable[[list], None]) -> None:
    words = np.frombuffer(base64.b64decode(document["program"]["code"]), "<u4")
    commands = decode(words.tolist())
    change(commands)
    document["program"]["code"] = base64.b64encode(words_of(table_of(commands)).astype("<u4").tobytes()).decode()


def _forget_a_wait(commands: list) -> None:
    first = next(c for c in commands if c.opcode == Opcode.CONV and c["wait"])
    first.fields["wait"] = 0


def _move_more(commands: list) -> None:
    load = next(c for c in commands if c.opcode == Opcode.LOAD)
    load.fields["rows"] += 1


def _cycles(d: dict[str, Any]) -> None:
    d["totals"]["cycles"] -= 1


def _layer(d: dict[str, Any]) -> None:
    d["layers"][0]["cycles"] -= 1
    d["layers"][1]["cycles"] += 1


def _bytes(d: dict[str, Any]) -> None:
    d["layers"][0]["external_bytes"] -= 8


def _commands_of_a_layer(d: dict[str, Any]) -> None:
    d["layers"][0]["commands"]["load"] += 1


DIFFERENT: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "fewer cycles": (_cycles, "states cycles = "),
    "another layer's cycles": (_layer, "states cycles of layer 'first' = "),
    "fewer bytes": (_bytes, "states external_bytes of layer 'first' = "),
    "another machine": (lambda d: d["config"].update(cols=8), "config_hash = "),
    "a token less": (lambda d: _recoded(d, _forget_a_wait), "command "),
    "a longer load": (lambda d: _recoded(d, _move_more), "its commands give"),
    "no bytes": (lambda d: d["program"].update(memory_bytes=16), "memory_bytes = 16"),
    "fewer layers": (lambda d: d.update(layers=d["layers"][:1]), "tag = "),
    "another layer's commands": (_commands_of_a_layer, "states load commands of layer 'first' = "),
    "fewer commands stated": (lambda d: d["program"].update(commands=1), "states commands = 1"),
}
BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no machine": (lambda d: d["config"].update(cols=0), "configuration field cols = 0"),
    "no code": (lambda d: d["program"].update(code="AAA"), "not a mapping"),
    "half a command": (lambda d: d["program"].update(code=base64.b64encode(b"\x03\0\0\0").decode()), "not a mapping"),
    "text for a number": (lambda d: d["program"].update(memory_bytes="16"), "memory_bytes = '16'"),
    "another version": (lambda d: d.update(schema_version=99), "schema_version = 99: only 1 is read"),
    "no totals": (lambda d: d.pop("totals"), "not a mapping"),
    "layers of another kind": (lambda d: d.update(layers=3), "not a mapping"),
    "cycles beyond all counting": (lambda d: d["totals"].update(cycles=10**30), "not a mapping"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_is_not_as_stated(case: str, mapping: Path, tmp_path: Path) -> None:
    """Status 1, and the finding in the report and in the JSON, as verify's."""
    change, message = DIFFERENT[case]
    document = json.loads(mapping.read_text())
    change(document)
    path = tmp_path / "m.json"
    path.write_text(json.dumps(document))
    done = intaglio("map", "--check", path, "--json", tmp_path / "r.json")
    assert done.status == 1 and not done.err and f"{path}: DIFFERENT: " in done.out and message in done.out
    found = json.loads((tmp_path / "r.json").read_text())
    validate(found, "recheck")
    assert not found["equal"] and message in found["difference"]
    assert found["legal"] == (not any(word in case for word in ("token", "machine", "no bytes", "fewer layers")))


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_mapping(case: str, mapping: Path, tmp_path: Path) -> None:
    change, message = BROKEN[case]
    document = json.loads(mapping.read_text())
    change(document)
    path = tmp_path / "m.json"
    path.write_text(json.dumps(document))
    done = intaglio("map", "--check", str(path))
    assert done.status == 2 and not done.out
    assert message in done.err and "Traceback" not in done.err and done.err.count("\n") == 1


@pytest.mark.parametrize("stated", [None, 10**14])
def test_cycles_that_nobody_waits_for(stated: int | None, mapping: Path, tmp_path: Path) -> None:
    """One compute command of some 10**11 cycles; the mapping states its old number, or so many that only counting tells."""
    document = json.loads(mapping.read_text())
    if stated is not None:
        document["totals"]["cycles"] = stated

    def change(commands: list) -> None:
        next(c for c in commands if c.opcode == Opcode.CONV).fields["idle_cycles"] = 2**31 - 1

    _recoded(document, change)
    path = tmp_path / "m.json"
    path.write_text(json.dumps(document))
    done = intaglio("map", "--check", path)  # one by one they would take hours
    assert done.status == 1 and "DIFFERENT: states cycles" in done.out
    assert int(done.out.split()[-1]) > 10**10


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": 1}', "\0", "[" * 100_000])
def test_no_mapping_at_all(text: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    done = intaglio("map", "--check", str(path))
    assert done.status == 2 and done.err.count("\n") == 1 and str(path) in done.err


def test_usage(mapping: Path, tmp_path: Path) -> None:
    assert intaglio("map", "--check", str(tmp_path / "none.json")).status == 2
    assert intaglio("map").status == 2
    assert intaglio("map", "net.tflite", "--check", str(mapping)).status == 2
    assert intaglio("map", "--check", str(mapping), "--prove").status == 2
