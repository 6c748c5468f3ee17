"""Processes that try pairs, each in a folder of its own: one that hangs, dies or takes too much memory is ended and replaced.

Time is the processor's, so that a busy computer fails nothing. A pair's own alarm rings after its time, and raises where Python
runs; what does not come back even then is ended by the parent. Memory is bounded by the process's limit of private data, so
that an allocation raises MemoryError.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any

LONGEST_WAIT = 20
"""Times its time, by the clock on the wall, and a process is ended."""


class OutOfTime(BaseException):
    """A job took longer than it may. No Exception, so that nothing on the way takes it for a failure of its own."""


@dataclass
class _Worker:
    process: Any
    connection: Connection
    job: Any = None
    begun: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Ended:
    """In place of a result: the process was ended, or ended itself. how: for a person, without numbers that differ."""

    how: str


def run_jobs(
    work: Callable[[Any, Path], Any], jobs: Iterable[Any], workers: int, seconds: float, memory_bytes: int
) -> Iterator[tuple[Any, Any, float]]:
    """(job, result or Ended, processor's seconds) as they come. work(job, folder), a module's function, runs in `workers` processes.
    They are forked from one that has no threads: a fork of this one could wait for a lock that a thread of ours held. seconds,
    memory_bytes: what a job may take."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.fuzz.hold"])
    folder = Path(tempfile.mkdtemp(prefix="fuzz."))
    waiting = iter(jobs)
    crew: list[_Worker] = []

    def hire() -> None:
        ours, theirs = server.Pipe()
        process = server.Process(target=_serve, args=(theirs, work, folder, seconds, memory_bytes), daemon=True)
        process.start()
        theirs.close()
        crew.append(_Worker(process, ours))

    def give(worker: _Worker) -> bool:
        for job in waiting:
            worker.job, worker.begun = job, time.monotonic()
            with suppress(ConnectionError):  # it died; that is seen when its result is wanted
                worker.connection.send(job)
            return True
        return False

    try:
        for _ in range(workers):
            hire()
        idle = list(crew)
        while True:
            for worker in idle:
                if worker in crew and not give(worker):
                    _dismiss(worker)
                    crew.remove(worker)
            idle = []
            if not crew:
                return
            wait([worker.connection for worker in crew], timeout=0.5)
            for worker in list(crew):
                took = time.monotonic() - worker.begun
                result: Any = None
                if worker.connection.poll():
                    try:
                        result, took = worker.connection.recv()
                    except (EOFError, ConnectionError):
                        worker.process.join()
                        result = Ended(f"the process died ({_ending(worker.process.exitcode)})")
                elif took > LONGEST_WAIT * seconds:
                    result = Ended("hang: did not come back")
                else:
                    continue
                if isinstance(result, Ended):
                    _dismiss(worker)
                    crew.remove(worker)
                    hire()
                    idle.append(crew[-1])
                else:
                    idle.append(worker)
                yield worker.job, result, took
    finally:
        for worker in crew:
            _dismiss(worker)
        shutil.rmtree(folder, ignore_errors=True)


def _ending(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else f"status {code}"


def _dismiss(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.kill()
    worker.process.join()


def _serve(
    connection: Connection, work: Callable[[Any, Path], Any], folder: Path, seconds: float, memory_bytes: int
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    signal.signal(signal.SIGPROF, _ring)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, most))
    own = folder / str(os.getpid())
    own.mkdir(exist_ok=True)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        begin = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
        try:
            result = work(job, own)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send((result, time.process_time() - begin))


def _ring(number: int, frame: FrameType | None) -> None:
    raise OutOfTime
