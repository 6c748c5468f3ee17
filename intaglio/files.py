"""Files: read only if regular and of a bearable size; written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from intaglio.errors import InputError

LARGEST = 2**31 - 1
"""Bytes of the largest file that is read: a flatbuffer's offsets have 31 bits."""


def read_bytes(path: Path, remedy: str, largest: int = LARGEST) -> bytes:
    """The content of a regular file. InputError that names the path, the reason and, as the remedy, `remedy`."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is {'a directory' if path.is_dir() else 'not a regular file'}; {remedy}")
        size = path.stat().st_size
        if size > largest:
            raise InputError(f"{path}: has {size} bytes, more than {largest}; {remedy}")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from None
    except ValueError as error:
        raise InputError(f"{str(path)!r}: {error}; {remedy}") from None


def check_writable(path: Path | None) -> None:
    """Refuses a path that cannot be written before any work is done; None is no path."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{path}: is a directory; give the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it or choose another")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: the folder {path.parent} cannot be written; choose another")
    if path.exists() and not path.stat().st_mode & 0o222:
        raise InputError(f"{path}: exists and is read-only; choose another name, or chmod u+w it")


def write_bytes(path: Path, data: bytes) -> None:
    """An existing file stays whole until the new one is complete."""
    with writing(path) as file:
        file.write(data)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to write piece by piece, in the place of `path` once the block ends; after an exception nothing changes."""
    check_writable(path)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written ({reason}); choose another file") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
