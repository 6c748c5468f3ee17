"""Intaglio: integer MAC-array accelerators, generated, scheduled and simulated to the bit and the cycle."""

__version__ = "0.1.0"
