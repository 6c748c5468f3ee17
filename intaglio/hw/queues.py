"""Queues in which dispatched commands wait for their engine."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.pipeline import delay
from intaglio.hw.ram import Collision, ram
from intaglio.machine import latency


class CommandQueue(wiring.Component):
    """Commands of `words` 32-bit words, `depth` (a power of two) of them, filled a word a cycle.

    Ports
    -----
    write : In, 1 bit
        `word` is a word of the command at the queue's end. Allowed while not full.
    word, index : In, 32 and 5 bits
        The word and its place in the command.
    last : In, 1 bit
        It completes the command.
    full : Out, 1 bit
        `depth` whole commands wait, those on the way included; from registers only.
    commands : Out, stream of 32 * words bits
        The oldest (word 0 lowest), valid latency.DISPATCH cycles after its last word; ready may depend on valid.

    stays: the payload stays for a cycle after it is taken; then commands follow each other three cycles apart at least.
    """

    def __init__(self, words: int, depth: int, stays: bool = False):
        self._words, self._depth, self._stays = words, depth, stays
        super().__init__(
            {
                "write": In(1),
                "word": In(32),
                "index": In(5),
                "last": In(1),
                "full": Out(1),
                "commands": Out(stream.Signature(32 * words)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = Signal(range(self._depth + 1))  # commands whose last word was given
        pushed, popped, full, shown = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            pushed.eq(self.write & self.last),
            popped.eq(self.commands.valid & self.commands.ready),
            self.full.eq(full),
            self.commands.valid.eq(shown),
        ]
        m.d.sync += [
            count.eq(count + pushed - popped),
            # Without a comparison behind the count: a full queue takes none, so that one which gives one is not full.
            full.eq(~popped & (full | (pushed & (count == self._depth - 1)))),
        ]
        if self._depth == 1:
            self._hold(m, pushed, popped, shown)
        else:
            self._store(m, pushed, popped, shown)
        return m

    def _hold(self, m: Module, pushed: Value, popped: Value, shown: Signal) -> None:
        """The one command stands where it is shown, and stays: a place that it leaves is told a cycle later."""
        waits = latency.DISPATCH - 1
        write, word, index = (delay(m, getattr(self, name), waits, name) for name in ("write", "word", "index"))
        held = Signal(32 * self._words, reset_less=True)
        m.d.comb += self.commands.payload.eq(held)
        with m.If(write):
            m.d.sync += held.word_select(index[: (self._words - 1).bit_length()], 32).eq(word)
        m.d.sync += shown.eq(delay(m, pushed, waits, "pushed") | (shown & ~popped))

    def _store(self, m: Module, pushed: Value, popped: Value, shown: Signal) -> None:
        """They wait in a memory, whose output is the oldest."""
        waits = latency.DISPATCH - 2
        write, word, index = (delay(m, getattr(self, name), waits, name) for name in ("write", "word", "index"))
        produce, consume = Signal(range(self._depth)), Signal(range(self._depth))
        storage = ram(
            m,
            "storage",
            shape=32 * self._words,
            depth=self._depth,
            read_latency=1,
            collision=Collision.UNDEFINED,
            granularity=32,
        )
        stored = Signal(range(self._depth + 1))  # whole commands in the storage that are not shown
        moves = Signal()
        free = ~shown & ~delay(m, popped, 1, "popped") if self._stays else ~shown | popped
        m.d.comb += [
            moves.eq((stored != 0) & free),
            storage.write_address.eq(produce),
            storage.write_data.eq(word.replicate(self._words)),
            storage.write_en.eq(write << index),
            storage.read_en.eq(moves),
            storage.read_address.eq(consume),
            self.commands.payload.eq(storage.read_data),
        ]
        m.d.sync += [
            stored.eq(stored + delay(m, pushed, waits, "pushed") - moves),
            produce.eq(produce + delay(m, pushed, waits, "produced")),
            consume.eq(consume + moves),
            shown.eq(moves | (shown & ~popped)),
        ]
