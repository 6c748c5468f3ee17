"""The delay lines between the array's rows alone: what leaves is what entered as long ago as the command says, or known to be older."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from units import payload_of, simulate

from intaglio.hw.row_delay import DelayLine, RowDelays
from intaglio.machine.isa import Command, Opcode

ROWS, WIDTH, PARTS = 4, 9, 2


class Lines(wiring.Component):
    """A schedule and the lines of every link; all take the same words."""

    def __init__(self, depth: int):
        self.delays = RowDelays(ROWS, depth)
        self.lines = [DelayLine(WIDTH, PARTS, ROWS, depth, link) for link in range(ROWS - 1)]
        super().__init__({"word": In(WIDTH).array(PARTS), "out": Out(WIDTH).array(ROWS - 1, PARTS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.delays = self.delays
        for link, line in enumerate(self.lines):
            m.submodules[f"line{link}"] = line
            m.d.comb += line.schedule.eq(self.delays.schedule)
            for part in range(PARTS):
                m.d.comb += [line.word[part].eq(self.word[part]), self.out[link][part].eq(line.out[part])]
        return m


@pytest.mark.parametrize("depth", [2, 16, 256])
def test_commands_in_turn(depth: int) -> None:
    """Delays from none to the depth; commands shorter than the delays and longer than the depth, one cycle apart or more: a word
    that a command before left in a line is never taken for one of this command's."""
    rng = random.Random(depth)
    dut = Lines(depth)
    most = depth + 1
    # The longest delay, over and over: after a long command, in one so short that nothing of its own arrives, and in one as long.
    fixed = [(most, most, 2 * depth + 3), (most, most, depth), (most, depth, depth + 1), (depth, most, 2)]
    drawn = [
        (rng.randrange(1, most + 1), rng.randrange(1, most + 1), rng.randrange(1, 2 * depth + 4)) for _ in range(4)
    ]

    async def check(ctx):
        f = dut.delays
        commands = [(*command, rng.randrange(1, ROWS + 1)) for command in fixed + drawn]

        def show(number: int) -> None:
            if number < len(commands):
                tap, patch, _, columns = commands[number]
                fields = {"tap_delay": tap, "patch_delay": patch, "patch_cols": columns}
                ctx.set(f.command, payload_of(Command(Opcode.DEPTHWISE, fields)))

        show(0)
        await ctx.tick()
        for number, (tap, patch, cycles, columns) in enumerate(commands):
            entered: list[list[int]] = []
            gap = rng.choice([1, 1, 3])
            for idle in range(gap):  # between commands every link lets through
                ctx.set(f.active, idle == gap - 1)  # what follows from it follows a cycle later
                words = [rng.getrandbits(WIDTH) for _ in range(PARTS)]
                for part, word in enumerate(words):
                    ctx.set(dut.word[part], word)
                assert all(
                    ctx.get(f.schedule.links[link].through) and ctx.get(f.schedule.links[link].fresh)
                    for link in range(ROWS - 1)
                )
                assert [ctx.get(dut.out[0][part]) for part in range(PARTS)] == words
                await ctx.tick()
            for at in range(cycles):
                ctx.set(f.active, at < cycles - 1)
                if at == cycles - 1:  # a cycle before it is active
                    show(number + 1)
                entered.append([rng.getrandbits(WIDTH) for _ in range(PARTS)])
                for part, word in enumerate(entered[-1]):
                    ctx.set(dut.word[part], word)
                for link in range(ROWS - 1):
                    ago = (patch if (link + 1) % columns == 0 else tap) - 1
                    assert ctx.get(f.schedule.links[link].fresh) == (ago <= at), (link, at, ago)
                    assert ctx.get(f.schedule.links[link].through) == (ago == 0)
                    if ago <= at:
                        assert [ctx.get(dut.out[link][part]) for part in range(PARTS)] == entered[at - ago], (
                            link,
                            at,
                            ago,
                        )
                await ctx.tick()

    simulate(dut, check)
