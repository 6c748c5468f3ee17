"""The words of a reference about a model that it does not take."""

from __future__ import annotations

from pathlib import Path

from intaglio.errors import InputError


class NoReference(InputError):
    """The format's reference refuses a model that Intaglio takes. reference: its name; reason: its words."""

    def __init__(self, path: str | Path, reference: str, error: BaseException, remedy: str = "") -> None:
        words = " ".join(str(error).split())
        self.reference = reference
        self.reason = words if len(words) <= 300 else f"{words[:120]} ... {words[-170:]}"
        super().__init__(
            f"{path}: {reference}, the reference, cannot load it: {self.reason}; {remedy}{', or ' * bool(remedy)}use `intaglio run`, "
            "which needs no reference"
        )
