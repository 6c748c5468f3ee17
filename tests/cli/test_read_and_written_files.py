"""Inputs that are no regular files or unpack too large, and outputs that are devices, FIFOs or links."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from intaglio import files
from intaglio.errors import InputError, OutputError
from intaglio.files import LARGEST, opened, placing, read_bytes, read_part, target_of, write_bytes, writing
from intaglio.npz import MOST_ARRAYS, npz_bytes, read_npz
from tests.cli.command import intaglio, small_network
from tests.cli.test_broken_inputs import refused


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_network(tmp_path / "small.tflite")


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def readers(model: Path, bad: Path, out: Path) -> Iterator[list[object]]:
    """A call for each way in which a command reads a file."""
    for command in ("run", "map", "verify", "check", "compare"):
        yield [command, bad]
    yield ["export", bad, "-o", out]
    yield ["quantize", bad, "--data", bad, "-o", out]
    yield ["map", "--check", bad]
    yield ["run", model, "--config", bad]
    yield ["run", model, "--input", bad]
    yield ["run", model, "--data", bad]
    yield ["compare", model, "--table", bad]
    yield ["compare", model, "--data", bad]


def test_inputs_that_are_no_files(model: Path, fifo: Path, tmp_path: Path) -> None:
    """Without opening them: a FIFO would wait for ever, /dev/zero never end."""
    for bad, kind in ((fifo, "a FIFO"), (Path("/dev/zero"), "a device"), (tmp_path, "a directory")):
        for call in readers(model, bad, tmp_path / "out"):
            refused(intaglio(*call), str(bad), f"is {kind}, not a regular file")
    link = tmp_path / "link"
    link.symlink_to(fifo)
    refused(intaglio("run", model, "--input", link), "is a FIFO")


def test_a_file_that_is_too_large(model: Path, tmp_path: Path) -> None:
    """Holes take no room, and nobody's memory."""
    big = tmp_path / "big.tflite"
    with big.open("wb") as file:
        file.truncate(LARGEST + 1)
    for call in readers(model, big, tmp_path / "out"):
        wanted = (
            "give a float .onnx file"
            if call[0] == "quantize" and big in call[:2]
            else f"has {LARGEST + 1} bytes, more than "
        )
        refused(intaglio(*call), "big.tflite", wanted)


def test_a_file_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100)
    real = os.fstat

    def small(handle: int) -> os.stat_result:
        values = list(real(handle))
        values[stat.ST_SIZE] = 10
        return os.stat_result(values)

    monkeypatch.setattr(files.os, "fstat", small)
    assert read_bytes(path, "r", 100) == b"x" * 100
    with pytest.raises(InputError, match="grows beyond 99 bytes"):
        monkeypatch.setattr(files.os, "stat", lambda p: small(os.open(p, os.O_RDONLY)))
        read_bytes(path, "r", 99)


def test_parts(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(range(10)))
    assert read_part(tmp_path / "f", 3, 4, "r") == bytes(range(3, 7))
    for offset, length in ((7, 4), (-1, 3), (0, -1), (11, 0)):
        with pytest.raises(InputError, match="10 bytes"):
            read_part(tmp_path / "f", offset, length, "r")
    with pytest.raises(InputError, match="more than"):
        read_part(tmp_path / "f", 0, LARGEST + 1, "r")
    with pytest.raises(InputError, match="null"), opened(tmp_path / "a\0b", "r"):
        pass


def bomb(path: Path, blocks: int, shape: tuple[int, ...]) -> Path:
    """An array of zeros, 64 MiB a block, in an .npz of a thousandth: a good file, of blocks that are packed once."""
    header, zeros = io.BytesIO(), bytes(2**26)
    np.lib.format.write_array_header_1_0(header, {"descr": "|i1", "fortran_order": False, "shape": shape})
    packer = zlib.compressobj(wbits=-15)
    head = packer.compress(header.getvalue()) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = head + blocks * block + packer.flush()
    crc = zlib.crc32(header.getvalue())
    for _ in range(blocks):
        crc = zlib.crc32(zeros, crc)
    name, size = b"image.npy", len(header.getvalue()) + blocks * len(zeros)
    about = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0x21, crc, len(packed), size, len(name), 0)
    local = b"PK\3\4" + about + name + packed
    directory = b"PK\1\2" + struct.pack("<H", 20) + about + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), len(local), 0)
    path.write_bytes(local + directory + end)
    return path


def test_arrays_that_unpack_too_large(model: Path, tmp_path: Path) -> None:
    """Known from the directory, or from the array's header where that alone does not fit the network; before memory is spent."""
    with np.load(bomb(tmp_path / "s.npz", 1, (2**26,))) as file:
        assert file["image"].shape == (2**26,)  # the maker's file is a good one
    whole = bomb(tmp_path / "b.npz", 48, (3, 2**30))
    assert whole.stat().st_size < 4 * 2**20
    part = bomb(tmp_path / "p.npz", 16, (1, 2**30))
    import tracemalloc

    tracemalloc.start()
    begin = time.monotonic()
    for option in ("--input", "--data"):
        refused(intaglio("run", model, option, whole), "b.npz", "unpack to", "give fewer")
        refused(intaglio("run", model, option, part), "p.npz", "shape [1, 1073741824]")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20 and time.monotonic() - begin < 10


def test_arrays_that_are_not_as_they_say(tmp_path: Path) -> None:
    good = npz_bytes({"a": np.arange(6, dtype=np.int8)})
    path = tmp_path / "a.npz"

    def entry(content: bytes, method: int = zipfile.ZIP_STORED, name: str = "a.npy") -> Path:
        with zipfile.ZipFile(path, "w", method) as file:
            file.writestr(name, content)
        return path

    path.write_bytes(good)
    with zipfile.ZipFile(path) as file:
        content = file.read("a.npy")
    assert read_npz(entry(content))["a"].tolist() == list(range(6))
    huge = content.replace(b"(6,)", b"(%d,)" % 2**62)
    for made, reason in (
        (lambda: entry(content[:-1]), "claims 6 bytes and has 5"),
        (lambda: entry(content + b"x"), "claims 6 bytes and has 7"),
        (lambda: entry(huge), "claims|header"),
        (lambda: entry(content, zipfile.ZIP_LZMA), "another method"),
        (lambda: entry(content.replace(b"|i1", b"|V0")), "no array of numbers"),
        (lambda: entry(content, name="a.txt"), "is not an array"),
        (lambda: entry(content.replace(b"|i1", b"|O8")), "Python objects"),
    ):
        with pytest.raises(InputError, match=reason):
            read_npz(made())
    with zipfile.ZipFile(path, "w") as file:
        for i in range(MOST_ARRAYS + 1):
            file.writestr(f"{i}.npy", content)
    with pytest.raises(InputError, match=f"more than {MOST_ARRAYS}"):
        read_npz(path)
    with zipfile.ZipFile(path, "w") as file:
        for i in range(20_000):
            file.writestr(f"{i}.npy", b"")
    with pytest.raises(InputError, match="its directory has"):
        read_npz(path)


def test_a_mapping_of_millions_of_values(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("[" + "[]," * (5 << 20) + "[]]")
    begin = time.monotonic()
    refused(intaglio("map", "--check", tmp_path / "m.json"), "m.json", "values, more than")
    assert time.monotonic() - begin < 5


# Outputs.


def reads(path: Path) -> tuple[threading.Thread, list[bytes]]:
    """Someone who reads a FIFO to its end."""
    got: list[bytes] = []

    def read() -> None:
        with path.open("rb") as file:
            got.append(file.read())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    time.sleep(0.1)
    return thread, got


@pytest.mark.parametrize("option", ["--json", "--outputs", "--trace"])
def test_a_fifo_is_written_into(model: Path, fifo: Path, option: str) -> None:
    thread, got = reads(fifo)
    done = intaglio("run", model, option, fifo)
    thread.join(10)
    assert done.status == 0 and stat.S_ISFIFO(fifo.stat().st_mode)
    if option == "--outputs":
        assert zipfile.is_zipfile(io.BytesIO(got[0]))
    else:
        json.loads(got[0])


def test_a_fifo_that_nobody_reads(model: Path, fifo: Path) -> None:
    done = intaglio("run", model, "--json", fifo)
    assert done.status == 4 and "no process reads it" in done.err and stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_fifo_whose_reader_leaves(fifo: Path) -> None:
    def read() -> None:
        with fifo.open("rb") as file:
            file.read(1)

    threading.Thread(target=read, daemon=True).start()
    time.sleep(0.1)
    write_bytes(fifo, bytes(2**20))
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def node(path: Path, minor: int) -> Path:
    """A node of our own for one of Linux's memory devices: /dev/null is 3, /dev/full 7."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        path.open("rb").close()
    except OSError:
        pytest.skip("no right to make or open device nodes")
    return path


def test_a_device_stays_one(model: Path, tmp_path: Path) -> None:
    null = node(tmp_path / "null", 3)
    assert intaglio("run", model, "--json", null, "--outputs", null, "--trace", null).status == 0
    assert stat.S_ISCHR(null.stat().st_mode)
    full = node(tmp_path / "full", 7)
    done = intaglio("run", model, "--json", full)
    assert (
        done.status == 4
        and "full: cannot be written (No space left on device)" in done.err
        and stat.S_ISCHR(full.stat().st_mode)
    )
    link = tmp_path / "link"
    link.symlink_to(null)
    assert (
        intaglio("check", model, "--json", link).status == 0 and link.is_symlink() and stat.S_ISCHR(null.stat().st_mode)
    )


def test_links_stay_links(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name, old in (("old.json", "old"), ("new.json", None)):
        if old:
            (other / name).write_text(old)
        link = tmp_path / name
        link.symlink_to(Path("other") / name)
        assert intaglio("check", model, "--json", link).status == 0
        assert link.is_symlink() and json.loads((other / name).read_text())["would_run"]
    assert os.listdir(other) and sorted(os.listdir(other)) == ["new.json", "old.json"]
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    refused(intaglio("check", model, "--json", tmp_path / "a"), "cannot be looked at")
    (tmp_path / "gone").symlink_to("no/such/file")
    refused(intaglio("check", model, "--json", tmp_path / "gone"), "there is no folder")


def test_outputs_that_are_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        refused(intaglio("check", model, "--json", "s"), "is a socket")
    refused(intaglio("check", model, "--json", tmp_path / ("n" * 300)), "too long")
    refused(intaglio("check", model, "--json", model), "is the input")
    refused(intaglio("run", model, "--json", tmp_path / "a", "--outputs", tmp_path / "a"), "another option writes")
    (tmp_path / "l").symlink_to("a")
    refused(intaglio("run", model, "--json", tmp_path / "a", "--outputs", tmp_path / "l"), "another option writes")
    with (tmp_path / "file").open("w") as file:
        refused(intaglio("check", model, "--json", f"/proc/self/fd/{file.fileno()}"), "is an open file of this process")
    with pytest.raises(InputError, match="null"):
        target_of(tmp_path / "a\0b")


def test_writing_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), writing(path) as file:
        file.write(b"new")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), placing(path) as scratch:
        scratch.write_bytes(b"new")
        raise ZeroDivisionError
    with pytest.raises(OSError, match="ours"), placing(path):  # the library's error, not one of writing
        raise OSError("ours")
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match=r"f: cannot be written \(No space left on device\)"):
        write_bytes(path, b"new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["f"]


def test_placing(tmp_path: Path, fifo: Path) -> None:
    with placing(tmp_path / "w.vcd") as scratch:
        assert scratch.suffix == ".vcd"
        scratch.write_text("waves")
    assert (tmp_path / "w.vcd").read_text() == "waves"
    thread, got = reads(fifo)
    with placing(fifo) as scratch:
        scratch.write_text("waves")
    thread.join(10)
    assert got == [b"waves"] and sorted(os.listdir(tmp_path)) == ["fifo", "w.vcd"]


def test_no_output_takes_the_place_of_an_input(model: Path, tmp_path: Path) -> None:
    """Whatever was read: configuration, table, a model's further files, mapping; by its name or another."""
    from importlib import resources

    import onnx
    from onnx import TensorProto, helper, numpy_helper

    config, table, data = tmp_path / "c.yaml", tmp_path / "t.yaml", tmp_path / "float.data"
    package = resources.files("intaglio")
    config.write_text("# mine\n" + (package / "configs" / "tiny16.yaml").read_text())
    table.write_text((package / "power_model" / "tables" / "horowitz45.yaml").read_text())
    weights = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    image = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n, 5, 5]) for name, n in (("x", 3), ("y", 4))]
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", image[:1], image[1:], [weights])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, tmp_path / "float.onnx", save_as_external_data=True, location=data.name, size_threshold=0)
    np.savez(tmp_path / "d.npz", x=np.ones((2, 3, 5, 5), np.float32))
    (tmp_path / "other.yaml").hardlink_to(config)
    (tmp_path / "link.yaml").symlink_to(table)
    design = tmp_path / "design"
    design.mkdir()
    (design / "intaglio.yaml").write_bytes(config.read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    calls: list[list[object]] = [
        *(
            [command, model, "--config", config, "--json", config]
            for command in ("check", "run", "map", "verify", "compare")
        ),
        ["run", model, "--config", config, "--outputs", config],
        ["run", model, "--config", config, "--json", tmp_path / "other.yaml"],
        ["map", model, "--config", config, "--listing", config],
        ["compare", model, "--table", table, "--json", table],
        ["map", model, "--objective", "edp", "--table", table, "--json", tmp_path / "link.yaml"],
        ["quantize", tmp_path / "float.onnx", "--data", tmp_path / "d.npz", "-o", data],
        ["verilog", "--config", design / "intaglio.yaml", "-o", design],
    ]
    for call in calls:
        refused(intaglio(*call), "is the input")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_export_is_not_written_over_its_input(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    assert intaglio("export", model, "--config", "tiny16", "-o", folder).status == 0
    assert intaglio("export", model, "--config", "tiny16", "-o", folder).status == 0
    found = intaglio("export", model, "--config", folder / "intaglio.yaml", "--set", "memory.latency=50", "-o", folder)
    refused(found, "'intaglio.yaml', which is an input")
