"""Sums that continue from one command to the next: CONV's in the partial-sum memory, POOL's in the vector path.

Only CONV commands touch the one and only POOL commands the other, and COMPUTE runs both in program order: the commands of
each are looked at by themselves. Of partial sums it is checked that every word that a command continues was kept and not
taken since, as part of a whole pixel of as many channels; and that nothing that was kept is overwritten or left over. That
it is the same pixel is the program's meaning, not its safety.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from intaglio.machine.config import Config
from intaglio.machine.isa import Command, Opcode, conv_pixels


def continuation_faults(config: Config, commands: Iterable[Command]) -> Iterator[tuple[int, str]]:
    """(index, reason) of commands that drop sums which were kept, or continue sums that were not. The commands are
    legal one by one."""
    sums = (_PartialSums(config), _WindowSums())
    for index, command in enumerate(commands):
        for kept in sums:
            if command.opcode is kept.opcode:
                yield from ((index, reason) for reason in kept.run(index, command))
    for kept in sums:
        yield from kept.left_over()


def partial_words(config: Config, c: Command) -> range:
    """The words of the partial-sum memory that a CONV's passes have; none where it neither keeps nor continues sums."""
    first = c["partial_base"]
    if not _touches(c):
        return range(first, first)
    words = (c["channel_tiles"] - 1) * config.channel_groups + _words(config, c["last_channels"])
    return range(first, first + conv_pixels(c) * words)


def _touches(c: Command) -> bool:
    return not c["start"] or c["drain_from"] > 0


class _Kept(NamedTuple):
    """Words [low, high): whole pixels, of `channels` channels each, that command `command` keeps."""

    low: int
    high: int
    channels: int
    command: int


_SHAPE = "partial_base", "channel_tiles", "last_channels", "split", "pixel_tiles", "rows_per_tile", "last_pixels"
"""Fields that `_tiles` depends on."""


def _tiles(config: Config, c: Command) -> Iterator[tuple[int, int, int]]:
    """(first word, end, channels) of each channel tile, as if all of its pixels were kept."""
    at, tiles, pixels = c["partial_base"], c["channel_tiles"], conv_pixels(c)
    for tile in range(tiles):
        channels = c["last_channels"] if tile == tiles - 1 else config.cols
        end = at + pixels * _words(config, channels)
        yield at, end, channels
        at = end


def _words(config: Config, channels: int) -> int:
    """Words of one pixel's sums."""
    return -(-channels // config.requantizers)


class _PartialSums:
    """Sums kept in the partial-sum memory, as intervals in order."""

    opcode: ClassVar = Opcode.CONV

    def __init__(self, config: Config):
        self._config = config
        self._kept: list[_Kept] = []
        self._tiles: dict[tuple[int | None, ...], list[tuple[int, int, int]]] = {}

    def run(self, index: int, c: Command) -> Iterator[str]:
        if not _touches(c):
            return
        shape = tuple(map(c.fields.get, _SHAPE))
        if shape not in self._tiles:
            self._tiles[shape] = list(_tiles(self._config, c))
        for low, high, channels in self._tiles[shape]:
            tile, words = _Kept(low, high, channels, index), _words(self._config, channels)
            kept = _Kept(low, min(high, low + c["drain_from"] * words), channels, index)
            if c["start"]:
                for before in self._take(kept.low, kept.high)[:1]:
                    yield f"drops the sums that command {before.command} kept"
            else:
                yield from self._continued(tile, words)
            if kept.low < kept.high:
                self._kept.insert(bisect_left(self._kept, kept.low, key=lambda k: k.low), kept)

    def left_over(self) -> Iterator[tuple[int, str]]:
        for kept in self._kept:
            yield kept.command, f"keeps sums in words {kept.low} to {kept.high - 1} that no command takes"

    def _continued(self, tile: _Kept, words: int) -> Iterator[str]:
        reach = tile.low
        for before in self._take(tile.low, tile.high):
            if before.low > reach:
                break
            if before.channels != tile.channels:
                yield f"continues sums of {tile.channels} channels, command {before.command} kept {before.channels}"
                return
            if (tile.low - before.low) % words:
                yield f"continues sums from within a pixel that command {before.command} kept"
                return
            reach = before.high
        if reach < tile.high:
            yield f"continues sums in word {reach} of the partial-sum memory that no command before it kept"

    def _take(self, low: int, high: int) -> list[_Kept]:
        """Takes out the intervals that hold words of [low, high), whole."""
        first = bisect_right(self._kept, low, key=lambda k: k.high)
        last = max(first, bisect_left(self._kept, high, key=lambda k: k.low))
        found = self._kept[first:last]
        rest = [found[0]._replace(high=low), found[-1]._replace(low=high)] if found else []
        self._kept[first:last] = [k for k in rest if k.low < k.high]
        return found


class _WindowSums:
    """A window that POOL commands take in parts."""

    opcode: ClassVar = Opcode.POOL

    def __init__(self) -> None:
        self._kept: tuple[int, Command] | None = None

    def run(self, index: int, c: Command) -> Iterator[str]:
        before, self._kept = self._kept, (index, c) if c["hold"] else None
        if c["resume"] and before is None:
            yield "continues sums that no POOL before it kept"
        elif not c["resume"] and before is not None:
            yield f"drops the sums that command {before[0]} kept"
        elif before is not None:
            for name in ("channels", "maximum"):  # which sums there are, and whether they are sums
                if c[name] != before[1][name]:
                    yield f"{name} = {c[name]} continues command {before[0]}, of {before[1][name]}"

    def left_over(self) -> Iterator[tuple[int, str]]:
        if self._kept:
            yield self._kept[0], "keeps sums that no command takes"
