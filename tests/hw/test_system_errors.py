"""Whatever is wrong, the machine stops, says why and where, and can be started again."""

from __future__ import annotations

import pytest
from amaranth.hdl import Signal
from fake_core import FakeCore
from streams import EXTERNAL, EXTERNAL_BYTES
from system import PROGRAM, Outcome, run_system
from units import small_config

from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.faults import Fault
from intaglio.machine.isa import Command, Engine, Opcode, token_bit
from intaglio.machine.registers import Status
from intaglio.sim.memory import port as mm

LONG = 500


def load(config: Config, **fields: int) -> Command:
    return Command(Opcode.LOAD, {"external": EXTERNAL, "row_bytes": 256, "rows": 1, **fields})


def store(config: Config, **fields: int) -> Command:
    return Command(Opcode.STORE, {"external": EXTERNAL + 4096, "row_bytes": 256, "rows": 1, **fields})


def pool(cycles: int = 10, **fields: int) -> Command:
    return Command(Opcode.POOL, {"in_base": cycles, **fields})


def words_of(commands: list[Command]) -> list[int]:
    return [w for c in commands for w in c.words()]


def run(config: Config, words: list[int], **options) -> Outcome:
    options.setdefault("watchdog", LONG)
    (out,) = run_system(config, words, bytearray(EXTERNAL + EXTERNAL_BYTES), **options)
    return out


def hold_stopped(out: Outcome, fault: Fault, address: int | None = None) -> None:
    assert out.interrupt
    assert out.status & (Status.BUSY | Status.DONE | Status.ERROR) == Status.ERROR
    assert Fault(out.fault) == fault
    if address is not None:
        assert out.fault_address == address


@pytest.fixture(params=[4, 64])
def config(request: pytest.FixtureRequest) -> Config:
    return small_config(request.param)


def test_bad_opcode(config: Config) -> None:
    words = words_of([load(config), pool()])
    hold_stopped(run(config, words + [99] + [0] * 7), Fault.BAD_OPCODE, 4 * len(words))


def test_bad_field(config: Config) -> None:
    words = words_of([load(config)])
    hold_stopped(run(config, words + words[:2] + [0, 0, 0, 0, 1, 0]), Fault.BAD_FIELD, 4 * len(words))


def test_cut_short(config: Config) -> None:
    words = words_of([load(config), pool()])
    hold_stopped(run(config, words, program_bytes=64), Fault.CUT_SHORT, 32)


def test_read_error(config: Config) -> None:
    faults = {mm.ERROR_FROM: EXTERNAL + 128, mm.ERROR_TO: EXTERNAL + 192}
    out = run(config, words_of([load(config), pool(), load(config)]), faults=faults)
    hold_stopped(out, Fault.READ_RESPONSE, EXTERNAL)
    assert not out.registers[0x14] & Status.DRAINING  # beats under way were accepted all the same


def test_fetch_error(config: Config) -> None:
    out = run(config, words_of([load(config)]), faults={mm.MEMORY_END: PROGRAM})
    hold_stopped(out, Fault.READ_RESPONSE, PROGRAM)


def test_write_error(config: Config) -> None:
    faults = {mm.ERROR_FROM: EXTERNAL + 4096, mm.ERROR_TO: EXTERNAL + 4100}
    out = run(config, words_of([store(config, external=EXTERNAL + 2048), store(config), store(config)]), faults=faults)
    hold_stopped(out, Fault.WRITE_RESPONSE, EXTERNAL + 4096)
    assert not out.registers[0x14] & Status.DRAINING


@pytest.mark.parametrize("command", [load, store])
def test_silent_memory(config: Config, command) -> None:
    out = run(config, words_of([command(config)]), faults={mm.SILENT_FROM: EXTERNAL})
    hold_stopped(out, Fault.WATCHDOG, 32)
    # The watchdog's cycles are those after the last word or request on the bus; the error ends the cycle after them.
    assert out.counted == out.last_on_bus + 1 + LONG + 1


def test_missing_token(config: Config) -> None:
    wait = 1 << token_bit(Engine.COMPUTE, Engine.LOAD)
    out = run(config, words_of([load(config), pool(wait=wait), load(config)]))
    hold_stopped(out, Fault.WATCHDOG)
    assert out.counters[Counter.WAIT_LOAD] > LONG
    assert [e for _, e, _ in out.retired] == [Engine.LOAD, Engine.LOAD]


def test_long_command_is_progress(config: Config) -> None:
    out = run(config, words_of([pool(4 * LONG), load(config)]))
    assert out.status & Status.DONE and out.counters[Counter.BUSY] == 4 * LONG


def test_token_overflow() -> None:
    config = small_config(64)
    signal = 1 << token_bit(Engine.COMPUTE, Engine.STORE)
    out = run(config, words_of([pool(2, signal=signal)] * 256))
    hold_stopped(out, Fault.TOKEN_OVERFLOW)
    assert len(out.retired) == 256


def test_port_conflict() -> None:
    config = small_config(8)

    def prepare(core: FakeCore):
        async def force(ctx):
            assert isinstance(core.raise_conflict, Signal)
            await ctx.tick().until(core.write_en)
            ctx.set(core.raise_conflict, 1)
            await ctx.tick()
            ctx.set(core.raise_conflict, 0)

        return force

    hold_stopped(run(config, words_of([load(config), pool(), store(config)]), prepare=prepare), Fault.PORT_CONFLICT)


def test_starts_again_after_an_error(config: Config) -> None:
    """The second run fails the same way, at the same cycle: nothing is left of the first."""
    words = words_of([load(config, signal=3), pool(200, signal=3), store(config, signal=3)]) + [7] + [0] * 7
    first, second = run_system(config, words, bytearray(EXTERNAL + EXTERNAL_BYTES), watchdog=LONG, runs=2)
    hold_stopped(first, Fault.BAD_OPCODE, 4 * len(words) - 32)
    assert (first.counted, first.retired, first.fault_address) == (second.counted, second.retired, second.fault_address)


def test_empty_program(config: Config) -> None:
    out = run(config, [])
    assert out.status & Status.DONE and out.counted == out.counters[Counter.CYCLES] == 1


def test_data_goes_through() -> None:
    """LOAD then STORE copies, at any base."""
    config = small_config(16)
    image = bytearray(range(256)) * ((EXTERNAL + EXTERNAL_BYTES) // 256)
    base = 0x8000
    image[base : base + 4096] = bytes((i * 7 + i // 256) & 255 for i in range(4096))
    signal = 1 << token_bit(Engine.LOAD, Engine.STORE)
    commands = [
        Command(
            Opcode.LOAD,
            {
                "external": 0,
                "external_stride": 320,
                "local": 64,
                "local_stride": 256,
                "row_bytes": 256,
                "rows": 5,
                "signal": signal,
            },
        ),
        Command(
            Opcode.STORE,
            {
                "external": 8192 - 64,
                "external_stride": 512,
                "local": 64,
                "local_stride": 256,
                "row_bytes": 256,
                "rows": 5,
                "wait": 1 << token_bit(Engine.STORE, Engine.LOAD),
            },
        ),
    ]
    before = bytes(image)
    (out,) = run_system(config, words_of(commands), image, base=base)
    assert out.status & Status.DONE
    expected = bytearray(before)
    program = b"".join(w.to_bytes(4, "little") for w in words_of(commands))
    expected[PROGRAM : PROGRAM + len(program)] = program
    for row in range(5):
        to = base + 8192 - 64 + row * 512
        expected[to : to + 256] = before[base + row * 320 : base + row * 320 + 256]
    assert out.image == expected
