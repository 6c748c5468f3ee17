"""The loads of a convolution's weights in groups, as the estimates of plans see them."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.machine.config import Config
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.groups import Groups, record_bytes, weight_bytes
from intaglio.mapper.tasks.parts import is_needed


@dataclass(frozen=True)
class WeightLoads:
    """Cycles and bytes of loading weights in groups.

    runs: groups. In cycles, run: of one group, records and latencies included; first: until the first group is there.
    first_bytes: of that group; last_bytes: in use at the end. least: bytes of all weights alone. wait: there is no room for the
    next block beside the one in use.
    """

    runs: int
    run: float
    first: float
    first_bytes: int
    last_bytes: int
    least: int
    wait: bool

    @staticmethod
    def of(task: ConvTask, config: Config, groups: Groups) -> WeightLoads:
        rate, latency = config.memory.cost.bytes_per_cycle, config.memory.cost.latency
        tiles = task.channel_tiles(config)
        blocks = [weight_bytes(config, part, groups.tiles) for part in groups.parts]
        size = sum(blocks) + record_bytes(config, groups.tiles)
        needed = [part for part in groups.parts if not groups.in_parts or is_needed(task.geometry, part)]
        # Blocks of different sizes leave gaps where the ring of weights begins anew.
        room = 2 * max(blocks) if len(set(blocks)) == 1 else 2 * max(blocks) + min(blocks)
        return WeightLoads(
            -(-tiles // groups.tiles),
            size / rate + (len(blocks) + 1) * latency,
            size / rate + latency,  # of parts all, for the first comes beside the layer before
            sum(blocks),
            weight_bytes(config, groups.parts[0], tiles) if groups.kept else blocks[-1],
            tiles * sum(part.steps for part in needed) * config.weight_word_bytes,
            not groups.kept and room > config.weight_bytes,
        )


NO_WEIGHTS = WeightLoads(0, 0.0, 0.0, 0, 0, 0, False)
