"""The external memory as configured, and what a transfer costs there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class TransferCost:
    """The cost by which the mapper estimates transfers. bytes_per_cycle: of a long one. latency: cycles from a request
    to its first beat."""

    bytes_per_cycle: float
    latency: int

    def cycles(self, bytes_moved: float, transfers: float = 1) -> float:
        """Cycles of so many bytes in so many transfers, one after another."""
        return bytes_moved / self.bytes_per_cycle + transfers * self.latency

    def least_cycles(self, bytes_moved: int) -> int:
        """The fewest cycles of the channel in which so many bytes move, rounded up."""
        return int(-(-bytes_moved // self.bytes_per_cycle))


@dataclass(frozen=True)
class MemoryConfig:
    """External memory: one channel shared by reads and writes. Its model is sim.memory.channel; another model has a
    subclass.

    bytes_per_cycle: its rate, at most bus_bytes. latency: cycles from a request's acceptance to its first
    beat, and from a write's last beat to its response. outstanding: bursts in flight, a limit that the
    hardware keeps.
    """

    bytes_per_cycle: int = 8
    latency: int = 32
    outstanding: int = 8

    @cached_property
    def cost(self) -> TransferCost:
        return TransferCost(self.bytes_per_cycle, self.latency)
