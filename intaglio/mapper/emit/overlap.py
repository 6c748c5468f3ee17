"""A program in sequential order made one whose engines overlap: LOADs ahead, and tokens that keep every dependence."""

from __future__ import annotations

import numpy as np

from intaglio.machine.config import Config
from intaglio.mapper.emit.ahead import load_order
from intaglio.mapper.emit.emission import Emission
from intaglio.mapper.emit.tokens import put_tokens
from intaglio.program.table import Table, table_of


def overlapped(config: Config, emitted: Emission) -> Table:
    """The table of the emission's commands, which are reordered and get their tokens, unless they have them already."""
    if emitted.table is None:
        order, emitted.table = overlapped_table(config, table_of(emitted.commands), emitted.schedule.ahead)
        emitted.commands = [emitted.commands[i] for i in order.tolist()]
        header = emitted.table.header
        for command, wait, signal in zip(
            emitted.commands, header["wait"].tolist(), header["signal"].tolist(), strict=True
        ):
            command.fields.update(wait=wait, signal=signal)
    return emitted.table


def overlapped_table(config: Config, table: Table, ahead: int) -> tuple[np.ndarray, Table]:
    """The order of commands, and the table in that order with tokens. ahead: as in Schedule."""
    order = load_order(config, table, ahead)
    table = table.reordered(order)
    put_tokens(config, table)
    return order, table
