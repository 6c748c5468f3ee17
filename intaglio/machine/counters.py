"""The ledger: what the hardware counts and the simulator must equal.

Each counter is 64 bits, reset by start, frozen at the end, readable in registers in this order.
"""

from __future__ import annotations

import enum

from intaglio.machine.opcodes import LocalMemory


class Counter(enum.IntEnum):
    CYCLES = 0  # from start to the end
    BUSY = 1  # COMPUTE runs a command
    WAIT_LOAD = 2  # COMPUTE waits for a LOAD token
    WAIT_STORE = 3  # COMPUTE waits for a STORE token (and not for LOAD's)
    WAIT_COMMAND = 4  # COMPUTE has no command yet
    FINISHING = 5  # COMPUTE has done all its commands; the five causes add up to CYCLES
    MACS = 6  # multiply-accumulates issued in the array: steps x rows in use x columns in use
    ACTIVATION_READS = 7  # half words read by COMPUTE
    ACTIVATION_WRITES = 8  # half words written by COMPUTE
    WEIGHT_READS = 9  # weight words read
    CHANNEL_READS = 10  # channel words read
    REQUANTIZATIONS = 11  # output elements scaled (ADD's operands not counted apart)
    LOAD_ACTIVATION_WORDS = 12  # bus words written by LOAD
    LOAD_WEIGHT_WORDS = 13
    LOAD_CHANNEL_WORDS = 14  # those of tables too
    STORE_WORDS = 15  # bus words read by STORE and written outside
    FETCH_WORDS = 16  # bus words of commands read
    COMMANDS = 17  # commands retired
    PARTIAL_READS = 18  # words of the partial-sum memory read
    PARTIAL_WRITES = 19


ELEMENTS = ("array_outputs", "add_elements", "pool_elements", "pool_outputs", "pool_averages", "table_reads")
"""Counts on which energy depends and which the ledger does not tell apart: results that leave the array; of ADD;
elements read by windows of POOL, its results, and those of them that are averages of several elements; results that a
table gives."""

LOAD_COUNTERS = {
    LocalMemory.ACTIVATION: Counter.LOAD_ACTIVATION_WORDS,
    LocalMemory.WEIGHT: Counter.LOAD_WEIGHT_WORDS,
    LocalMemory.CHANNEL: Counter.LOAD_CHANNEL_WORDS,
    LocalMemory.TABLE: Counter.LOAD_CHANNEL_WORDS,
}
"""The counter of bus words for each target of LOAD."""
