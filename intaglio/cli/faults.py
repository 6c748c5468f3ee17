"""An error of ours: one line for the user, the details in a file."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from pathlib import Path

from intaglio.version import __version__


def message(error: BaseException) -> str:
    """One line: what happened, where the details were written, and how to report it."""
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    place = write_details(error)
    if place is None:
        return f"an error of Intaglio's own ({what}); its details could not be written; please report it with the command that you gave"
    return f"an error of Intaglio's own ({what}); details are in {place}: please report it where you have Intaglio from, with that file"


def write_details(error: BaseException) -> Path | None:
    """Writes traceback, command and versions to a file in the cache, or the folder for temporary files; None if neither can be."""
    text = "\n".join(
        [
            f"intaglio {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"command: {sys.argv!a}",
            "",
            "".join(traceback.format_exception(error)),
        ]
    )
    for folder in (_cache() / "errors", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(".txt", "intaglio-error-", folder)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return Path(name)
        except OSError:
            continue
    return None


def _cache() -> Path:
    """As sim.rtl.cache's, which an error may have to do with."""
    chosen = os.environ.get("INTAGLIO_CACHE")
    if chosen:
        return Path(chosen)
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/nonexistent")) / ".cache") / "intaglio"
    )
