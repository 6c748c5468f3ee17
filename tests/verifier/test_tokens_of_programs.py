"""Tokens never overflow their counters, whatever order of commands the mapper writes, and stay as they are where they fit."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.machine.config_files import load_config
from intaglio.machine.isa import FIELDS, Command, Engine, LocalMemory, Opcode, token_bit
from intaglio.mapper.emit.tokens import with_tokens
from intaglio.program.table import table_of
from intaglio.verifier.liveness import MOST_TOKENS, order_of
from intaglio.verifier.validate import links_of, validate_commands
from tests.mapper.mapper_check import check
from tests.mapper.mapper_graphs import SAME, Builder

CONFIG = load_config("tiny16")


def transfer(opcode: Opcode, number: int, base: int, local: int = 0) -> Command:
    """One bus word of external memory, the `number`-th from `base`."""
    fields = {field.name: 0 for field in FIELDS[opcode]} | {
        "opcode": int(opcode),
        "external": base + number * CONFIG.bus_bytes,
        "local": local,
        "memory": int(LocalMemory.ACTIVATION),
        "row_bytes": CONFIG.bus_bytes,
        "rows": 1,
    }
    return Command(opcode, {name: value for name, value in fields.items() if name != "opcode"})


def boundary(stores: int, together: int = 1) -> list[Command]:
    """Stores from bank 0, then loads of the same words into bank 1; `together` of either at a time."""
    store = [transfer(Opcode.STORE, n, 0) for n in range(stores)]
    load = [transfer(Opcode.LOAD, n, 0, CONFIG.bank_bytes) for n in range(stores)]
    out = []
    for at in range(0, stores, together):
        out += store[at : at + together] + load[at : at + together]
    return out


def tokens_of(commands: list[Command]) -> int:
    """From STORE to LOAD."""
    bit = token_bit(Engine.STORE, Engine.LOAD)
    return sum(command["signal"] >> bit & 1 for command in commands if command.opcode is Opcode.STORE)


def fault_of(commands: list[Command]) -> tuple[int, str] | None:
    return order_of(links_of(table_of(commands)))[1]


@pytest.mark.parametrize("stores", [MOST_TOKENS + 1, 651, 1500])
def test_a_layer_of_many_stores_before_the_next_ones_loads(stores: int) -> None:
    commands = with_tokens(CONFIG, boundary(stores, stores))
    assert fault_of(commands) is None
    validate_commands(commands, CONFIG, 1 << 20, 1)
    assert tokens_of(commands) > MOST_TOKENS // 2  # loads still begin before the last store is done


@pytest.mark.parametrize("stores", [1, 200, MOST_TOKENS])
def test_what_fits_has_a_token_for_every_word(stores: int) -> None:
    commands = with_tokens(CONFIG, boundary(stores, stores))
    assert tokens_of(commands) == stores
    assert fault_of(commands) is None


def test_only_where_tokens_pile_up() -> None:
    """Words stored and loaded in turn, before and after the pile, keep their tokens."""
    turns = boundary(300)
    pile = boundary(400, 400)
    commands = with_tokens(CONFIG, turns + pile + turns)
    first, last = commands[: len(turns)], commands[-len(turns) :]
    assert tokens_of(first) == tokens_of(last) == 300
    assert tokens_of(commands[len(turns) : -len(turns)]) <= MOST_TOKENS
    assert fault_of(commands) is None


def test_random_orders(seed: int = 0) -> None:
    """Any interleaving in which a word's load follows its store."""
    random = np.random.default_rng(seed)
    for _ in range(8):
        count = int(random.integers(256, 900))
        behind = np.sort(np.arange(count) + random.integers(0, 700, count))
        order = sorted([(n, 0, n) for n in range(count)] + [(int(behind[n]), 1, n) for n in range(count)])
        commands = [
            transfer(Opcode.LOAD, n, 0, CONFIG.bank_bytes) if load else transfer(Opcode.STORE, n, 0)
            for _, load, n in order
        ]
        found = with_tokens(CONFIG, commands)
        validate_commands(found, CONFIG, 1 << 20, 1)


def test_pictures_of_many_pieces_run() -> None:
    """700 x 512, 3 x 3 at stride 2 and depthwise behind it, on the smallest shipped machine: hundreds of stores before the
    second layer's first load."""
    b = Builder(5)
    x = b.conv(b.input(1, 640, 256, 3), 8, (3, 3), stride=(2, 2), padding=SAME)
    graph = b.graph(b.conv(x, 8, (3, 3), padding=SAME, groups=8))
    config = load_config("tiny16", ["activation_bytes=4096"])
    program = check(graph, config, keep_all=True)
    stores = sum(command.opcode is Opcode.STORE for command in program.commands)
    assert stores > 2 * MOST_TOKENS
