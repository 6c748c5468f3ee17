"""JSON, text and arrays as files."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.files import write_bytes


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def json_text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An .npz file; any text is a key (np.savez takes keys as arguments and trips over "file")."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by key. InputError that names the file if it is missing, broken or no .npz."""
    remedy = "give an .npz file of arrays by input name, as np.savez(file, name=array) writes it"
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InputError(f"{path}: holds one array without a name (.npy); {remedy}")
        with loaded as file:
            arrays = {str(key): file[key] for key in file.files}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'not a readable .npz file'}; {remedy}") from None
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and numpy's header parser raise many kinds on broken bytes
        raise InputError(f"{path}: not a readable .npz file ({_reason(error)}); {remedy}") from None
    wrong = [key for key, value in arrays.items() if not isinstance(value, np.ndarray)]
    if wrong:
        raise InputError(f"{path}: {wrong[0]!r} is not an array; {remedy}")
    return arrays


def _reason(error: Exception) -> str:
    if "pickle" in str(error):
        return "it holds Python objects or text, not arrays of numbers"
    return " ".join(str(error).split())[:200] or type(error).__name__
