"""Calls the command with a case in a forked process under limits, and says what is wrong with how it ended."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

from intaglio.verifier.validate import validate
from tests.fuzz_files.case import PROGRAM, Case

SECONDS = 10
"""Of processor time that a command may take; of the clock's, PATIENCE times as much, since others use the machine too."""
PATIENCE = 6
BEYOND = 2**30
"""Bytes of memory above what the process has when it starts and its file needs."""


def hold(case: Case, folder: Path) -> tuple[int, str]:
    """waitpid's status, and what is wrong, "" if nothing. The folder is emptied before and after."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        case.spoiled.write_bytes(case.content)
        if case.kind == "external":
            (folder / "apart.data").write_bytes((Path(os.environ["FUZZ_BASES"]) / "apart.data").read_bytes())
        before = set(os.listdir(folder))
        out, err = folder.with_suffix(".out"), folder.with_suffix(".err")
        begin = time.monotonic()
        child = os.fork()
        if child == 0:
            _run(case, out, err)
        status, used = _wait(child, begin)
        after = set(os.listdir(folder))
        return status, _wrong(
            status, used, out.read_text(errors="replace"), err.read_text(errors="replace"), after - before
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(case: Case, out: Path, err: Path) -> None:
    """In the child; does not return."""
    ended, start = 99, _pages(1)
    try:
        for number, path in ((1, out), (2, err)):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, number)
            os.close(handle)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
        limit = _pages(0) + 6 * 2**30  # of addresses, for the machine's sake; what is used is measured
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
        ended = _call(case)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - start
        if grown > BEYOND + len(case.content):
            os.write(2, f"\nMEMORY {grown >> 20} MiB\n".encode())
        os._exit(ended)


def _call(case: Case) -> int:
    from intaglio.cli import ended, faults, status

    faults.message = _details  # type: ignore[assignment]
    if case.arguments[0] != PROGRAM:
        return status(case.arguments)
    return ended(lambda: _load_program(Path(case.arguments[1])))


def _load_program(path: Path) -> int:
    from intaglio.machine.config_files import config_from_dict
    from intaglio.program.program import Program

    program = Program.load(path)
    validate(program, config_from_dict(program.config, "its configuration"))
    program.listing()
    return 0


def _details(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _pages(column: int) -> int:
    """Bytes of this process's memory: addresses (0), resident (1)."""
    return int(Path("/proc/self/statm").read_text().split()[column]) * resource.getpagesize()


def _wait(child: int, begin: float) -> tuple[int, float]:
    """waitpid's status, and seconds; the child is ended where it takes too many."""
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status, time.monotonic() - begin
        if time.monotonic() - begin > PATIENCE * SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -1, time.monotonic() - begin
        time.sleep(0.003)


def _wrong(status: int, seconds: float, out: str, err: str, made: set[str]) -> str:
    if status == -1:
        return f"hangs: {seconds:.0f} s"
    if os.WIFSIGNALED(status):
        kind = signal.Signals(os.WTERMSIG(status)).name
        return f"ended by {kind} ({'too much processor time' if kind == 'SIGXCPU' else 'a crash'})"
    code = os.waitstatus_to_exitcode(status)
    if "MEMORY" in err:
        return f"status {code}, {err[err.index('MEMORY') :].strip()}"
    if code not in (0, 1, 2):
        return f"status {code}:\n{err[-3000:]}"
    if "Traceback" in err or "Traceback" in out:
        return f"status {code}, a traceback:\n{err[-3000:]}"
    acting = [c for c in out + err if (ord(c) < 32 and c != "\n") or ord(c) in (0x7F, 0x202E)]
    if acting:
        return f"status {code}, {acting[0]!r} in its text"
    if code == 2 and (not err.startswith("intaglio: ") or err.count("intaglio: ") != 1):
        return f"status 2 without one message: {err[:500]!r}"
    if code == 2 and made:
        return f"status 2, and {sorted(made)} written"
    if code == 2 and out:
        return f"status 2, and {out[:200]!r} on standard output"
    return ""
