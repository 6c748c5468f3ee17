"""Files: read only if regular and of a bearable size; written whole or not at all, and never in the place of a device.

Every reader of the project reads by `read_bytes`, `read_part` or `opened`; every output goes through `writing` or `placing`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from intaglio.errors import InputError, OutputError
from intaglio.unfinished import temporary_folder, unfinished

LARGEST = 2**31 - 1
"""Bytes of the largest file that is read: a flatbuffer's offsets have 31 bits."""
_CHUNK = 2**20


@dataclass
class _Roles:
    """Files, by device and inode, that a command read as inputs, and those in whose place it will write."""

    inputs: dict[tuple[int, int], Path] = field(default_factory=dict)
    outputs: dict[tuple[int, int], Path] = field(default_factory=dict)


_roles: _Roles | None = None
"""Roles of the files in the call of a command; None outside of one."""


@contextmanager
def roles_kept() -> Iterator[None]:
    """Until the block ends no output takes the place of an input: neither is a file read that `target_of` was asked
    for, nor does it give one that was read."""
    global _roles
    before, _roles = _roles, _Roles()
    try:
        yield
    finally:
        _roles = before


def input_at(path: Path) -> Path | None:
    """The name under which this file was read as an input; None if it was not, or outside of `roles_kept`."""
    try:
        return None if _roles is None else _roles.inputs.get(_identity(os.stat(path)))
    except (OSError, ValueError):
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


# Reading.


@contextmanager
def opened(path: Path, remedy: str, largest: int = LARGEST, replaced: bool = False) -> Iterator[BinaryIO]:
    """A regular file of at most `largest` bytes, to read from. InputError that names the path, the reason and, as the
    remedy, `remedy`: for what is no regular file before it is opened, since opening a FIFO waits and reading a device
    may never end.

    The size is that at opening; a file that grows meanwhile is the reader's to bound. replaced: it is read to know whether an output
    may replace it, and is no input.
    """
    try:
        status = os.stat(path)
    except ValueError as error:  # a path that no system call takes
        raise InputError(f"{str(path)!r}: {error}; {remedy}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from None
    _check_regular(path, status, remedy, largest)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            _check_regular(path, found, remedy, largest)  # another file may stand there by now
            if _roles is not None and not replaced:
                if (output := _roles.outputs.get(_identity(found))) is not None:
                    raise InputError(f"{output}: is the input {path}; choose another name")
                _roles.inputs[_identity(found)] = path
            yield file
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from None


def read_bytes(path: Path, remedy: str, largest: int = LARGEST, replaced: bool = False) -> bytes:
    """The content of a regular file of at most `largest` bytes; errors and `replaced` as of `opened`."""
    with opened(path, remedy, largest, replaced) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1)
        if len(data) <= size:
            return data
        grown = bytearray(data)
        while more := file.read(_CHUNK):
            grown += more
            if len(grown) > largest:
                raise InputError(f"{path}: grows beyond {largest} bytes while it is read; {remedy}")
        return bytes(grown)


def read_part(path: Path, offset: int, length: int, remedy: str) -> bytes:
    """`length` bytes of a regular file from `offset` on; errors as `opened`, and for a file that ends before them."""
    if length > LARGEST:
        raise InputError(f"{path}: {length} bytes are wanted, more than {LARGEST}; {remedy}")
    with opened(path, remedy, largest=1 << 62) as file:
        size = os.fstat(file.fileno()).st_size
        if min(offset, length) < 0 or offset + length > size:
            raise InputError(f"{path}: has {size} bytes, {length} needed from {offset} on; {remedy}")
        file.seek(offset)
        data = file.read(length)
        if len(data) != length:
            raise InputError(f"{path}: shrank while it was read; {remedy}")
        return data


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a regular file, as many as there are; none of anything else."""
    try:
        with opened(path, "give a file", largest=1 << 62) as file:
            return file.read(count)
    except InputError:
        return b""


def kind_of(mode: int) -> str:
    """The kind of a file of this st_mode, for a message; "" for a regular one."""
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a block device",
        stat.S_IFSOCK: "a socket",
        stat.S_IFREG: "",
    }
    return kinds.get(stat.S_IFMT(mode), "no file of a known kind")


def _check_regular(path: Path, status: os.stat_result, remedy: str, largest: int) -> None:
    kind = kind_of(status.st_mode)
    if kind:
        raise InputError(f"{path}: is {kind}, not a regular file; {remedy}")
    if status.st_size > largest:
        raise InputError(f"{path}: has {status.st_size} bytes, more than {largest}; {remedy}")


# Writing.


@dataclass(frozen=True)
class Target:
    """The target of an output. place: the regular file that is made or replaced, links followed, so that a link stays
    one; or the device or FIFO that is written into and never replaced, with `node` true."""

    path: Path
    place: Path
    node: bool = False


def resolved(path: Path) -> Path:
    """The absolute path without links. InputError for a relative one where the present folder is gone."""
    try:
        return Path(os.path.realpath(path))
    except OSError as error:
        _refuse(path, f"cannot be found from the present folder ({error.strerror}); change to one that exists")


def target_of(path: Path) -> Target:
    """The target of writing to `path`. InputError for what cannot be, or is not, written to."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as error:
        _refuse(path, f"cannot be looked at ({getattr(error, 'strerror', None) or error}); choose another name")
    if mode is not None and stat.S_ISDIR(mode):
        _refuse(path, "is a directory; give the name of a file")
    if mode is not None and (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        if not os.access(path, os.W_OK):
            _refuse(path, f"is {kind_of(mode)} that cannot be written; choose another")
        return Target(path, path, node=True)
    if mode is not None and not stat.S_ISREG(mode):
        _refuse(path, f"is {kind_of(mode)}, which is neither written to nor replaced; give the name of a file")
    place = resolved(path)
    if (read := input_at(place)) is not None:
        _refuse(path, f"is the input {read}; choose another name")
    folder = path.parent if not path.is_symlink() else place.parent
    if _is_open_file(path):
        _refuse(path, "is an open file of this process, which is not replaced; give its name, or - for standard output")
    if not folder.is_dir():
        _refuse(path, f"there is no folder {folder}; make it or choose another")
    if not os.access(folder, os.W_OK | os.X_OK):
        _refuse(path, f"the folder {folder} cannot be written; choose another")
    if mode is not None and not mode & 0o222:
        _refuse(path, "exists and is read-only; choose another name, or chmod u+w it")
    if len(os.fsencode(place.name)) > _longest_name(folder):
        _refuse(path, "its name is too long for its folder; choose another")
    if _roles is not None and mode is not None:
        _roles.outputs[_identity(os.stat(place))] = path
    return Target(path, place)


def check_writable(path: Path | None) -> None:
    """Refuses a path that cannot be written before any work is done; None is no path."""
    if path is not None:
        target_of(path)


def write_bytes(path: Path, data: bytes) -> None:
    """An existing file stays whole until the new one is complete."""
    with writing(path) as file:
        file.write(data)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to write piece by piece, in the place of `path` once the block ends; after an exception nothing changes.

    A device or FIFO is written into as the block goes on; a reader that leaves it ends the block without an error. InputError
    for a path that is refused, OutputError where writing fails.
    """
    target = target_of(path)
    if target.node:
        with _into_node(target) as file:
            yield file
        return
    with _replacing(target) as scratch, _failing(target), open(scratch, "wb") as file:
        yield file


@contextmanager
def placing(path: Path) -> Iterator[Path]:
    """A path, with the suffix of `path`, for a library that writes files by name; what stands there when the block ends
    takes the place of `path`, as by `writing`."""
    target = target_of(path)
    if not target.node:
        with _replacing(target, path.suffix) as scratch:
            yield scratch
        return
    with temporary_folder() as folder:
        scratch = folder / f"output{path.suffix}"
        yield scratch
        with _into_node(target) as file, scratch.open("rb") as made:
            shutil.copyfileobj(made, file)


@contextmanager
def _replacing(target: Target, suffix: str = "") -> Iterator[Path]:
    """An empty file beside the target, which it replaces when the block ends."""
    with _failing(target):
        handle, name = tempfile.mkstemp(dir=target.place.parent, prefix=".intaglio.", suffix=suffix)
    with unfinished(Path(name)) as scratch:
        os.close(handle)
        yield scratch
        mask = os.umask(0)
        os.umask(mask)
        with _failing(target):
            os.chmod(scratch, 0o666 & ~mask)
            os.replace(scratch, target.place)


@contextmanager
def _failing(target: Target) -> Iterator[None]:
    """An OSError of writing as OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{target.path}: cannot be written ({error.strerror or error}); choose another file"
        ) from None


@contextmanager
def _into_node(target: Target) -> Iterator[BinaryIO]:
    try:
        handle = os.open(target.place, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        os.set_blocking(handle, True)
        with os.fdopen(handle, "wb") as file:
            if not kind_of(os.fstat(handle).st_mode):
                raise OutputError(f"{target.path}: was replaced by a regular file meanwhile; choose another")
            yield file
    except BrokenPipeError:
        return
    except OSError as error:
        reason = "no process reads it" if error.errno == errno.ENXIO else error.strerror or error
        raise OutputError(f"{target.path}: cannot be written ({reason}); choose another file") from None


def _is_open_file(path: Path) -> bool:
    """True if the path leads to a descriptor, as /dev/stdout and /dev/fd/1 do."""
    here = os.path.abspath(path)
    for _ in range(40):  # as many links as Linux follows
        if os.path.realpath(os.path.dirname(here)).startswith("/proc/"):
            return True
        if not os.path.islink(here):
            return False
        here = os.path.join(os.path.dirname(here), os.readlink(here))
    return False


def _longest_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError):
        return 255


def _refuse(path: Path, reason: str) -> NoReturn:
    name = repr(str(path)) if "\0" in str(path) else path
    raise InputError(f"{name}: {reason}")


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def json_text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, allow_nan=False) + "\n"
