"""What a terminal shows: at any width no number is cut, and no name or header without a sign; names act on no screen."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("ai_edge_litert")

from intaglio.report.table import Column, Kind, Table
from intaglio.report.terminal import Terminal
from intaglio.text import shown
from tests.cli.command import intaglio, small_network
from tests.network.tflite_files import FileBuilder

WIDTHS = (60, 80, 100, 120, 200)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
ESC = "\x1b"


def words(text: str) -> list[str]:
    return text.split()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every command's report with room for everything, by command."""
    return {command: report(command, 600) for command in REPORTS}


FOLDER: dict[str, Path] = {}
REPORTS = ("run", "map", "prove", "check", "compare", "sources", "configs", "refused", "quantize")


@pytest.fixture(scope="module", autouse=True)
def files(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("terminal")
    FOLDER["small"] = small_network(folder / "small.tflite", softmax=True)
    FOLDER["refused"] = many_refused(folder / "refused.tflite")
    try:
        from tests.quantize.onnx_models import residual, samples, save
    except ImportError:
        return
    FOLDER["float"] = save(residual(), folder / "float.onnx")
    np.savez(folder / "c.npz", inputs=samples())
    FOLDER["samples"] = folder / "c.npz"


def many_refused(path: Path) -> Path:
    """58 ELUs in a row, with names that converters write."""
    file = FileBuilder()
    x = first = file.tensor("x", (1, 4, 4, 200), scale=0.5)
    for i in range(58):
        name = f"model/block_{i}/a_very_long_name_of_a_layer/that_no_column_holds/Sigmoid_{i}"
        y = file.tensor(name, (1, 4, 4, 200), scale=1 / 256, zero_point=-128)
        file.operator("ELU", [x], [y])
        x = y
    return file.write(path, [first], [x])


def report(command: str, columns: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.chdir(FOLDER["small"].parent)
        arguments: dict[str, list[object]] = {
            "run": ["run", "small.tflite"],
            "map": ["map", "small.tflite"],
            "prove": ["map", "small.tflite", "--config", "tiny16", "--prove"],
            "check": ["check", "small.tflite"],
            "compare": ["compare", "small.tflite"],
            "sources": ["compare", "--sources"],
            "configs": ["configs"],
            "refused": ["check", "refused.tflite"],
            "quantize": ["quantize", "float.onnx", "--data", "c.npz", "-o", f"q{columns}.onnx"],
        }
        if command == "quantize" and "float" not in FOLDER:
            pytest.skip("no onnx")
        done = intaglio(*arguments[command])
    assert done.status == (1 if command == "refused" else 0), done.err
    return done.out


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("command", REPORTS)
def test_no_number_is_cut(command: str, columns: int, wide: dict[str, str]) -> None:
    """Every line fits, and every number is one of the report that had room for all (but of the file names of this test, the width,
    and measured times)."""
    text = report(command, columns)
    assert max(map(len, text.splitlines())) <= columns
    whole = {number for word in words(wide[command]) for number in NUMBER.findall(word)}
    lines = [
        line
        for line in text.splitlines()
        if not re.search(rf" ms |\bq{columns}|not shown at {columns} columns|labels/s| s$", line)
    ]
    for line in lines:
        for word in words(line):
            for number in NUMBER.findall(word):
                if "…" not in word and "/" not in word:
                    assert number in whole, f"{number!r} of {line!r}"


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("command", ["run", "map", "check", "compare", "configs"])
def test_headers_stand_or_are_named(command: str, columns: int, wide: dict[str, str]) -> None:
    header = {"configs": "name"}.get(command, "layer")
    line = next(line for line in wide[command].splitlines() if line.startswith(header))
    text = report(command, columns)
    told = " ".join(text.split())
    gone = re.search(rf"not shown at {columns} columns: ([^;]*); (`intaglio configs NAME` has|--json has) them", told)
    for name in re.split(r"\s{2,}", line.strip()):
        assert all(word in text for word in name.split()) or (gone and name in gone[1].split(", ")), name
    assert gone is None or columns < 200


def test_a_table_at_every_width() -> None:
    table = Table(
        [
            Column("layer", Kind.NAME),
            Column("kind", Kind.CODE, 3),
            Column("MACs", leave=2),
            Column("bytes outside", leave=1),
            Column("why", Kind.TEXT),
        ]
    )
    names = [f"block_{i}/" + "deep/" * i + f"conv{i}" for i in range(12)]
    for i, name in enumerate(names):
        table.add(
            name,
            f"com.microsoft.QLinearGlobalAveragePool x{10**i:,}",
            f"{10**i + 3635968:,}",
            f"{7 * 10**i:,}",
            f"activation_bytes = {10**i} is too small for what this layer needs",
        )
    table.section()
    table.add("total", "", "3,635,968", "1", "")
    numbers = {f"{10**i + 3635968:,}" for i in range(12)} | {"3,635,968"}
    for width in range(20, 240):
        console = Console(width=width, file=io.StringIO(), record=True, markup=False, highlight=False)
        console.print(table.render(width), overflow="fold")
        text = console.export_text()
        assert max(map(len, text.splitlines())) <= width
        if "MACs" in text.split("not shown")[0]:
            assert numbers <= set(text.split()), width
        if "kind" in text.split("not shown")[0]:
            assert all(f"x{10**i:,}" in text for i in range(12)), width
        for name in names:
            assert (
                name in text or f"…{name[-8:]}" in text or re.search(rf"…\S*{re.escape(name[-6:])}", text) or width < 44
            ), (width, name)


def test_what_repeats_is_grouped() -> None:
    text = report("refused", 120)
    assert "ELU x58" in text and len(text.splitlines()) < 20
    assert "and 57 more" in text and "--json has each of the 58" in " ".join(text.split())
    assert "ELU x58" in report("refused", 80)
    found = json.loads(intaglio("check", FOLDER["refused"], "--json", "-").out)
    assert len(found["operators"]) == 58


EVIL = f"a{ESC}[2Jb\u202ecod\u2066e\x07\nx\r\x9b31m"


def acting(text: str) -> list[str]:
    """Characters that do something to a terminal."""
    return [
        c
        for c in text
        if (ord(c) < 32 and c != "\n")
        or 0x7F <= ord(c) < 0xA0
        or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    ]


@pytest.mark.parametrize("columns", [60, 160])
def test_names_act_on_no_terminal(tmp_path: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    file = FileBuilder()
    x = file.tensor("in" + EVIL, (1, 4), scale=0.5)
    y = file.tensor("mid" + EVIL, (1, 4), scale=0.5)
    z = file.tensor("out" + EVIL, (1, 4), scale=1 / 256, zero_point=-128)
    file.operator("RELU", [x], [y])
    file.operator("SOFTMAX", [y], [z], "SoftmaxOptions", beta=1.0)
    path = file.write(tmp_path / f"m{ESC}[31m\u202e.tflite", [x], [z])
    bad = FileBuilder()
    b = bad.tensor("b" + EVIL, (1, 4), scale=0.5)
    c = bad.tensor("c" + EVIL, (1, 4), scale=0.5)
    bad.operator("TANH", [b], [c])
    worse = bad.write(tmp_path / f"worse{ESC}.tflite", [b], [c])
    np.savez(tmp_path / "i.npz", **{"z" + EVIL: np.zeros(3)})
    calls: list[list[object]] = [
        ["run", path, "--json", tmp_path / f"r{ESC}.json"],
        ["map", path],
        ["check", path],
        ["compare", path],
        ["check", worse],
        ["run", worse],
        ["run", path, "--input", tmp_path / "i.npz"],
        ["run", tmp_path / f"none{EVIL}"],
        ["run", f"{ESC}x", f"--{EVIL}"],
        [f"{EVIL}"],
        ["configs", EVIL],
        ["run", path, "--set", f"{EVIL}=1"],
        ["run", path, "--config", f"{EVIL}"],
        ["map", "--check", path],
        ["run", path, "--json", tmp_path / EVIL / "x"],
        ["run", path, "--engine", EVIL],
        ["export", path, "-o", tmp_path / f"e{ESC}"],
    ]
    for call in calls:
        done = intaglio(*call)
        assert done.out or done.err, call
        assert not acting(done.out + done.err), (call, done)
    assert "\\x1b[2Jb" in intaglio("run", path).out


def test_shown() -> None:
    assert shown("plain ä 網 🦊") == "plain ä 網 🦊"
    assert shown("\u200c\u200d") == "\u200c\u200d"  # parts of words
    assert shown("a\nb\t\x7f\u2028\ud800\U000e0001") == "a\\nb\\t\\x7f\\u2028\\ud800\\U000e0001"


def process(arguments: list[str], **environment: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "intaglio", *arguments], capture_output=True, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii", "C"],
)
def test_an_ascii_terminal(tmp_path: Path, environment: dict[str, str]) -> None:
    path = small_network(tmp_path / "rés eau.tflite")
    status, out, err = process(["check", str(path)], **environment, COLUMNS="80")
    assert status == 0, err
    assert out.isascii() and b"WOULD RUN" in out
    whole = out.replace(b"\n", b"")  # however the path is folded
    assert b"r\\xe9s" in whole or b"r\\udcc3\\udca9s" in whole
    status, out, err = process(["check", str(FOLDER["refused"])], **environment, COLUMNS="80")
    assert status == 1 and out.isascii() and b"..." in out and b"ELU x58" in out
    status, out, err = process(["check", str(tmp_path / "kein Modäll.tflite")], **environment)
    assert status == 2 and err.isascii() and b"Traceback" not in err


@pytest.mark.parametrize(("columns", "colour"), [*((columns, True) for columns in WIDTHS), (60, False), (120, False)])
def test_a_terminal(columns: int, colour: bool) -> None:
    """On a real terminal of that width, by its own size and not COLUMNS: nothing is wider, the header is bold or is not."""
    text = on_terminal(["run", str(FOLDER["small"])], columns, colour)
    assert (f"{ESC}[1m" in text) == colour
    plain = re.sub(rf"{ESC}\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")
    lines = [
        line
        for line in plain.splitlines()
        if "mapping" not in line and "running" not in line and "starting" not in line
    ]
    assert max(map(len, lines)) <= columns
    found = json.loads(intaglio("run", FOLDER["small"], "--json", "-").out)
    for layer in found["layers"][:5]:
        assert any(line.split()[:1] == [layer["name"]] and f"{layer['cycles']:,}" in line.split() for line in lines), (
            layer["name"]
        )


def on_terminal(arguments: list[str], columns: int, colour: bool) -> str:
    """Standard output of the command on a pseudo-terminal."""
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color"} | ({} if colour else {"TERM": "dumb"})
    running = subprocess.Popen(
        [sys.executable, "-m", "intaglio", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    got = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        got += part
    os.close(master)
    assert running.wait() == 0
    return got.decode()


def test_completion() -> None:
    status, out, _ = process([], _INTAGLIO_COMPLETE="complete_bash", COMP_WORDS="intaglio ver", COMP_CWORD="1")
    assert status == 0 and out.split() == [b"verify", b"verilog"]
    called = shlex.join([sys.executable, "-m", "intaglio", "--show-completion"])
    done = subprocess.run(
        ["bash", "-c", f"{called}; exit $?"], capture_output=True
    )  # from a shell, whoever started the tests
    assert done.returncode == 0 and b"_INTAGLIO_COMPLETE" in done.stdout


def test_what_is_written_is_named(tmp_path: Path) -> None:
    names = {"--json": "R.json", "--outputs": "O.npz", "--trace": "T.json"}
    options = [text for option, name in names.items() for text in (option, tmp_path / name)]
    done = intaglio("run", FOLDER["small"], *options)
    assert done.status == 0
    line = " ".join(done.out.split("written: ")[1].split())
    assert line == ", ".join(str(tmp_path / name) for name in names.values())
    done = intaglio("map", FOLDER["small"], "--json", "-", "--listing", tmp_path / "P.txt")
    assert str(tmp_path / "P.txt") in done.err.replace("\n", "") and "written" not in done.out


def test_a_line_in_a_file_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    text = "word " * 200 + "end"
    Terminal().line(text)
    assert capsys.readouterr().out == text + "\n"
