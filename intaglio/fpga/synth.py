"""An accelerator on a chip: resources, estimated and routed clock, slow paths."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from amaranth.lib import wiring

from intaglio.fpga.blocks import Taken, taken_by_block
from intaglio.fpga.estimate import Path, slowest_paths
from intaglio.fpga.families import FAMILIES, check_products
from intaglio.fpga.netlist import OUTSIDE, Netlist, read_netlist
from intaglio.fpga.route import Routed, packed, route, router_of
from intaglio.fpga.synthesis import synthesize
from intaglio.fpga.tools import Tell, ToolError, yosys
from intaglio.machine.chips import Chip
from intaglio.machine.config import Config

PATHS = 12
"""Slow paths that are kept."""


@dataclass(frozen=True)
class Synthesis:
    """A design on a chip of that grade.

    tools: the programs, with versions. used: units of each resource: as the family's router packs them, where it could
    be asked, else by the netlist's cells; without the shim's. blocks: by their cells. estimate_mhz: None where the
    family's estimates are held against nothing. paths: the estimate's slowest. routed: a result for each seed asked
    for; empty where nothing was to be routed, or the design does not fit.
    """

    chip: Chip
    grade: str
    tools: tuple[str, ...]
    used: Taken
    blocks: dict[str, Taken]
    estimate_mhz: float | None
    paths: list[Path]
    routed: list[Routed]
    placed: bool = True

    @property
    def fmax_mhz(self) -> float | None:
        """The median of the seeds; None without any."""
        return statistics.median(seed.fmax_mhz for seed in self.routed) if self.routed else None

    @property
    def too_much(self) -> list[str]:
        """Resources of which more are used than the chip has."""
        return _too_much(self.used, self.chip)


def _too_much(used: Taken, chip: Chip) -> list[str]:
    return [resource for resource, units in used.items() if units > chip.available[resource]]


def synth(
    design: wiring.Component | Config,
    chip: Chip,
    grade: str,
    seeds: Sequence[int],
    tell: Tell,
    watch: Tell | None = None,
) -> Synthesis:
    """A component, or a configuration's accelerator. seeds: of the router; none to synthesize only. What was made before is
    taken from the cache, seed by seed. tell: of what takes long, as it begins; watch: of what the router is at, often.

    Raises InputError where a tool is missing, the family's chips cannot be routed or have no multiplier that holds two
    products, ToolError where one fails.
    """
    family = FAMILIES[chip.family]
    if isinstance(design, Config):
        check_products(design, chip)
    router = router_of(family, needed=bool(seeds))
    netlist = synthesize(design, family, tell)
    mapped = read_netlist(netlist)
    blocks = taken_by_block(mapped.cells, family)
    shim = blocks.pop(OUTSIDE)
    used = dict(blocks[""])
    places = family.router is None or not family.router.used
    if router is not None:
        try:
            placed = packed(netlist, chip, family, router)
        except ToolError:
            if not _too_much(used, chip):
                raise
        else:
            used |= {resource: units - shim[resource] for resource, units in placed.items()}
            places = True
    paths = [] if family.delays is None else slowest_paths(mapped, family.delays, PATHS)
    found = Synthesis(
        chip,
        grade,
        tuple(tool.version for tool in (yosys(), router) if tool is not None),
        used,
        blocks,
        1000 / paths[0].delay_ns if paths else None,
        paths,
        [],
        placed=places,
    )
    if router is None or found.too_much:
        return found
    routed = [route(netlist, chip, family, router, grade, seed, tell, watch) for seed in seeds]
    return replace(found, routed=[replace(seed, slowest=_slowest(mapped, seed)) for seed in routed])


def _slowest(mapped: Netlist, routed: Routed) -> Path | None:
    """The seed's slowest path, as signals of the RTL."""
    if not routed.path:
        return None
    source, target = (mapped.signal_of(routed.path[end].cell) for end in (0, -1))
    return Path(
        source, target, sum(hop.delay_ns for hop in routed.path), sum(hop.kind == "logic" for hop in routed.path)
    )
