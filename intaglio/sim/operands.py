"""Arguments of compiled kernels: fields of commands and sizes of the machine, as named tuples of int."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple

from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.machine.opcodes import ByOpcode


class Sizes(NamedTuple):
    """The sizes of a Config that decide results and ledger. half_shift: log2 of half_word_bytes."""

    rows: int
    cols: int
    requantizers: int
    slab_channels: int
    channel_groups: int
    weight_word_bytes: int
    channel_word_bytes: int
    bus_bytes: int
    half_shift: int


def sizes_of(config: Config) -> Sizes:
    return Sizes(
        rows=config.rows,
        cols=config.cols,
        requantizers=config.requantizers,
        slab_channels=config.slab_channels,
        channel_groups=config.channel_groups,
        weight_word_bytes=config.weight_word_bytes,
        channel_word_bytes=config.channel_word_bytes,
        bus_bytes=config.bus_bytes,
        half_shift=config.half_word_bytes.bit_length() - 1,
    )


def _names(opcode: isa.Opcode) -> list[str]:
    return [f.name for f in isa.built_fields(opcode) if f not in isa.HEADER]


def _form(opcode: isa.Opcode) -> tuple[Any, Callable[[Mapping[str, int]], Any]]:
    """The named tuple of an opcode's fields, and what picks them."""
    names = _names(opcode)
    return namedtuple(opcode.name.capitalize(), names), itemgetter(*names)


_FORM = ByOpcode("operands", {opcode: _form(opcode) for opcode in isa.Opcode})
# Compiled code that is kept names its types by module and name; a type that stands nowhere would be another one in each process, and
# all kernels compiled again.
globals().update({form.__name__: form for form, _ in (_FORM[opcode] for opcode in isa.Opcode)})


def operands_of(command: isa.Command) -> Any:
    """The command's fields, those of the header left out, as the named tuple of its opcode."""
    form, pick = _FORM[command.opcode]
    try:
        return form._make(pick(command.fields))  # twice as fast, and there may be thousands
    except KeyError:
        return form._make(map(command.fields.get, form._fields, repeat(0)))  # a field that is not given is 0
