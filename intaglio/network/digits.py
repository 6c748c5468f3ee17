"""Numbers in messages."""

from __future__ import annotations

LEAST, MOST = 6, 17
"""Significant digits: what a person reads, and what tells any two float64 numbers apart."""


def told_apart(a: float, b: float) -> tuple[str, str]:
    """Both numbers with as few digits as show that they differ, six at least: ('0.02', '0.0200001')."""
    for digits in range(LEAST, MOST):
        texts = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return f"{a:.{MOST}g}", f"{b:.{MOST}g}"
