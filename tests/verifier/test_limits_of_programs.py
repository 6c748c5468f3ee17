"""The verifier follows the hardware's queues and token counters: what it lets through runs, what it refuses hangs."""

from __future__ import annotations

import pytest

from intaglio.machine.config_files import load_config
from intaglio.machine.isa import ENGINE_OF, FIELDS, Command, LocalMemory, Opcode, token_bit
from intaglio.machine.limits import MOST_TOKENS, QUEUE_DEPTHS
from intaglio.program.table import table_of
from intaglio.sim.clock.cycle_model import run_clock
from intaglio.sim.clock.result import StuckError
from intaglio.sim.clock.schedule import schedule_of
from intaglio.verifier.liveness import links_of, order_of

CONFIG = load_config("tiny16")
ENGINES = (Opcode.LOAD, Opcode.STORE, Opcode.POOL)


def command(opcode: Opcode, waits: Opcode | None = None, signals: Opcode | None = None) -> Command:
    """A short one of this opcode's engine, which waits for, or signals, a token of another's."""
    fields = {field.name: 0 for field in FIELDS[opcode] if field.name != "opcode"}
    me = ENGINE_OF[opcode]
    fields["wait"] = 1 << token_bit(me, ENGINE_OF[waits]) if waits else 0
    fields["signal"] = 1 << token_bit(me, ENGINE_OF[signals]) if signals else 0
    if opcode is Opcode.POOL:
        fields |= dict.fromkeys(("kernel_rows", "kernel_cols", "region_rows", "region_cols", "channels"), 1)
    else:
        fields |= {"memory": int(LocalMemory.ACTIVATION), "row_bytes": CONFIG.bus_bytes, "rows": 1}
    return Command(opcode, fields)


def verdict(commands: list[Command]) -> str:
    fault = order_of(links_of(table_of(commands)))[1]
    return fault[1] if fault else ""


def runs(commands: list[Command]) -> bool:
    """By the clock."""
    try:
        run_clock(CONFIG, schedule_of(CONFIG, table_of(commands)), 3000)
    except StuckError:
        return False
    return True


PAIRS = [(me, other) for me in ENGINES for other in ENGINES if me is not other]


@pytest.mark.parametrize(("me", "other"), PAIRS)
def test_commands_that_wait_for_one_behind_them(me: Opcode, other: Opcode) -> None:
    """As many as the queue holds let dispatch come to the command that they wait for; one more does not."""
    depth = QUEUE_DEPTHS[ENGINE_OF[me]]
    for count in range(1, depth + 3):
        first, *rest = [command(me, waits=other)] + [command(me) for _ in range(count - 1)]
        commands = [first, *rest, command(other, signals=me)]
        assert runs(commands) == (count <= depth)
        assert verdict(commands) == ("" if count <= depth else "waits for a token that never comes")


@pytest.mark.parametrize(("me", "other"), PAIRS)
def test_tokens_that_nobody_takes(me: Opcode, other: Opcode) -> None:
    piled = [command(me, signals=other) for _ in range(MOST_TOKENS + 1)]
    assert runs(piled[1:]) and verdict(piled[1:]) == ""
    assert not runs(piled)
    assert verdict(piled) == f"may leave more than {MOST_TOKENS} tokens for {ENGINE_OF[other].name}"
