"""A folder of files, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from intaglio.errors import InputError, OutputError
from intaglio.files import input_at, read_bytes
from intaglio.unfinished import unfinished

MANIFEST = "manifest.json"
FORMAT = "intaglio export"
BUILT = "build"
"""A folder in an export that its Makefile writes, and that stays when the export is written anew."""
LARGEST_MANIFEST = 16 * 2**20
"""Bytes of a manifest that is read."""


def check_folder(folder: Path) -> None:
    """Refuses a folder that write_folder would not write: a file, one that cannot be written, one that holds anything
    but an export exactly as it was written (edited files and files beside them are never overwritten)."""
    if _exists(folder) and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder")
    if folder.is_dir():
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise InputError(f"{folder}: cannot be written; choose another folder")
        kept = _not_ours(folder)
        if kept:
            raise InputError(f"{folder}: holds {kept}; choose another folder, or move that away")
        return
    parent = folder.absolute().parent
    while not _exists(parent):
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(
            f"{folder}: cannot be made, for {parent} is no folder that can be written; choose another folder"
        )


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files by name. A folder that does not exist appears with all of them at once; into one that does they
    are moved when all are written, the manifest last."""
    check_folder(folder)
    there = folder.is_dir()
    try:
        # Beside a new folder; inside an old one, which may be a mount point or a shell's current folder.
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        inside = folder if there else folder.absolute().parent
        with unfinished(Path(tempfile.mkdtemp(prefix=".intaglio-export.", dir=inside))) as staging:
            for name, data in files.items():
                (staging / name).write_bytes(data)
            if there:
                old = set(os.listdir(folder)) - {staging.name, BUILT}
                for name in sorted(files, key=lambda name: name == MANIFEST):
                    os.replace(staging / name, folder / name)
                for name in old - set(files):
                    (folder / name).unlink()
            else:
                mask = os.umask(0)
                os.umask(mask)
                staging.chmod(0o777 & ~mask)
                os.rename(staging, folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{folder}: cannot be written ({reason}); choose another folder") from None


def _exists(path: Path) -> bool:
    """InputError for a path that the system does not take."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be looked at ({reason}); choose another folder") from None
    return True


def _not_ours(folder: Path) -> str:
    """Names something in an existing folder that no export wrote; "" if there is nothing."""
    names = sorted(os.listdir(folder))
    if not names:
        return ""
    hashes = _manifest_hashes(folder / MANIFEST)
    if hashes is None:
        return f"{names[0]!r} and no {MANIFEST} of an export"
    for name in names:
        path = folder / name
        if name == BUILT and path.is_dir() and not path.is_symlink():
            continue
        if input_at(path) is not None:
            return f"{name!r}, which is an input"
        if name == MANIFEST:
            continue
        if name not in hashes or not path.is_file() or path.is_symlink():
            return f"{name!r}, which no export wrote"
        if hashlib.sha256(read_bytes(path, "choose another folder", replaced=True)).hexdigest() != hashes[name]:
            return f"{name!r}, which was changed after the export"
    return ""


def _manifest_hashes(path: Path) -> dict[str, str] | None:
    """Files of the export that this manifest is of, with their SHA-256; None if it is none."""
    try:
        manifest = json.loads(read_bytes(path, "choose another folder", LARGEST_MANIFEST, replaced=True))
        if manifest["format"] != FORMAT:
            return None
        return {str(file["name"]): str(file["sha256"]) for file in manifest["files"]}
    except (InputError, ValueError, KeyError, TypeError, RecursionError):
        return None
