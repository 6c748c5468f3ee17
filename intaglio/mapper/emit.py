"""A schedule as commands in sequential order; `overlap` then lets the engines overlap."""

from __future__ import annotations

from intaglio.hw.config import Config
from intaglio.mapper.emission import Emission
from intaglio.mapper.emit_chain import ChainEmitter
from intaglio.mapper.emit_layer import LayerEmitter
from intaglio.mapper.lower import Lowered
from intaglio.mapper.plan import LayerPlan
from intaglio.mapper.residency import Schedule


def emit(network: Lowered, config: Config, schedule: Schedule) -> Emission:
    """The commands, and the image of constants that they load."""
    out = Emission(network, config, schedule)
    for before, layer in zip((None, *schedule.layers), schedule.layers, strict=False):
        emitter = LayerEmitter(out, layer) if isinstance(layer.plan, LayerPlan) else ChainEmitter(out, layer, before)
        emitter.run()
    return out
