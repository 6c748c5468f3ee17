"""ZigZag's own virtual environment, made on the first call in the cache folder; nothing of it is a dependency of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intaglio import cache
from intaglio.errors import InputError

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
MINUTES = 20
"""Of installing, and of a run, after which it is given up."""


def interpreter() -> Path:
    """The environment's Python. The first call installs REQUIREMENTS from PyPI, about 450 MB. InputError where it cannot."""
    pins = REQUIREMENTS.read_text()
    name = f"zigzag_{cache.key(pins, sys.version)}"
    return cache.made(name, _make) / "bin" / "python"


def _make(scratch: Path) -> Path:
    folder = scratch / "environment"
    _call([sys.executable, "-m", "venv", str(folder)], "make ZigZag's environment", "install Python's venv module")
    options = ["--no-deps", "--quiet", "--disable-pip-version-check", "--retries", "2", "--timeout", "30"]
    _call(
        [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", *options, "-r", str(REQUIREMENTS)],
        "install ZigZag's packages",
        f"see that pip reaches PyPI, or a mirror of it (PIP_INDEX_URL), for {REQUIREMENTS}",
    )
    return folder


def solve(jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """worker.py's results. InputError where ZigZag does not give them."""
    python = interpreter()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        remedy = f"remove {python.parents[1]} and try again"
        _call([str(python), "-I", "-B", str(HERE / "worker.py"), str(results)], "run ZigZag", remedy, json.dumps(jobs))
        return json.loads(results.read_text())


def _call(command: list[str], what: str, remedy: str, given: str = "") -> None:
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60 * MINUTES, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"cannot {what}: not done after {MINUTES} minutes; {remedy}") from None
    except OSError as error:
        raise InputError(f"cannot {what}: {error.strerror or error}; {remedy}") from None
    if done.returncode:
        last = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise InputError(f"cannot {what}: {last[-1] if last else f'status {done.returncode}'}; {remedy}")
