"""Channel tiles of a convolution in groups, and the bytes on chip that a group's weights and records take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intaglio.machine.config import Config
from intaglio.mapper.tasks.geometry import Part
from intaglio.program.layout import align_up

if TYPE_CHECKING:
    from intaglio.mapper.tasks.convolution import ConvTask


@dataclass(frozen=True)
class Groups:
    """Order of a convolution's weights. tiles: channel tiles in a command. kept: all stay on chip during the
    layer. outer: each group runs over all pieces before the next. parts: of the reduction, more than one
    where a tile's weights come in parts; by_part: so does its input, for one array tile at a time. apart: each group's records
    come with its weights, though those of all might take less than half the memory."""

    tiles: int
    kept: bool
    outer: bool
    parts: tuple[Part, ...]
    by_part: bool = False
    apart: bool = False

    @property
    def in_parts(self) -> bool:
        return self.by_part or len(self.parts) > 1


def tile_groups(tiles: int, each: int) -> list[range]:
    """Channel tiles in groups of at most `each`."""
    return [range(i, min(i + each, tiles)) for i in range(0, tiles, each)]


def weight_bytes(config: Config, part: Part, tiles: int) -> int:
    """Bytes of the weight memory that the block of `tiles` channel tiles takes, whole bus words and words of every lane."""
    return align_up(
        tiles * part.steps * config.weight_word_bytes, max(config.bus_bytes, config.lanes * config.weight_word_bytes)
    )


def record_bytes(config: Config, tiles: int) -> int:
    """Bytes of the channel memory that the records of `tiles` channel tiles take, whole bus words."""
    size = tiles * config.channel_groups * config.channel_word_bytes
    return align_up(size, max(config.bus_bytes, config.channel_word_bytes))


def record_groups(task: ConvTask, config: Config, groups: Groups) -> list[range]:
    """Channel tiles whose records are loaded together: all of them where they take half the memory at most."""
    tiles = task.channel_tiles(config)
    if not groups.apart and record_bytes(config, tiles) <= config.channel_bytes // 2:
        return [range(tiles)]
    return tile_groups(tiles, groups.tiles)
