"""The course of a run in time: its engines, tiles, bursts and stalls, and their picture in a trace viewer."""

from __future__ import annotations

from intaglio.trace.events import Slice, Trace

__all__ = ["Slice", "Trace"]
