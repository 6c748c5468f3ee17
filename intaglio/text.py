"""Text as a terminal may show it: no control character of a name acts on the screen, and none turns the writing's direction."""

from __future__ import annotations

import unicodedata

_ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of characters that act and are not seen: controls, formats such as U+202E, halves of pairs, line separators."""
_JOINERS = "\u200c\u200d"
"""Formats that belong to the spelling of words and change no order."""
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text: str) -> str:
    """The text with what acts on a terminal escaped as Python does, line feeds too: a name cannot begin a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or not _acts(c) else _escaped(c) for c in text)


def encodable(text: str, encoding: str) -> str:
    """The text in characters that an encoding has, others escaped; an ellipsis is three points where there is none."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace("…", "...").encode(encoding, "backslashreplace").decode(encoding)
    return text


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ACTING and character not in _JOINERS


def _escaped(character: str) -> str:
    code = ord(character)
    return _NAMED.get(character) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"
    )
