"""What an export holds, and where it refuses to write; no RTL."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from intaglio import data
from intaglio.errors import InputError, OutputError
from intaglio.export import Bundle, check_folder, make_bundle, write_folder
from intaglio.export.c_registers import registers_header
from intaglio.export.c_text import comment_text, float_literal, identifiers
from intaglio.export.image import hex_words
from intaglio.machine.config import Config
from intaglio.machine.config_files import config_from_dict, load_config
from intaglio.machine.registers import TABLE
from intaglio.network import Graph, load
from intaglio.session import Session
from tests.cli.command import intaglio, small_network, validate
from tests.export.exported import compile_all, need_compilers

VERILOG = "module intaglio (\n  input wire clk,\n  output reg [63:0] m_axi_wdata,\n  output wire [2:0] retire\n);\nendmodule\n"
HOSTILE = (
    "*/ #error out /*",
    "a\\",
    'line\nbreak\r"quote" %s $x ${y}',
    "??/",
    "`|<b>",
    "input",
    "INPUT",
    "in put",
    "",
    "ü" * 300,
)


def bundle_of(graph: Graph, config: str = "tiny16") -> Bundle:
    return make_bundle("m.tflite", b"model", Session.map(graph, load_config(config)), VERILOG)


@pytest.fixture(scope="module")
def shipped() -> tuple[Session, Bundle]:
    session = Session.map(load(data.MODEL), load_config("tiny16"))
    return session, make_bundle(data.MODEL.name, data.MODEL.read_bytes(), session, VERILOG)


def constants(text: str) -> dict[str, str]:
    """#define NAME VALUE of a header, without comments."""
    plain = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return {m[1]: m[2].strip() for m in re.finditer(r"^#define (\w+) (.+)$", plain, re.MULTILINE)}


def test_header_agrees_with_the_program(shipped: tuple[Session, Bundle]) -> None:
    session, bundle = shipped
    program = session.program
    found = constants(bundle.files["intaglio_network.h"].decode())

    def number(name: str) -> int:
        return int(found[f"INTAGLIO_{name}"].strip("()").removesuffix("u"), 0)

    assert number("PROGRAM_BYTES") == 4 * len(program.words())
    assert number("IMAGE_BYTES") == len(program.image) == len(bundle.files["image.bin"])
    assert number("MEMORY_BYTES") == program.memory_bytes
    assert number("CONFIGURATION_HASH_HIGH") << 32 | number("CONFIGURATION_HASH_LOW") == program.config_hash
    assert number("EXPECTED_CYCLES") == session.clock().cycles
    for role, name in (("INPUT", program.inputs[0]), ("OUTPUT", program.outputs[0])):
        place, q = program.places[name], session.graph.tensors[name].quantization
        assert q is not None
        for field in ("offset", "rows", "row_bytes", "row_stride"):
            assert number(f"{role}_{name}_{field.upper()}") == getattr(place, field)
        assert number(f"{role}_{name}_ZERO_POINT") == q.zero_point[0]
        assert float.fromhex(found[f"INTAGLIO_{role}_{name}_SCALE"].removesuffix("f")) == float(q.scale[0])


def test_image_as_text_and_as_bytes(shipped: tuple[Session, Bundle]) -> None:
    session, bundle = shipped
    first, *words = bundle.files["image.hex"].decode().splitlines()
    assert first == f"// {len(words)} words of 64 bits, little endian, from offset 0"
    content = b"".join(bytes.fromhex(word)[::-1] for word in words)
    assert content == bundle.files["image.bin"] == session.program.image
    assert hex_words(b"\x01\x02\x03\x04\x05", 4).splitlines()[1:] == ["04030201", "00000005"]


def test_register_header_is_the_table() -> None:
    for counters in False, True:
        found = constants(registers_header(Config(counters=counters)))
        assert found["INTAGLIO_COUNTERS"] == f"{int(counters)}u"
        for entry in TABLE:
            assert int(found[f"INTAGLIO_REG_{entry.name}"].removesuffix("u"), 0) == entry.offset


def test_manifest(shipped: tuple[Session, Bundle]) -> None:
    session, bundle = shipped
    manifest = json.loads(bundle.files["manifest.json"])
    assert manifest == bundle.manifest
    validate(manifest, "export")
    assert {f["name"] for f in manifest["files"]} | {"manifest.json"} == set(bundle.files)
    for file in manifest["files"]:
        content = bundle.files[file["name"]]
        assert file["bytes"] == len(content) and file["sha256"] == hashlib.sha256(content).hexdigest()
    assert sum(layer["cycles"] or 0 for layer in manifest["layers"]) == manifest["cycles"] == session.clock().cycles
    assert [step["function"] for step in manifest["host_steps"]] == [
        "intaglio_quantize_away",
        "intaglio_softmax",
        "intaglio_dequantize",
    ]
    config = config_from_dict(yaml.safe_load(bundle.files["intaglio.yaml"]), "exported")
    assert f"{config.hardware_hash():016x}" == manifest["config_hash"]


def test_same_input_same_bytes(shipped: tuple[Session, Bundle]) -> None:
    session = Session.map(load(data.MODEL), load_config("tiny16"))
    again = make_bundle(data.MODEL.name, data.MODEL.read_bytes(), session, VERILOG)
    assert again.files == shipped[1].files


def test_readme_names_every_file_and_port(shipped: tuple[Session, Bundle]) -> None:
    files = shipped[1].files
    text = files["README.md"].decode()
    for name in set(files) - {"README.md"}:
        assert f"`{name}`" in text
    assert (
        "    .clk(clk),\n    .m_axi_wdata(m_axi_wdata),\n    .retire()\n" in text and "wire [63:0] m_axi_wdata;" in text
    )
    assert "${" not in text and '$readmemh("image.hex", memory)' in text


def test_no_compiler_warns(shipped: tuple[Session, Bundle], tmp_path: Path) -> None:
    need_compilers()
    compile_all(shipped[1], tmp_path)


@pytest.mark.parametrize("first", range(0, len(HOSTILE), 4))
def test_hostile_names(first: int, tmp_path: Path) -> None:
    """Names of tensors, the network and the model stay text: nothing of them is compiled."""
    need_compilers()
    graph = load(small_network(tmp_path / "small.tflite", softmax=True))
    old = [op.name for op in graph.operators] + ["image", "classes", "answer"]
    new = dict(
        zip(dict.fromkeys(["image", "classes", "answer", *old]), HOSTILE[first:] + HOSTILE[:first], strict=False)
    )
    renamed = renamed_graph(graph, new)
    session = Session.map(renamed, load_config("tiny16"))
    bundle = make_bundle("*/ evil\n.tflite", b"", session, VERILOG)
    validate(bundle.manifest, "export")
    assert bundle.manifest["inputs"][0]["name"] == new["image"]
    out = tmp_path / "out"
    out.mkdir()
    compile_all(bundle, out)
    for name in ("intaglio_network.h", "intaglio_network.c", "main.c", "README.md"):
        text = bundle.files[name].decode()
        assert text.isascii() and "??/" not in text and "#error" not in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def renamed_graph(graph: Graph, new: dict[str, str]) -> Graph:
    def names(old: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new.get(name, name) for name in old)

    return Graph(
        HOSTILE[0],
        {new.get(n, n): dataclasses.replace(t, name=new.get(n, n)) for n, t in graph.tensors.items()},
        names(graph.inputs),
        names(graph.outputs),
        [
            dataclasses.replace(op, name=new.get(op.name, op.name), inputs=names(op.inputs), outputs=names(op.outputs))
            for op in graph.operators
        ],
    )


def test_notes_are_passed_on(tmp_path: Path) -> None:
    graph = load(small_network(tmp_path / "small.tflite"))
    graph.notes.append("layer 'x' may differ\n# by one")
    bundle = bundle_of(graph)
    assert "\n* layer _x_ may differ__ by one\n" in bundle.files["README.md"].decode()
    assert bundle.manifest["notes"] == graph.notes


def test_identifiers_are_unique() -> None:
    found = identifiers([*HOSTILE, "a", "A", "a_2", "a!"])
    assert len(set(found.values())) == len(HOSTILE) + 4
    assert all(re.fullmatch(r"[a-z0-9_]+", value) for value in found.values())
    assert comment_text("a*/\n\\?") == "a_/___"


def test_float_literals_are_exact() -> None:
    for value in (1.0, 0.1, 1 / 256, 3e-40, 2.0**-149, 3.4e38):
        number = float(np.float32(value))
        assert float.fromhex(float_literal(number).removesuffix("f")) == number


# The folder.


def test_command(tmp_path: Path) -> None:
    model = small_network(tmp_path / "small.tflite", softmax=True)
    done = intaglio("export", model, "--config", "tiny16", "-o", tmp_path / "deep" / "out", "--json", "-")
    assert done.status == 0, done.err
    out = tmp_path / "deep" / "out"
    assert json.loads(done.out) == json.loads((out / "manifest.json").read_text())
    assert os.listdir(tmp_path / "deep") == ["out"]
    assert "deep/out: 25 files" in done.err and "on the processor, in intaglio_host.c: 'answer' (Softmax)" in done.err
    verilog = intaglio("verilog", "--config", "tiny16", "-o", tmp_path / "v")
    assert verilog.status == 0
    assert (tmp_path / "v" / "intaglio.v").read_bytes() == (out / "intaglio.v").read_bytes()
    # Over an export, in place; a foreign file or a changed one stays, and so does everything else.
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = intaglio("export", model, "--config", "tiny16", "--set", "memory.latency=99", "-o", out)
    assert again.status == 0, again.err
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(after) == set(before) and after["image.bin"] == before["image.bin"]
    assert after["manifest.json"] != before["manifest.json"]
    (out / "main.c").write_text("mine")
    refused = intaglio("export", model, "--config", "tiny16", "-o", out)
    assert refused.status == 2 and "'main.c', which was changed after the export; choose another" in refused.err
    assert (out / "main.c").read_text() == "mine" and len(os.listdir(out)) == len(before)


FILES = {"a": b"1", "manifest.json": b"2"}


def test_folders_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years")
    for folder, reason in (
        ("file", "is a file; give a folder"),
        ("file/below", "choose another folder"),
        ("full", "holds 'thesis.tex' and no manifest.json of an export"),
        ("x" * 300, "File name too long"),
        ("nul\0", "null"),
    ):
        with pytest.raises(InputError, match=reason):
            check_folder(tmp_path / folder)
        with pytest.raises(InputError, match=reason):
            write_folder(tmp_path / folder, FILES)
    assert sorted(os.listdir(tmp_path)) == ["file", "full"] and os.listdir(tmp_path / "full") == ["thesis.tex"]


@pytest.mark.parametrize("exists", [False, True])
def test_read_only_folder(exists: bool, tmp_path: Path) -> None:
    if os.getuid() == 0:
        locked = Path("/proc/self" if exists else "/proc/self/out")
    else:
        tmp_path.chmod(0o500)
        locked = tmp_path if exists else tmp_path / "out"
    model = data.MODEL
    done = intaglio("export", model, "--config", "tiny16", "-o", locked)
    assert done.status == 2 and str(locked) in done.err and "choose another folder" in done.err
    tmp_path.chmod(0o700)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_nothing(exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    real = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == "manifest.json":
            raise OSError(28, "No space left on device")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"out: cannot be written \(No space left on device\)"):
        write_folder(out, FILES)
    assert os.listdir(tmp_path) == (["out"] if exists else []) and (not exists or os.listdir(out) == [])


def test_a_folder_of_its_own_is_readable(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", FILES)
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o777 & ~mask
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == FILES
