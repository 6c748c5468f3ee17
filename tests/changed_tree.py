"""A copy of the working tree, with caches of its own, in which one file is changed and tests run on it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

VERIFY = "small verify"
"""The check by tests.mutation.small_verify."""
LONGEST = 1200.0
"""Seconds of a check on the unchanged tree, and the least that a changed one gets: builds share the machine with others."""
_TOOLS = {".cwasm", ".runtime"}
"""What is cached of the tools alone, whatever the hardware."""
_PYTEST = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--tb=line"]


class Tree:
    """The copy. folder: of the state; `tree` and the caches in it are this object's."""

    def __init__(self, source: Path, folder: Path):
        self.path = folder / "tree"
        self._cache = folder / "cache"
        shutil.rmtree(self.path, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=source,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        names = sorted(name for name in listed.split("\0") if name and os.path.lexists(source / name))
        digest = hashlib.sha256()
        for name in names:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, self.path / name, follow_symlinks=False)
            if name.endswith((".py", ".cpp", ".yaml")) and (source / name).is_file():
                digest.update(name.encode() + (source / name).read_bytes())
        self.version = digest.hexdigest()[:16]
        """Names the sources and tests as they were copied."""

    @contextlib.contextmanager
    def changed(self, file: str, code: str) -> Iterator[None]:
        """With `code` as a file's whole text; afterwards as before, and without what was built of it."""
        path = self.path / file
        kept = {p.name for p in self._built()}
        before = path.read_text()
        path.write_text(code)
        try:
            yield
        finally:
            path.write_text(before)
            for built in self._built():
                if built.name not in kept and built.suffix not in _TOOLS:
                    shutil.rmtree(built) if built.is_dir() else built.unlink()

    def run(self, check: str, seconds: float = LONGEST) -> tuple[str, str, float]:
        """("passed", "failed" or "timeout", the end of what it printed, seconds). check: VERIFY, or arguments of pytest."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.path),
            "INTAGLIO_CACHE": str(self._cache),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = ["-m", "tests.mutation.small_verify"] if check == VERIFY else [*_PYTEST, *shlex.split(check)]
        begin = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=self.path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            text, _ = process.communicate(timeout=max(seconds, LONGEST / 4))
            outcome = "failed" if process.returncode else "passed"
        except subprocess.TimeoutExpired:
            text, outcome = "", "timeout"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return outcome, text[-600:], time.monotonic() - begin

    def _built(self) -> list[Path]:
        folder = self._cache / "rtl"
        return list(folder.iterdir()) if folder.is_dir() else []
