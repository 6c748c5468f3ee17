"""One case: which good file is spoiled how, and what is called with it. A kind and a seed decide everything."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz_files.bases import NETWORKS
from tests.fuzz_files.spoil import spoil_bytes, spoil_json, spoil_npz, spoil_onnx, spoil_text

KINDS = ("tflite", "onnx", "float", "external", "config", "table", "input", "data", "calibration", "mapping", "program")
PROGRAM = "program"
"""The command of a case that no command of `intaglio` takes: Program.load and validate."""


@dataclass(frozen=True)
class Case:
    """arguments: of the command; `spoiled` is among them, `outputs` are those that it may write."""

    kind: str
    seed: int
    arguments: tuple[str, ...]
    spoiled: Path
    content: bytes

    def __str__(self) -> str:
        return f"{self.kind}:{self.seed}"


def case(kind: str, seed: int, bases: Path, folder: Path) -> Case:
    """The spoiled file is to be written into the folder, where outputs go too."""
    rng = random.Random(f"{kind}:{seed}")
    network = f"net{rng.randrange(NETWORKS)}.{rng.choice(('tflite', 'onnx'))}"
    base, how = _base(rng, kind, network)
    content = how(rng, (bases / base).read_bytes())
    spoiled = folder / ("apart.data" if base == "apart.data" else f"spoiled{Path(base).suffix}")
    return Case(kind, seed, _arguments(rng, kind, bases / network, bases, spoiled, folder), spoiled, content)


def _base(rng: random.Random, kind: str, network: str) -> tuple[str, Callable[[random.Random, bytes], bytes]]:
    files: dict[str, tuple[str, Callable[[random.Random, bytes], bytes]]] = {
        "tflite": (f"net{rng.randrange(NETWORKS)}.tflite", spoil_bytes),
        "onnx": (f"net{rng.randrange(NETWORKS)}.onnx", spoil_onnx),
        "float": ("float.onnx", spoil_onnx),
        "external": ("apart.onnx", spoil_onnx),
        "config": (rng.choice(("edge64.yaml", "tiny16.yaml", "wide.yaml")), spoil_text),
        "table": ("table.yml", spoil_text),
        "input": (f"{network}.in.npz", spoil_npz),
        "data": (f"{network}.data.npz", spoil_npz),
        "calibration": ("float.data.npz", spoil_npz),
        "mapping": (f"{network}.map.json", spoil_json),
        "program": (f"{network}.program.npz", spoil_npz),
    }
    return files[kind]


def _arguments(
    rng: random.Random, kind: str, network: Path, bases: Path, spoiled: Path, folder: Path
) -> tuple[str, ...]:
    json = ("--json", str(folder / "out.json"))
    tiny = ("--config", "tiny16")
    if kind in ("tflite", "onnx"):
        return (rng.choice(("check", "run", "map", "compare")), str(spoiled), *tiny, *json)
    if kind in ("float", "external"):
        return (
            "quantize",
            str(spoiled),
            "--data",
            str(bases / "float.data.npz"),
            "-o",
            str(folder / "out.onnx"),
            *json,
        )
    if kind == "config":
        return (rng.choice(("check", "run", "map")), str(network), "--config", str(spoiled), *json)
    if kind == "table":
        return ("compare", str(network), *tiny, "--table", str(spoiled), *json)
    if kind == "input":
        return ("run", str(network), *tiny, "--input", str(spoiled), "--outputs", str(folder / "out.npz"))
    if kind == "data":
        return ("run", str(network), *tiny, "--data", str(spoiled), *json)
    if kind == "calibration":
        return ("quantize", str(bases / "float.onnx"), "--data", str(spoiled), "-o", str(folder / "out.onnx"), *json)
    if kind == "mapping":
        return ("map", "--check", str(spoiled), *json)
    return (PROGRAM, str(spoiled))
