"""The fuzzer of spoiled files: a sample with a fixed seed, and whether it sees what it looks for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("onnxruntime")

from tests.fuzz_files import hold as holding
from tests.fuzz_files.case import KINDS, Case

COUNT = 12 * len(KINDS)


def test_a_sample() -> None:
    command = [sys.executable, "-m", "tests.fuzz_files", "--count", str(COUNT), "--seed", "9000"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{COUNT} cases, 0 failures" in done.stdout


def test_a_case_is_the_same_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        command = [sys.executable, "-m", "tests.fuzz_files", "--replay", "config:5", "--keep", str(tmp_path / name)]
        assert "as it must" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def writes(code: int, out: str = "", err: str = "") -> Callable[[Case], int]:
    def call(case: Case) -> int:
        print(out, end="")
        print(err, end="", file=sys.stderr)
        return code

    return call


def crashes(case: Case) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def raises(case: Case) -> int:
    raise KeyError("x")


def spins(case: Case) -> int:
    while True:
        pass


def sleeps(case: Case) -> int:
    time.sleep(100)
    return 0


def takes_memory(case: Case) -> int:
    block = bytearray(holding.BEYOND + (64 << 20))
    block[::4096] = bytes(len(block[::4096]))
    return 0


def leaves_a_file(case: Case) -> int:
    case.spoiled.with_name("out.json").write_text("{")
    return writes(2, err="intaglio: bad\n")(case)


CALLS: dict[str, tuple[Callable[[Case], int], str]] = {
    "done": (writes(0, out="fine"), ""),
    "refused": (writes(2, err="intaglio: bad\n"), ""),
    "an error of ours": (writes(3, err="intaglio: an error of Intaglio's own"), "status 3"),
    "two messages": (writes(2, err="intaglio: a\nintaglio: b\n"), "without one message"),
    "another word first": (writes(2, err="Warning\nintaglio: a\n"), "without one message"),
    "a report with a refusal": (writes(2, out="table", err="intaglio: a\n"), "on standard output"),
    "a traceback": (writes(1, err="Traceback (most recent call last)"), "a traceback"),
    "an escape": (writes(1, out="\x1b[2J"), "in its text"),
    "an exception": (raises, "status 99"),
    "a crash": (crashes, "SIGKILL"),
    "a loop": (spins, "too much processor time"),
    "a wait": (sleeps, "hangs"),
    "memory": (takes_memory, "MEMORY"),
    "half a file": (leaves_a_file, "['out.json'] written"),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_wrong_is_seen(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call, wanted = CALLS[name]
    if name in ("a loop", "a wait"):  # the others may take what a busy machine needs
        monkeypatch.setattr(holding, "SECONDS", 1)
    monkeypatch.setattr(holding, "PATIENCE", 3 if name == "a wait" else 60)
    monkeypatch.setattr(holding, "BEYOND", 256 << 20)
    monkeypatch.setattr(holding, "_call", call)
    folder = tmp_path / "case"
    _, wrong = holding.hold(Case("config", 1, ("check",), folder / "spoiled.yaml", b"x"), folder)
    assert wanted in wrong and bool(wrong) == bool(wanted), wrong
    assert not folder.exists()
