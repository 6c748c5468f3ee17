"""The folder for what takes long to make: made once, by one process, whole or not at all, and used only as it was made.

A cached file's name ends in the hash of its content, so one rename makes both appear together, and what was cut short
or changed since is noticed, removed and made again.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache as memoized
from pathlib import Path

from intaglio.errors import InputError
from intaglio.places import cache_is_chosen, cache_root, plain_folder
from intaglio.unfinished import temporary_folder

REMEDY = "set INTAGLIO_CACHE to a folder that can be written"


def folder() -> Path:
    """rtl in the folder of all caches. Made if it is missing.

    InputError where $INTAGLIO_CACHE cannot be made; where the user's cache folder cannot, one that lasts as long as this
    process.
    """
    root = cache_root()
    if root is None:
        return _own()
    try:
        (root / "rtl").mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        if cache_is_chosen():
            raise InputError(f"cache folder {root / 'rtl'}: {getattr(error, 'strerror', error)}; {REMEDY}") from None
        return _own()
    return root / "rtl"


def key(*parts: str) -> str:
    """A name for what `parts` decide."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:32]


def made(name: str, make: Callable[[Path], Path]) -> Path:
    """The file or folder `name` of the cache, its content as it was made. If there is none, make(scratch) makes it in
    an empty folder with a plain path and tells where.

    Processes that want the same file wait for the one that makes it. A failure leaves nothing behind. InputError where
    $INTAGLIO_CACHE cannot be written.
    """
    there = found(name)
    if there is not None:
        return there
    place = folder()
    if not cache_is_chosen() and not os.access(place, os.W_OK | os.X_OK):
        place = _own()
    try:
        with _locked(place / f"{name}.lock"):
            return _found(place, name) or _make(place, name, make)
    except OSError as error:
        raise InputError(f"cache folder {place}: {error.strerror or error}; {REMEDY}") from None


def found(name: str) -> Path | None:
    """The file or folder `name` of the cache, its content as it was made; None if there is none."""
    return _found(folder(), name)


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's tree: names, kinds, permission to execute, content. OSError where
    that cannot be read, or is neither file nor folder."""
    digest = hashlib.sha256()
    _digest(path, digest)
    return digest.hexdigest()[:32]


def remove(path: Path) -> None:
    """A file, a link or a folder with all that it holds; nothing if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@memoized
def _own() -> Path:
    """A folder of this process's own."""
    kept = ExitStack()
    atexit.register(kept.close)
    return kept.enter_context(temporary_folder())


def _candidates(place: Path, name: str) -> Iterator[tuple[Path, str]]:
    """Everything there under that name, each with the hash that it should have."""
    stem, suffix = os.path.splitext(name)
    form = re.compile(rf"{re.escape(stem)}\.([0-9a-f]{{32}}){re.escape(suffix)}")
    for other in sorted(os.listdir(place)):
        if match := form.fullmatch(other):
            yield place / other, match[1]


def _found(place: Path, name: str) -> Path | None:
    for path, digest in _candidates(place, name):
        try:
            if content_hash(path) == digest:
                return path
        except OSError:
            continue
    return None


def _make(place: Path, name: str, make: Callable[[Path], Path]) -> Path:
    """Under the lock: whatever lies there is broken, or was left by a process that was killed."""
    for path, _ in _candidates(place, name):
        remove(path)
    prefix = f"{name}.new."
    for other in os.listdir(place):
        if other.startswith(prefix):
            remove(place / other)
    stem, suffix = os.path.splitext(name)
    with plain_folder(prefix, beside=place) as scratch:
        result = make(scratch)
        target = place / f"{stem}.{content_hash(result)}{suffix}"
        if scratch.parent != place:  # perhaps on another disk
            beside = place / f"{prefix}{os.getpid()}"
            try:
                shutil.move(result, beside)
                os.replace(beside, target)
            finally:
                remove(beside)
        else:
            os.replace(result, target)
    return target


def _digest(path: Path, digest: hashlib._Hash) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        digest.update(b"link\0" + os.fsencode(os.readlink(path)) + b"\0")
    elif stat.S_ISREG(mode):
        digest.update(b"program\0" if mode & stat.S_IXUSR else b"file\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    elif stat.S_ISDIR(mode):
        names = sorted(os.listdir(path))
        digest.update(b"folder\0%d\0" % len(names))
        for name in names:
            digest.update(os.fsencode(name) + b"\0")
            _digest(path / name, digest)
    else:
        raise OSError(f"{path}: neither a file nor a folder")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
