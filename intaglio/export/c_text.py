"""Text of a model file, which anybody may have written, as identifiers, comments and strings of C."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

LONGEST_TEXT = 80
LONGEST_IDENTIFIER = 40
LONGEST_CLOCK = 240
"""Characters of a clock with its origin."""


def comment_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text for a comment or a line of Markdown: letters, digits and harmless marks stay, everything else is "_"."""
    safe = re.sub(r"[^A-Za-z0-9 .,:;=+/()-]", "_", text)
    return safe if len(safe) <= longest else f"{safe[:longest]}..."


def string_literal(text: str) -> str:
    """A C string with the text's comment_text; neither an escape nor a trigraph is in it."""
    return f'"{comment_text(text)}"'


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """name -> part of an identifier out of [a-z0-9_], a different one for each name, the same for the same names in
    the same order. It may begin with a digit, and stands behind a prefix."""
    out: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        if name in out:
            continue
        base = re.sub(r"[^a-z0-9]+", "_", name.lower())[:LONGEST_IDENTIFIER].strip("_") or "tensor"
        chosen, number = base, 1
        while chosen in taken:
            number += 1
            chosen = f"{base}_{number}"
        taken.add(chosen)
        out[name] = chosen
    return out


def float_literal(value: float) -> str:
    """A finite binary32 number as an exact literal of C99."""
    number = float(np.float32(value))
    mantissa, exponent = number.hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}f"
