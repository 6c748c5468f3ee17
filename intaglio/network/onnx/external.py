"""Constants whose bytes lie in files beside the model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intaglio.errors import InputError
from intaglio.files import read_part

Refuse = Callable[[str, str], InputError]
"""(reason, remedy) to the refusal of the model."""


def read_external(path: Path, tensor: Any, wanted: int, refuse: Refuse) -> None:
    """Puts the `wanted` bytes of an external file into the tensor; the file must lie in the model's folder or below."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    where = f"the data of constant {tensor.name!r} are in {location!r}"
    beside = "save the model with its data beside it"
    if "\0" in location:
        raise refuse(f"{where}, which no file is called", beside)
    folder = path.parent.resolve()
    try:
        file = (folder / location).resolve()
    except (OSError, RuntimeError) as error:  # links in a circle, a name too long
        raise refuse(f"{where}, which is no path ({error})", beside) from None
    if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
        raise refuse(f"{where}, outside the model's folder", beside)
    if not os.path.exists(file):  # false too where the name is too long
        raise refuse(f"{where}, which is missing", "put that file beside the model")
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", str(wanted)))
    except ValueError:
        raise refuse(f"{where} at a place that is no number", beside) from None
    if length != wanted:
        raise refuse(f"{where}: {length} bytes, {wanted} needed", beside)
    try:
        data = read_part(file, offset, length, "put the model's data beside it")
    except InputError as error:
        reason, _, remedy = str(error).rpartition("; ")
        raise refuse(f"{where}: {reason}", remedy) from None
    tensor.raw_data = data
    tensor.data_location = 0
    del tensor.external_data[:]
