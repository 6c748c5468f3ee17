"""Addresses in the memories on chip: free intervals for activations, a ring for weights and records."""

from __future__ import annotations

from collections.abc import Iterable

Interval = tuple[int, int]


class FreeSpace:
    """Free intervals of the activation memory, sorted, none adjacent to another."""

    def __init__(self, size: int, bank_bytes: int, taken: Iterable[Interval] = ()):
        """size and bank_bytes in bytes; taken: intervals [low, high) that are in use, disjoint."""
        self.bank_bytes = bank_bytes
        self.free: list[Interval] = []
        at = 0
        for low, high in sorted(taken):
            if at < low:
                self.free.append((at, low))
            at = max(at, high)
        if at < size:
            self.free.append((at, size))

    @staticmethod
    def of(free: Iterable[Interval], bank_bytes: int) -> FreeSpace:
        """free: as the attribute."""
        space = FreeSpace(0, bank_bytes)
        space.free = list(free)
        return space

    def banks(self, low: int, size: int) -> int:
        """The banks that [low, low + size) touches, as bits."""
        first, last = low // self.bank_bytes, (low + max(size, 1) - 1) // self.bank_bytes
        return (2 << last) - (1 << first)

    def take(self, size: int, avoid: int) -> int | None:
        """The address of a new block: outside the banks to avoid, bits, if possible, then where least is left over.

        None where no free interval holds it.
        """
        best: tuple[int, int, int] | None = None
        for low, high in self.free:
            rest = high - low - size
            if rest < 0:
                continue
            if not avoid or not self.banks(low, size) & avoid:
                score = (0, rest, low)  # no other start in this interval is better
                if best is None or score < best:
                    best = score
                continue
            for start in (
                low,
                high - size,
                *range((low // self.bank_bytes + 1) * self.bank_bytes, high - size + 1, self.bank_bytes),
            ):
                score = ((self.banks(start, size) & avoid).bit_count(), rest, start)
                if best is None or score < best:
                    best = score
        if best is None:
            return None
        self._remove(best[2], best[2] + size)
        return best[2]

    def _remove(self, low: int, high: int) -> None:
        out = []
        for a, b in self.free:
            if b <= low or a >= high:
                out.append((a, b))
                continue
            if a < low:
                out.append((a, low))
            if high < b:
                out.append((high, b))
        self.free = out


class Ring:
    """Blocks of a memory handed out in turn: a new block overwrites the oldest ones."""

    def __init__(self, size: int, at: int = 0):
        self.size = size
        self.at = at

    def take(self, size: int) -> int:
        """The address of the next `size` bytes in one run; size <= self.size. What one command needs is taken at once: of two
        takes the second may lie where the first does."""
        assert size <= self.size, f"{size} bytes of a memory of {self.size}"
        if self.at + size > self.size:
            self.at = 0
        start = self.at
        self.at += size
        return start

    def align(self, size: int) -> None:
        """Goes on to a place from which blocks of `size` bytes follow one another without a gap, so that as many as fit are there at
        once from the first on."""
        self.at = -(-self.at // size) * size
