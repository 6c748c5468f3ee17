"""Places for files: the cache, and folders whose names every tool takes."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intaglio.errors import InputError
from intaglio.unfinished import unfinished

_PLAIN = re.compile(r"[A-Za-z0-9_./+@=-]+")
_ELSEWHERE = ("/tmp", "/var/tmp", "/dev/shm")


def is_plain(path: Path) -> bool:
    """True if an absolute path, links followed, has only characters that neither make nor a shell gives a meaning."""
    return _PLAIN.fullmatch(str(path)) is not None and _PLAIN.fullmatch(str(path.resolve())) is not None


@contextmanager
def plain_folder(prefix: str, beside: Path | None = None) -> Iterator[Path]:
    """A new empty folder with a plain path (is_plain), removed at the end: make and Verilator's makefiles take no
    other.

    It lies in `beside` if that can be, else where temporary files do. InputError where no such place can be written.
    """
    parents = [*([beside] if beside else []), Path(tempfile.gettempdir()), *map(Path, _ELSEWHERE)]
    made: Path | None = None
    for parent in parents:
        if is_plain(parent.absolute()):
            try:
                made = Path(tempfile.mkdtemp(prefix=prefix, dir=parent.absolute()))
                break
            except OSError:
                continue
    if made is None:
        places = ", ".join(map(str, parents))
        raise InputError(
            f"no temporary folder: none of {places} has a name without spaces and can be written; set TMPDIR to one that does"
        )
    with unfinished(made):
        yield made


def cache_root() -> Path | None:
    """The folder of all caches: $INTAGLIO_CACHE, else intaglio in $XDG_CACHE_HOME or ~/.cache. It need not exist; None
    where no variable and no home tells of one."""
    chosen = os.environ.get("INTAGLIO_CACHE")
    if chosen:
        return Path(chosen).absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(shared):  # as that standard wants it
        return Path(shared) / "intaglio"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "intaglio" if os.path.isabs(home) else None


def cache_is_chosen() -> bool:
    """True if the user named the folder of all caches."""
    return bool(os.environ.get("INTAGLIO_CACHE"))
