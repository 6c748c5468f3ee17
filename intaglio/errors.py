"""Faults from outside, as exceptions: what is wrong, where, why and the remedy. docs/exit-status.md has the command's
status for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class InputError(Exception):
    """Bad input from outside (a file, a configuration, an argument).

    Its text is one message for a person: it names the file or field, gives the reason and the remedy.
    Defects of Intaglio itself raise other exceptions.
    """

    def __init__(self, *lines: str):
        """lines: of the message, mostly one. A line feed within one, as of a name, is none of the message's."""
        super().__init__("\n".join(lines))
        self.lines = lines

    def at(self, place: object) -> InputError:
        """The same of a place, a file mostly, which each line begins with."""
        return InputError(*(f"{place}: {line}" for line in self.lines))


class OutputError(Exception):
    """An output that was not refused could not be written: a full disk, a closed standard output.

    Its text is one message, as InputError's.
    """


@dataclass(frozen=True)
class Refusal:
    """Why one operator cannot run, or one input of a model cannot be taken.

    layer: the operator's (first output tensor's) or the input's name. operator: its kind, as the model file or the
    graph calls it; 'input' for an input of the model, 'network' for all of it. number: the operator's index in the model file, None for an input
    and for what the mapper refuses.
    """

    layer: str
    operator: str
    reason: str
    remedy: str
    number: int | None = None

    def __str__(self) -> str:
        if self.operator in ("input", "network"):
            where = f"  {self.operator} {self.layer!r}"
        elif self.number is not None:
            where = f"  #{self.number} {self.operator} {self.layer!r}"
        else:
            where = f"layer {self.layer!r} ({self.operator})"
        return f"{where}: {self.reason}; {self.remedy}"


class RefusedError(InputError):
    """A well-formed model that cannot run as it is: every refusal at once, as data too."""

    def __init__(self, head: str, refusals: Sequence[Refusal]):
        super().__init__(head, *map(str, refusals))
        self.refusals = tuple(refusals)
