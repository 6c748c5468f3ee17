"""Targets: what the hardware is written for, handed to each module's `elaborate` as its platform."""

from __future__ import annotations

PORTABLE = "verilog"
"""Operators and registers alone, which every tool understands and gives blocks of its own."""
ECP5 = "ecp5"
"""Multipliers are Lattice ECP5's MULT18X18D with their registers (hw/mult18x18d.py), which open tools give none."""
TARGETS = (PORTABLE, ECP5)


def target_of(chip: str | None) -> str:
    """The target of a configuration's `chip`, whose name begins with its family's; PORTABLE of one without a target of its
    own, and without a chip."""
    family = (chip or "").lower().partition("-")[0]
    return family if family in TARGETS else PORTABLE


def built_for(chip: str | None) -> str:
    """A sentence for people: the chips that the Verilog of a configuration with that `chip` is for, and the remedy."""
    if target_of(chip) == ECP5:
        return (
            "Multipliers are MULT18X18D, for a Lattice ECP5: for another chip write it with --set chip=NAME, or null."
        )
    return "Operators and registers alone, for any chip."
