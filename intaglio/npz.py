"""Arrays in .npz files: what a file holds is known from its directory and headers before an array is unpacked."""

from __future__ import annotations

import io
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from intaglio.errors import InputError
from intaglio.files import LARGEST, opened

REMEDY = "give an .npz file of arrays by input name, as np.savez(file, name=array) writes it"
LARGEST_UNPACKED = LARGEST
"""Bytes of a file's arrays together."""
MOST_ARRAYS = 4096
_LARGEST_DIRECTORY = 2**20
"""Bytes of the zip's directory: of MOST_ARRAYS entries and more."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SUFFIX = ".npy"
_LONGEST_HEADER = 10_000


@dataclass(frozen=True)
class Header:
    """Shape and type of an array that is not unpacked yet."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npz(
    path: Path, accept: Callable[[Mapping[str, Header]], None] | None = None, remedy: str = REMEDY
) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by key.

    accept: called with the headers before any array is unpacked; an InputError that it raises passes. InputError that names the
    file if it is missing, no regular file, broken, no .npz, or larger than LARGEST_UNPACKED once unpacked.
    """
    with opened(path, remedy) as file:
        try:
            if file.read(6) == npy.MAGIC_PREFIX:
                raise InputError(f"{path}: holds one array without a name (.npy); {remedy}")
            file.seek(0)
            return _arrays(path, file, accept, remedy)
        except InputError:
            raise
        except Exception as error:  # zipfile, zlib and numpy's header parser raise many kinds on broken bytes
            raise InputError(f"{path}: not a readable .npz file ({_reason(error)}); {remedy}") from None


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An .npz file; any text is a key (np.savez takes keys as arguments and trips over "file")."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            part = io.BytesIO()
            npy.write_array(part, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}{_SUFFIX}"), part.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _arrays(
    path: Path, file: BinaryIO, accept: Callable[[Mapping[str, Header]], None] | None, remedy: str
) -> dict[str, np.ndarray]:
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if (
        end is not None and end[5] > _LARGEST_DIRECTORY
    ):  # ZipFile takes hundreds of bytes of memory for each entry of 46
        raise InputError(f"{path}: its directory has {end[5]} bytes, more than {_LARGEST_DIRECTORY}; {remedy}")
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > MOST_ARRAYS:
            raise InputError(f"{path}: has {len(entries)} entries, more than {MOST_ARRAYS}; {remedy}")
        total = sum(entry.file_size for entry in entries)
        if total > LARGEST_UNPACKED:
            raise InputError(
                f"{path}: its {os.fstat(file.fileno()).st_size} bytes unpack to {total}, more than {LARGEST_UNPACKED}; give fewer "
                f"samples or smaller arrays"
            )
        headers = {_key(path, entry, remedy): _header(archive, entry) for entry in entries}
        if accept is not None:
            accept(headers)
        out = {}
        for entry in entries:
            with archive.open(entry) as part:
                out[entry.filename.removesuffix(_SUFFIX)] = npy.read_array(part, allow_pickle=False)
                if part.read(1):
                    raise ValueError(f"{entry.filename} goes on behind its array")
        return out


def _key(path: Path, entry: zipfile.ZipInfo, remedy: str) -> str:
    if not entry.filename.endswith(_SUFFIX):
        raise InputError(f"{path}: {entry.filename!r} is not an array; {remedy}")
    return entry.filename.removesuffix(_SUFFIX)


def _header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Header:
    """ValueError where the array would not be just what the directory says it takes."""
    if entry.compress_type not in _METHODS:
        raise ValueError(f"{entry.filename} is packed by another method than np.savez's")
    with archive.open(entry) as part:
        version = npy.read_magic(part)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{entry.filename} is of the .npy version {version}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy's of a header that is none of today's, and of types
            shape, _, dtype = read(part, max_header_size=_LONGEST_HEADER)
        at = part.tell()
    if dtype.hasobject:
        raise ValueError("pickle")
    if dtype.names is not None or dtype.subdtype is not None or dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError(f"{entry.filename} is no array of numbers")
    header = Header(shape, dtype)
    if header.nbytes != entry.file_size - at:
        raise ValueError(f"{entry.filename} claims {header.nbytes} bytes and has {entry.file_size - at}")
    return header


def _reason(error: Exception) -> str:
    if "pickle" in str(error):
        return "it holds Python objects or text, not arrays of numbers"
    return " ".join(str(error).split())[:200] or type(error).__name__
