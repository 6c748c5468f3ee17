"""How long mapping takes, in units of T: the time in which a commit of this repository maps ResNet-18 on edge256 in the same run.

`python -m benchmarks.mapping [--large FOLDER] [--json FILE] [--only NAME ...]`. T's commit runs from a worktree of its own, in a process of its
own, before and after the rest; the best of all its times counts. Times are of the processor, warm, the best of a few where they are
short. Networks have seeded weights; ResNet-18 and MobileNetV2 are those
of benchmarks.large.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import large
from intaglio.machine.config_files import load_config
from intaglio.mapper import Program
from intaglio.network import load
from intaglio.network.tflite.write import TfliteBuilder, Value
from intaglio.session import Session

ROOT = Path(__file__).resolve().parents[1]
BASELINE = "7e988a8"
"""The commit whose time is T."""
REPEATS = 5
ENOUGH = 4.0
"""Seconds after which a case is not repeated."""
WORKER = """
import sys, time
import intaglio
from intaglio.machine.config_files import load_config
from intaglio.network import load
from intaglio.session import Session
assert intaglio.__file__.startswith(sys.argv[1]), intaglio.__file__
graph, config = load(sys.argv[2]), load_config("edge256")
Session.map(graph, config)
for _ in range(int(sys.argv[3])):
    begin = time.process_time()
    Session.map(graph, config)
    print(time.process_time() - begin)
"""


@dataclass(frozen=True)
class Case:
    """make: writes the network into a folder, unless it is there. most: T that it may take. loading: whether that counts too."""

    make: Callable[[Path], Path]
    config: str
    most: float
    loading: bool = False


class _Network:
    """A .tflite file of layers one after another, with scales that keep sums within int8."""

    def __init__(self, name: str, shape: tuple[int, ...]):
        self.name, self.random = name, np.random.default_rng(large.SEED)
        self.builder = TfliteBuilder(name)
        self.x: Value = self.builder.input(shape, 0.02, -1)

    def _constants(self, *shape: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weights = self.random.integers(-127, 128, shape).astype(np.int8)
        bias = self.random.integers(-1000, 1000, shape[0]).astype(np.int32)
        fan = int(np.prod(shape[1:]))
        return (
            weights,
            bias,
            self.random.uniform(0.5, 1.0, shape[0]).astype(np.float32) / (73 * np.float32(np.sqrt(fan))),
        )

    def conv(self, outputs: int, kernel: int) -> None:
        constants = self._constants(outputs, kernel, kernel, self.x.shape[3])
        self.x = self.builder.conv2d(self.x, *constants, 0.02, -1, activation="RELU")

    def fully_connected(self, outputs: int) -> None:
        constants = self._constants(outputs, int(np.prod(self.x.shape)))
        self.x = self.builder.fully_connected(self.x, *constants, 0.02, -1)

    def write(self, folder: Path) -> Path:
        target = folder / f"{self.name}.tflite"
        self.builder.write(target, [self.x])
        return target


def fully_connected(folder: Path) -> Path:
    network = _Network("fully_connected_4096", (1, 4096))
    network.fully_connected(4096)
    return network.write(folder)


def pointwise(folder: Path) -> Path:
    network = _Network("pointwise_4096", (1, 14, 14, 4096))
    network.conv(4096, 1)
    return network.write(folder)


def large_pictures(folder: Path) -> Path:
    network = _Network("pictures_1024", (1, 1024, 1024, 3))
    network.conv(8, 3)
    network.conv(8, 3)
    return network.write(folder)


def chain(length: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        network = _Network(f"chain_{length}", (1, 32, 32, 32))
        for _ in range(length):
            network.conv(32, 3)
        return network.write(folder)

    return make


def shipped(name: str) -> Callable[[Path], Path]:
    return lambda folder: large.write(name, folder)


SHORT, LONG = "chain of 100 3x3 convolutions", "chain of 1,000 3x3 convolutions"
CASES = {
    "ResNet-18": Case(shipped("resnet18"), "edge256", 1.0),
    "MobileNetV2": Case(shipped("mobilenet_v2"), "edge256", 1.5),
    "FullyConnected, 4,096 to 4,096": Case(fully_connected, "edge64", 4.0, loading=True),
    "1x1 convolution, 4,096 to 4,096 at 14x14": Case(pointwise, "edge64", 10.0),
    "two 3x3 convolutions at 1,024x1,024": Case(large_pictures, "edge64", 10.0),
}
CHAINS = {SHORT: Case(chain(100), "edge64", 0), LONG: Case(chain(1000), "edge64", 0)}
MOST_GROWTH = 1.5
"""Seconds a command of the long chain over those of the short one."""


@contextmanager
def baseline(given: Path | None) -> Iterator[Path]:
    """A worktree of the baseline commit: the one given, or one made for this run."""
    if given is not None:
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve() / "baseline"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), BASELINE], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def baseline_seconds(folder: Path, network: Path, repeats: int = REPEATS) -> list[float]:
    """Of the baseline's mapping of ResNet-18."""
    command = [sys.executable, "-c", WORKER, str(folder), str(network.resolve()), str(repeats)]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return [float(line) for line in done.stdout.split()]


def measure(case: Case, folder: Path) -> tuple[float, Program]:
    """The best seconds of a few times."""
    path, config = case.make(folder), load_config(case.config)
    graph, best = load(path), float("inf")
    for _ in range(REPEATS + 1):  # the first compiles
        begin = time.process_time()
        program = Session.map(load(path) if case.loading else graph, config).program
        seconds = time.process_time() - begin
        best = min(best, seconds)
        if seconds > ENOUGH:
            break
    return best, program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--large", type=Path, metavar="FOLDER", help="where ResNet-18 and MobileNetV2 are, or are to be made"
    )
    parser.add_argument(
        "--baseline", type=Path, metavar="FOLDER", help=f"a worktree of {BASELINE}; by default one is made"
    )
    parser.add_argument("--only", action="append", metavar="TEXT", help="cases whose names contain TEXT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args()

    def wanted(name: str) -> bool:
        return not options.only or any(text in name for text in options.only)

    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch, baseline(options.baseline) as base:
        folder = options.large or Path(scratch)
        network = large.write("resnet18", folder)
        times = baseline_seconds(base, network)
        measured = {}
        for name, case in {**CASES, **CHAINS}.items():
            if wanted(name):
                seconds, program = measured[name] = measure(case, folder)
                print(f"{name}: {seconds:.2f} s, {len(program.commands):,} commands", file=sys.stderr)
        times += baseline_seconds(base, network)
    unit = min(times)
    for name, (seconds, program) in measured.items():
        most = CASES[name].most if name in CASES else None
        rows.append(
            {"what": name, "seconds": seconds, "commands": len(program.commands), "ratio": seconds / unit, "most": most}
        )
    if SHORT in measured and LONG in measured:
        each = [seconds / len(program.commands) for seconds, program in (measured[SHORT], measured[LONG])]
        rows.append(
            {"what": "seconds a command, 1,000 layers over 100", "ratio": each[1] / each[0], "most": MOST_GROWTH}
        )
    table = Table("what", "seconds", "commands", "ratio", "at most", "reached")
    table.add_row(f"T: {BASELINE} maps ResNet-18", f"{unit:.2f}", "", "1.00", "", "")
    for row in rows:
        seconds, commands = (
            f"{row[k]:{form}}" if k in row else "" for k, form in (("seconds", ".2f"), ("commands", ","))
        )
        most, ratio = row["most"], float(str(row["ratio"]))
        reached = "" if most is None else "yes" if ratio <= float(str(most)) else "no"
        table.add_row(str(row["what"]), seconds, commands, f"{ratio:.2f}", "" if most is None else str(most), reached)
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps({"T": unit, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
