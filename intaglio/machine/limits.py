"""Sizes of the hardware that no configuration chooses: queues, buffers, tokens, bursts, counters."""

from __future__ import annotations

from intaglio.machine import latency
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Engine

QUEUE_DEPTHS = {Engine.LOAD: 4, Engine.COMPUTE: 1, Engine.STORE: 4}
"""Commands that wait in an engine's queue beside the one that runs; powers of two."""
TOKEN_BITS = 8
"""Width of a counter of tokens between two engines."""
MOST_TOKENS = (1 << TOKEN_BITS) - 1
FETCH_BLOCK_BYTES = 128
"""Bytes of a burst of commands, a power of two: a compute command. Programs start at a multiple of PAGE, so no block crosses one."""
FETCH_FIFO_BYTES = 512
"""Bytes of commands on chip, in FETCH's FIFO or on the way to it; a multiple of FETCH_BLOCK_BYTES."""
STORE_BUFFER_WORDS = 1 << (latency.STORE_CREDIT - 1).bit_length()
"""Bus words that STORE reads ahead of the write channel: as many as its credits' loop has cycles, or the channel would wait."""
PAGE = 4096
"""Bytes of which no burst crosses a multiple (AXI4, A3.4.1)."""
MOST_BEATS = 256
"""Beats of an INCR burst (AXI4, A3.4.1)."""
COUNTER_BITS = 64
"""Width of a performance counter."""
COUNTER_ROUND = 4 * len(Counter)
"""Cycles in which each counter's words, two of half its width, are brought up to date once, one every two cycles."""
DEFAULT_WATCHDOG = 1 << 20
"""Cycles without progress that are an error, after reset."""
