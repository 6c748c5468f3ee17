"""How commands end: docs/exit-status.md's table, whatever happens to their streams, and Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest

pytest.importorskip("ai_edge_litert")

from intaglio import cli
from intaglio.cli import faults
from intaglio.errors import OutputError
from tests.cli.command import intaglio, small_network

RUN = [sys.executable, "-m", "intaglio"]


@pytest.fixture(autouse=True)
def heard_signals() -> Iterator[None]:
    """Commands here hear every signal: one that is ignored, as where `nohup` or a shell's background job runs the tests,
    would be ignored by them too."""
    ignored = [
        n
        for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        if signal.getsignal(n) == signal.SIG_IGN
    ]
    for number in ignored:
        signal.signal(number, lambda *_: None)  # of the tests alone: a program that they start has the default
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_network(tmp_path_factory.mktemp("ending") / "small.tflite", softmax=True)


def shell(line: str, **environment: str) -> tuple[int, str, str]:
    """A line of bash with $I for the command; status of the line's first command."""
    text = f'set -o pipefail; I() {{ {" ".join(RUN)} "$@"; }}; {line}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "line", ["I run {m} | head -1", "I run {m} --json - 2>/dev/null | head -1", "I run {m} | true", "I --help | true"]
)
def test_a_reader_that_goes_away(model: Path, line: str) -> None:
    status, _, err = shell(line.format(m=model))
    assert status == 0 and err == ""


@pytest.mark.parametrize(
    "line",
    [
        "I run {m} >/dev/full",
        "I run {m} --json - 2>/dev/null >/dev/full",
        "I configs tiny16 >/dev/full",
        "I --version >/dev/full",
        "I check --help >/dev/full",
        "I --show-completion bash >/dev/full",
    ],
)
def test_standard_output_that_is_full(model: Path, line: str) -> None:
    status, _, err = shell(line.format(m=model))
    wanted = "" if "2>" in line else "intaglio: standard output: cannot be written (No space left on device)\n"
    assert (status, err) == (4, wanted)


def test_standard_streams_that_are_closed(model: Path, tmp_path: Path) -> None:
    status, _, err = shell(f"I run {model} --json {tmp_path}/R.json >&-")
    assert status == 4 and err == "intaglio: standard output is closed; direct it to a file, or to /dev/null\n"
    assert not (tmp_path / "R.json").exists()
    status, out, err = shell(f"I run {model} --json {tmp_path}/R.json 2>&-")
    assert status == 0 and "inferences/s" in out and err == ""
    status, out, _ = shell(f"I run {model} --json - 2>/dev/full")
    assert status == 0 and out.startswith("{")
    assert shell("I run nothing 2>&-")[0] == 2


def test_a_full_disk(model: Path, tmp_path: Path) -> None:
    """A file beyond the limit of file sizes stands for a full disk: the message, status 4, nothing of the file, the old one kept."""
    (tmp_path / "O.npz").write_text("old")
    status, out, err = shell(
        f"(ulimit -f 1; trap '' XFSZ; exec {' '.join(RUN)} run {model} --trace {tmp_path}/T.json "
        f"--outputs {tmp_path}/O.npz --json {tmp_path}/R.json)",
        NUMBA_CACHE_DIR=os.environ.get("NUMBA_CACHE_DIR", ""),
    )
    assert status == 4 and re.fullmatch(
        r"intaglio: \S*: cannot be written \(File too large\); choose another file\n", err
    ), err
    assert out == "" and not [name for name in os.listdir(tmp_path) if name not in ("O.npz", "T.json")]
    assert not (tmp_path / "T.json").exists()


def test_errors_of_ours(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, the details in a file, status 3."""

    def fails() -> int:
        raise KeyError("a defect\x1b[2J\nof ours")

    for folder in (tmp_path / "cache with space", None):
        monkeypatch.setenv("INTAGLIO_CACHE", str(folder) if folder else "/proc/none")
        assert cli.ended(fails) == 3
        err = capsys.readouterr().err
        assert (
            err.count("\n") == 1
            and err.startswith("intaglio: an error of Intaglio's own (KeyError: ")
            and "\x1b" not in err
        )
        place = re.search(r"details are in (.*\.txt): please report it", err)
        assert place
        text = Path(place[1]).read_text()
        assert "Traceback" in text and "def fails" not in text and "in fails" in text and "command: [" in text
        assert folder is None or Path(place[1]).is_relative_to(folder)
        Path(place[1]).unlink()
    monkeypatch.setattr("tempfile.mkstemp", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert cli.ended(fails) == 3 and "could not be written; please report it" in capsys.readouterr().err


def test_the_tests_do_not_take_an_error_of_ours_for_an_answer(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intaglio.cli.check.check", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        intaglio("check", model)
    assert faults.message.__name__ == "message"


def test_what_ended_makes_of_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    def ends(error: BaseException) -> int:
        def work() -> int:
            raise error

        return cli.ended(work)

    assert ends(OutputError("x: full")) == 4 and capsys.readouterr().err == "intaglio: x: full\n"
    assert ends(KeyboardInterrupt()) == 130 and capsys.readouterr().err == "intaglio: interrupted\n"
    assert ends(SystemExit(0)) == 0 and ends(SystemExit(None)) == 0 and ends(SystemExit(5)) == 5
    assert cli.ended(lambda: 1) == 1


def test_refused_by_other_commands(tmp_path: Path) -> None:
    """`check` says no with 1; to every other command the same network is bad input."""
    from tests.cli.test_broken_inputs import unsupported_operator

    path = unsupported_operator(tmp_path / "pool.tflite")
    assert intaglio("check", path).status == 1
    for command in (["run"], ["map"], ["verify"], ["compare"], ["export", "-o", tmp_path / "e"]):
        assert intaglio(*command, path).status == 2


def interrupted_at_import(module: str, act: str, model: Path, hook: Path) -> None:
    """Holds how a run ends in which `act`, lines of Python, runs where `module` is to be imported. hook: an empty folder."""
    (hook / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            sys.meta_path.remove(self)\n" + indent(act, " " * 12) + "sys.meta_path.insert(0, Finder())\n"
    )
    done = subprocess.run(
        [*RUN, "run", model], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(hook)}
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "intaglio: interrupted\n")


@pytest.mark.parametrize("module", ["intaglio", "numba", "rich"])
def test_ctrl_c_during_imports(module: str, model: Path, tmp_path: Path) -> None:
    """The interrupt comes from inside an import; a library that makes ImportError of it changes nothing."""
    act = "try:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt:\n    raise ImportError('made of it')\n"
    interrupted_at_import("intaglio.cli.app" if module == "intaglio" else module, act, model, tmp_path)


def test_ctrl_c_within_a_text_that_is_executed(model: Path, tmp_path: Path) -> None:
    """As dataclasses are made, at imports."""
    act = "exec('import os, signal; os.kill(os.getpid(), signal.SIGINT)')\n"
    interrupted_at_import("intaglio.cli.app", act, model, tmp_path)


def test_ctrl_c_at_any_moment(model: Path, tmp_path: Path) -> None:
    """From soon after the start to the end: 130 and one line, or the whole report; no traceback, no half file."""
    whole = 0.0
    for _ in range(2):  # the first one may compile for long
        begin = time.monotonic()
        assert subprocess.run([*RUN, "run", model], capture_output=True).returncode == 0
        whole = time.monotonic() - begin
    ends = []
    for part in (0.3, 0.5, 0.7, 0.9):
        running = subprocess.Popen(
            [*RUN, "run", model, "--outputs", tmp_path / "O.npz"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(part * whole)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
        ends.append(running.returncode)
        assert (running.returncode, err) in ((130, "intaglio: interrupted\n"), (0, "")), (part, err)
        assert set(os.listdir(tmp_path)) <= {"O.npz"}
        (tmp_path / "O.npz").unlink(missing_ok=True)
    assert 130 in ends


def test_ctrl_c_in_a_finalizer(model: Path, tmp_path: Path) -> None:
    """Where Python swallows every exception, and prints it."""
    act = (
        "class Last:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        sys.version\n"
        "Last()\n"
    )
    interrupted_at_import("numba", act, model, tmp_path)


IN_A_FOLDER = (
    "import sys\n"
    "from intaglio import cli\n"
    "from intaglio.unfinished import run_program, temporary_folder\n"
    "def work():\n"
    "    with temporary_folder() as folder:\n"
)
"""The beginning of a program that works in a folder of its own."""


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "intaglio: interrupted\n"),
        (signal.SIGTERM, 143, "intaglio: ended by SIGTERM\n"),
        (signal.SIGHUP, 129, "intaglio: ended by SIGHUP\n"),
        (signal.SIGQUIT, 131, "intaglio: ended by SIGQUIT\n"),
    ],
)
def test_a_signal_takes_away_what_was_begun(number: signal.Signals, status: int, said: str) -> None:
    """Folders, and programs that run, with what they started themselves."""
    code = (
        IN_A_FOLDER + "        (folder / 'x').write_text('x')\n"
        "        print(folder, flush=True)\n"
        "        run_program(['sh', '-c', 'sleep 600 & echo $$ $!; wait'])\n"
        "cli.end_with(work)\n"
    )
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout and running.stderr
    folder, children = Path(running.stdout.readline().strip()), running.stdout.readline().split()
    assert (folder / "x").exists()
    running.send_signal(number)
    running.wait(timeout=30)  # a child that is left would keep the streams open
    left = [child for child in children if lives(int(child), 5.0)]
    for child in left:
        os.kill(int(child), signal.SIGKILL)
    assert (running.returncode, running.stderr.read(), folder.exists(), left) == (status, said, False, [])


@pytest.mark.parametrize("answer", ["sleep 0.3; mkdir -p $0; exit", ""])
def test_a_program_that_does_not_end_at_once(answer: str) -> None:
    """What it still writes is taken away too, and one that does not listen is killed."""
    code = (
        IN_A_FOLDER
        + "        line = f\"trap '{sys.argv[1]}' TERM; sleep 0.5; echo $0 $$; while :; do sleep 0.05; done\"\n"
        "        run_program(['sh', '-c', line, str(folder)])\n"
        "cli.end_with(work)\n"
    )
    command = [sys.executable, "-c", code, answer]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert running.stdout
    folder, child = running.stdout.readline().split()
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=30) == 143
    left = lives(int(child), 1.0)
    if left:
        os.kill(int(child), signal.SIGKILL)
    assert not left and not Path(folder).exists()


def test_a_signal_while_a_program_is_being_started() -> None:
    """It has printed its number before the one that starts it knows that."""
    code = (
        "import subprocess, time\n"
        "from intaglio import cli\n"
        "from intaglio.unfinished import run_program\n"
        "class Slow(subprocess.Popen):\n"
        "    def __init__(self, *given, **options):\n"
        "        super().__init__(*given, **options)\n"
        "        time.sleep(1)\n"
        "subprocess.Popen = Slow\n"
        "cli.end_with(lambda: run_program(['sh', '-c', 'echo $$; exec sleep 600']).returncode)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert running.stdout
    child = int(running.stdout.readline())
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=30) == 143
    left = lives(child, 1.0)
    if left:
        os.kill(child, signal.SIGKILL)
    assert not left


def lives(process: int, seconds: float) -> bool:
    """True if it still runs then; one that nobody waits for has ended too."""
    for _ in range(int(10 * seconds)):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.1)
    return True


def test_ctrl_c_while_compiled_code_runs(tmp_path: Path) -> None:
    """The process ends all the same, seconds later, without the file begun."""
    code = (
        "import hashlib, sys\n"
        "from pathlib import Path\n"
        "from intaglio import cli\n"
        "from intaglio.files import writing\n"
        "def work():\n"
        "    with writing(Path(sys.argv[1])) as file:\n"
        "        file.write(b'begun'); file.flush()\n"
        "        print('begun', flush=True)\n"
        "        hashlib.pbkdf2_hmac('sha256', b'', b'', 1 << 30)\n"
        "cli.end_with(work)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "O"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout and running.stdout.readline() == "begun\n" and os.listdir(tmp_path)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err, os.listdir(tmp_path)) == (130, "intaglio: interrupted\n", [])
