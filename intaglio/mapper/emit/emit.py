"""A schedule as commands in sequential order; `overlap` then lets the engines overlap."""

from __future__ import annotations

from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.mapper.emit.emission import Emission
from intaglio.mapper.emit.emit_chain import ChainEmitter
from intaglio.mapper.emit.emit_layer import LayerEmitter
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.schedule.schedule import Placed, Schedule
from intaglio.mapper.tiling.layer_plan import LayerPlan


def emit(network: Lowered, config: Config, schedule: Schedule) -> Emission:
    """The commands, and the image of constants that they load."""
    out = Emission(network, config, schedule)
    for before, layer in zip((None, *schedule.layers), schedule.layers, strict=False):
        emit_layer(out, layer, before)
    return out


def emit_layer(out: Emission, layer: Placed, before: Placed | None) -> None:
    """The commands of one layer or chain, behind those of the one before it."""
    emitter = LayerEmitter(out, layer) if isinstance(layer.plan, LayerPlan) else ChainEmitter(out, layer, before)
    out.tables(layer.chain.tasks)
    emitter.run()
    out.fetch(layer.chain.tasks[-1].tag, layer.left, isa.Opcode.STORE)
