"""A depthwise convolution as a task of the mapper: DEPTHWISE commands, their weights and channel records."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import ClassVar

from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.mapper.tasks import depthwise
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.geometry import Part
from intaglio.mapper.tasks.job import Job
from intaglio.program.layout import Region


@dataclass(frozen=True, eq=False)
class DepthwiseTask(ConvTask):
    """geometry.depthwise is set; weights: int8 [channels, kernel_rows * kernel_cols]. Its reduction is never in parts: where a channel tile's weights do not fit, as on a smaller machine than
    that for which it was lowered, there is no plan."""

    channelwise: ClassVar[bool] = True

    @staticmethod
    def of(task: ConvTask) -> DepthwiseTask:
        values = {f.name: getattr(task, f.name) for f in fields(ConvTask)}
        return DepthwiseTask(**{**values, "geometry": replace(task.geometry, depthwise=True)})

    def tile_width(self, config: Config) -> int:
        return depthwise.tile_width(config)

    def reads_part(self, region: Region, part: Part, tile: int | None = None) -> Region:
        """Whole pixels."""
        pixels = Part(part.row0, part.rows, part.col0, part.cols, part.element0, self.geometry.channels)
        return super().reads_part(region, pixels, tile)

    @cached_property
    def _commands(self) -> depthwise.Depthwise:
        return depthwise.Depthwise(
            self.tag,
            self.geometry,
            self.input_zero_point,
            self.weight_zero_point,
            self.output_zero_point,
            self.clamp,
            self.requantize.rounding,
            self.table,
        )

    def commands(self, config: Config, job: Job) -> list[isa.Command]:
        """A command, or two, for each phase of the strides and dilations (depthwise.py)."""
        return self._commands.commands(config, job._replace(tiles=self._tiles(config, job)))

    def _cycles(self, config: Config, rows: int, width: int, tiles: range, part: Part, drains: bool) -> int:
        assert drains
        return self._commands.cycles(config, rows, width, tiles)

    def weight_block(self, config: Config, tiles: range, part: Part) -> bytes:
        return depthwise.weight_block(config, self.weights, tiles)


def fits(task: DepthwiseTask, config: Config) -> bool:
    """True where the window of one output pixel, the pixel, and one channel tile's weights and records fit on chip."""
    g, bus = task.geometry, config.bus_bytes
    rows = min((g.kernel_rows - 1) * g.dilation_rows + 1, g.in_rows)
    cols = min((g.kernel_cols - 1) * g.dilation_cols + 1, g.in_cols)
    window = rows * (cols * g.channels + 2 * bus) + g.channels + 2 * bus
    weights = g.steps * config.weight_word_bytes
    records = config.channel_groups * config.channel_word_bytes
    return window <= config.activation_bytes and weights <= config.weight_bytes and records <= config.channel_bytes
