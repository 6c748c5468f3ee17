"""A program in sequential order made one whose engines overlap: LOADs ahead, and tokens that keep every dependence."""

from __future__ import annotations

from intaglio.hw.config import Config
from intaglio.mapper.ahead import load_order
from intaglio.mapper.emission import Emission
from intaglio.mapper.table import Table, table_of
from intaglio.mapper.tokens import put_tokens


def overlapped(config: Config, emitted: Emission) -> Table:
    """The table of the emission's commands, which are reordered and get their tokens, unless they have them already."""
    if emitted.table is None:
        table = table_of(emitted.commands)
        order = load_order(config, table, emitted.schedule.ahead)
        emitted.commands = [emitted.commands[i] for i in order.tolist()]
        emitted.table = table.reordered(order)
        put_tokens(config, emitted.commands, emitted.table)
    return emitted.table
