"""Cycles from register to register: each number is written here alone.

The RTL builds its pipelines from them, timing.py adds them up, the clocks of intaglio/sim step them. A number may be raised where a
pipeline needs another stage; `make stages` raises each by one and holds RTL and host equal. Below a number is what the
RTL's structure needs at least.
"""

from __future__ import annotations

# Memories on chip.
ACTIVATION_READ = 7
"""Cycles from a request to its bytes, COMPUTE's and STORE's: the port's register, the words that it touches, each memory's
port, memory, its output's register, choice of the bank, rotation. At least 7."""
ACTIVATION_WRITE = 3
"""Cycles from a write of COMPUTE's, or LOAD's, to the first request that reads it: place, rotation, memory. At least 3."""
WEIGHT_READ = 2
"""Cycles from a request to its weights: memory, choice of the word. At least 2."""
CHANNEL_READ = 2
"""As WEIGHT_READ, of the channel records."""
PARTIAL_READ = 2
"""Cycles from a request to the partial sums. At least 2."""
PARTIAL_WRITE = 1
"""Cycles from a write to the first request that reads it. At least 1."""

# Of a compute command.
COMMAND_START = 5
"""Cycles from the handshake that starts a command to its first slot or read: that there is one, the command's register, what
follows from its fields, the loops, what they step. At least 5."""
LEAST_TILE = 2
"""Cycles from the beginning of a tile of CONV's or DEPTHWISE's to that of the next one, at least: the registers of what comes
after that one are stepped meanwhile (hw.nest.Ahead). As many from a tile's last sum to that of the next one. At least 2."""
LEAST_SLAB = 2
"""Cycles from the beginning of a slab of POOL's to that of the next one, at least, as LEAST_TILE. At least 2."""
SEQUENCER_STEP = 1
"""Cycles from a slot's cycle to its step as the sequencer has it: what it is. At least 1; no command takes longer by it."""
SEQUENCER_REQUEST = 5
"""Cycles from a slot's cycle to its request at the activation memory: row, gather, add, clip, choice. At least 5."""
FEED_ROWS = 2
"""Cycles from a request's bytes to the array's edge: mask, capture. At least 2."""
ARRAY_ELEMENT = 3
"""Cycles from a step at an element's edge to the sum with it: operands, product, sum. At least 3."""
ARRAY_GATHER = 1
"""Cycles from an element's complete sum to its column's output. At least 1."""
DRAIN_READ = 2
"""Cycles from a pass's read of the drain memory to its sums: memory, choice of the group. At least 2."""
DRAIN_PASS = max(DRAIN_READ, PARTIAL_READ, CHANNEL_READ - 1) + 1
"""Cycles from a pass's read of the drain memory to its sums, partial ones added, at the requantizers."""
OPERAND_STAGES = ("offset", "product", "sum", "shifted")
"""Registers of an ADD operand's pipeline in order (hw.operand_scale.OperandScale)."""
OPERAND_SCALE = len(OPERAND_STAGES)
OPERAND_TABLE = 16
"""Cycles in which the tables of an ADD without multipliers are written (hw.operand_scale.Multiples), from COMMAND_START - 3 on."""
OPERAND_WAIT = max(0, OPERAND_TABLE - 3 - (2 + ACTIVATION_READ + OPERAND_STAGES.index("product")))
"""Cycles that the first read of an ADD by tables comes later than others', so that they are written when both operands are
there and get to them."""
ADD_SUM = 1
"""Cycles from both operands scaled to their sum at the requantizers. At least 1."""
POOL_SUM = 2
"""Cycles from a window's byte to the sum or maximum with it. At least 1; the second is for the way from the memory."""


def array_element(packed: bool) -> int:
    """ARRAY_ELEMENT of this array: one more where rows share multipliers (packed), since the upper of two waits a cycle for
    the lower one's operands, and all rows' elements take as long."""
    return ARRAY_ELEMENT + packed


def array(packed: bool) -> int:
    """Cycles from a step at an element's edge to the sum with it at its column's output."""
    return array_element(packed) + ARRAY_GATHER


def requantizer_stages(rounding: tuple[str, ...]) -> tuple[str, ...]:
    """Registers of a requantizer's pipeline with these modes built in, in order (hw.scale.Requantizer): FLOAT has one
    more before the product, to round the sum, and one more after the shift, to round the result."""
    with_float = "float" in rounding
    return (
        "total",
        "value",
        *(("significand",) if with_float else ()),
        "product",
        "product2",
        "high",
        "shifted",
        *(("chosen",) if with_float else ()),
        "shown",
        "out",
    )


def requantizer(rounding: tuple[str, ...]) -> int:
    """Cycles from an element's entry into a requantizer with these modes built in to its result."""
    return len(requantizer_stages(rounding))


TABLE = 3
"""Cycles from a requantizer's result to the table's byte for it: memory, its output's register, the byte of a word. At least 3;
commands without a table take none longer by it."""


def write_end(rounding: tuple[str, ...], table: bool = False) -> int:
    """Cycles from the entry of a command's last written pass into the requantizers to the command's end, in which the write
    is in its memory. table: results go through one."""
    return requantizer(rounding) + (TABLE if table else 0) + ACTIVATION_WRITE - 1


KEEP_END = DRAIN_PASS + PARTIAL_WRITE
"""Cycles from the read of a command's last kept pass to the command's end, in which the sums are in their memory."""
HOLD_END = 1
"""Cycles from which the end of a window whose sums stay is known to that end. At least 1."""


# Of the system around it.
CLEAR = 2
"""Cycles from a write of START or SOFT_RESET to the reset of the engines: that it was one, the reset's register. At least 1."""
WRITE_ANSWER = 3
"""Cycles from a register's write to its answer: that of a STOP comes once what was asked for before it stands at the port. At
least 3."""
FETCH_REQUEST = 2
"""Cycles from what lets FETCH ask (START's begin, a place that is free, its burst before that is taken) to its request. At
least 2."""
TRANSFER_REQUEST = 2
"""Cycles from the start of a LOAD or STORE to the request of its first burst: the address, what is to the page's end. At least 2."""
TRANSFER_STEP = TRANSFER_REQUEST + 1
"""Cycles from the taking of a burst's request to that of the next one of the same command: that it is taken, and again."""
FETCH = 7
"""Cycles from a beat of commands to its first word's being handed over: the FIFO (2), its output's register, and at dispatch the
word, what it is, what it may be, whether it is (hw.dispatch.Dispatch.STAGES). At least 7."""
DISPATCH = 2
"""Cycles from the handing over of a command's last word to the command at its queue's output: the queue, its output's register.
2 to 8, the words of the shortest command."""
LOAD = 1
"""Cycles from a beat to its write on chip, and of a command's last one to its retirement. At least 1."""
STORE_ISSUE = 1
"""Cycles from the choice of a word to its request at the activation memory. At least 1."""
STORE_BUFFER = 2
"""Cycles from a word's bytes to the write channel: the buffer. At least 2."""
STORE_CREDIT = STORE_ISSUE + ACTIVATION_READ + STORE_BUFFER + 1
"""Cycles from the choice of a word to that of the one that takes its place in the buffer."""
STORE_DATA = 1 + STORE_ISSUE + ACTIVATION_READ + STORE_BUFFER
"""Cycles from the taking of a burst's request to its first word at the write channel."""
