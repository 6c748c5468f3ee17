"""The folder for what takes long to make: made once, by one process, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from intaglio.errors import InputError


def folder() -> Path:
    """$INTAGLIO_CACHE, or intaglio in the user's cache folder; with rtl below it. Made if it is missing."""
    chosen = os.environ.get("INTAGLIO_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "intaglio"
    path = (Path(chosen) if chosen else home) / "rtl"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cache folder {path}: {error.strerror}; set INTAGLIO_CACHE to a folder that can be written"
        ) from None
    return path


def key(*parts: str) -> str:
    """A name for what `parts` decide."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:32]


def made(name: str, make: Callable[[Path], Path]) -> Path:
    """The file `name` in the cache. If it is missing, make(scratch) makes it in an empty folder and tells where.

    Processes that want the same file wait for the one that makes it. A failure leaves nothing behind.
    """
    target = folder() / name
    if target.exists():
        return target
    try:
        with _locked(target.with_suffix(".lock")):
            if not target.exists():
                scratch = Path(tempfile.mkdtemp(prefix=f"{target.stem}.", dir=target.parent))
                try:
                    os.replace(make(scratch), target)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"cache folder {target.parent}: {error.strerror or error}; set INTAGLIO_CACHE to a "
            f"folder that can be written"
        ) from None
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
