"""Processes that hang, die or take too much memory cost one job and no more."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.fuzz.pool import Ended, OutOfTime, run_jobs

GIB = 1 << 30


def work(job: Any, folder: Path) -> Any:
    match job:
        case "hang":
            try:
                while True:
                    pass
            except OutOfTime:
                return "rang"
        case "deaf":
            signal.signal(signal.SIGPROF, signal.SIG_IGN)
            time.sleep(1000)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leave":
            os._exit(3)
        case "memory":
            try:
                return len(bytearray(4 * GIB))
            except MemoryError:
                return "no memory"
    (folder / "own").write_text(str(job))
    return (folder / "own").read_text()


def test_every_job_has_one_result() -> None:
    jobs = [1, "hang", 2, "die", 3, "memory", 4, "leave", 5]
    results = {job: result for job, result, _ in run_jobs(work, jobs, 2, 0.3, 2 * GIB)}
    assert results == {
        1: "1",
        2: "2",
        3: "3",
        4: "4",
        5: "5",
        "hang": "rang",
        "memory": "no memory",
        "die": Ended("the process died (SIGKILL)"),
        "leave": Ended("the process died (status 3)"),
    }


def test_what_does_not_come_back_is_ended() -> None:
    begin = time.monotonic()
    results = {job: result for job, result, _ in run_jobs(work, ["deaf", "next"], 1, 0.1, 2 * GIB)}
    assert results == {"deaf": Ended("hang: did not come back"), "next": "next"}
    assert time.monotonic() - begin < 60


def test_seconds_are_the_processor_s() -> None:
    ((_, _, took),) = run_jobs(nap, [1.0], 1, 10, 2 * GIB)
    assert took < 0.5


def nap(job: float, folder: Path) -> None:
    time.sleep(job)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert len(list(run_jobs(work, [1, 2, 3], 2, 5, 2 * GIB))) == 3
    assert list(tmp_path.iterdir()) == []


class Dies:
    """Work that ends its process when that reads it."""

    def __call__(self, job: Any, folder: Path) -> Any:
        return job

    def __reduce__(self) -> Any:
        return os._exit, (7,)


def test_a_process_that_dies_before_its_job() -> None:
    results = {job: result for job, result, _ in run_jobs(Dies(), [1, 2], 1, 1, 2 * GIB)}
    assert results == dict.fromkeys((1, 2), Ended("the process died (status 7)"))
