"""Files that come from outside: only regular ones, of a bearable size, whole."""

from __future__ import annotations

from pathlib import Path

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
