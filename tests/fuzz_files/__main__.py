"""`make fuzz-files`: spoiled model, configuration, array, mapping and program files through the command.

    python -m tests.fuzz_files [--count N] [--seed S] [--kinds tflite,onnx] [--jobs 2]
    python -m tests.fuzz_files --replay tflite:123 [--keep FILE]

Every command must end with status 0, 1 or 2 and one message, in SECONDS of processor time, within 1 GiB beyond its file, with
nothing half-written. A failure prints what replays it; exit status 1.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz_files import bases
from tests.fuzz_files.case import KINDS, case
from tests.fuzz_files.hold import hold


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_files")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="printed; drawn unless given")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--replay", metavar="KIND:SEED")
    parser.add_argument("--keep", type=Path, help="with --replay: writes the spoiled file there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-files-") as name:
        folder = Path(name)
        os.environ["FUZZ_BASES"] = str(folder / "bases")
        (folder / "bases").mkdir()
        bases.make(folder / "bases")
        warm(folder / "bases")
        if given.replay:
            kind, _, seed = given.replay.partition(":")
            return replay(kind, int(seed), folder, given.keep)
        seed = random.SystemRandom().randrange(10**9) if given.seed is None else given.seed
        return fuzz(given.count, seed, given.kinds.split(","), given.jobs, folder)


def warm(folder: Path) -> None:
    """Imports and compiles what commands use, so that a forked process begins at once; nothing that leaves threads."""
    import onnxruntime  # noqa: F401

    from intaglio.cli import status

    devnull = open(os.devnull, "w")  # noqa: SIM115
    out, sys.stdout = sys.stdout, devnull
    try:
        for network in ("net0.tflite", "net2.onnx"):
            status(["check", str(folder / network), "--config", "tiny16"])
            status(["map", "--check", str(folder / f"{network}.map.json")])
            status(["run", str(folder / network), "--config", "tiny16"])
    finally:
        sys.stdout = out


def replay(kind: str, seed: int, folder: Path, keep: Path | None) -> int:
    found = case(kind, seed, folder / "bases", folder / "case")
    print(f"{found}: intaglio {' '.join(found.arguments)}")
    if keep is not None:
        keep.write_bytes(found.content)
    _, wrong = hold(found, folder / "case")
    print(wrong or "as it must")
    return int(bool(wrong))


def fuzz(count: int, seed: int, kinds: list[str], jobs: int, folder: Path) -> int:
    """Case i is of kinds[i % len(kinds)] with the seed `seed + i`."""
    print(f"seed {seed}, {count} cases", flush=True)
    begin = time.monotonic()
    reader, writer = os.pipe()
    for job in range(jobs):
        if os.fork() == 0:
            os.close(reader)
            for i in range(job, count, jobs):
                found = case(kinds[i % len(kinds)], seed + i, folder / "bases", folder / f"case{job}")
                status, wrong = hold(found, folder / f"case{job}")
                if wrong:
                    print(f"FAILED {found} (--replay {found}): {' '.join(found.arguments[:1])}: {wrong}", flush=True)
                os.write(writer, b"x" if wrong else b"%d" % os.waitstatus_to_exitcode(status))
            os._exit(0)
    os.close(writer)
    marks: collections.Counter[int] = collections.Counter()
    while part := os.read(reader, 1):
        marks.update(part)
        done = sum(marks.values())
        if done % 500 == 0:
            print(f"{done} done, {marks[ord('x')]} failures, {time.monotonic() - begin:.0f} s", flush=True)
    failures, done = marks[ord("x")], sum(marks.values())
    print(f"status 0: {marks[ord('0')]}, 1: {marks[ord('1')]}, 2: {marks[ord('2')]}")
    print(f"seed {seed}: {done} cases, {failures} failures, {time.monotonic() - begin:.0f} s")
    return int(failures > 0 or done != count)


if __name__ == "__main__":
    sys.exit(main())
