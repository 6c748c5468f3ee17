"""The accelerator's port to external memory: the state that every model of one shares with whoever steps it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intaglio.compiled import compiled
from intaglio.machine.config import Config

# Outputs, valid before a step.
REQUEST_READY = 0  # arready and awready
R_VALID = 1
R_LAST = 2
R_ADDRESS = 3  # byte address of the beat; has a meaning with R_VALID, as R_LAST and R_RESPONSE
R_RESPONSE = 4  # OKAY, SLVERR or DECERR
W_READY = 5
W_ADDRESS = 6  # byte address of the beat that the memory takes next; has a meaning with W_READY, as W_LAST
W_LAST = 7
B_VALID = 8
B_RESPONSE = 9
# Parameters; those for faults may be set after a reset, before the first step.
BUS_BYTES = 10
BYTES_PER_CYCLE = 11
LATENCY = 12
OUTSTANDING = 13
ERROR_FROM = 14
ERROR_TO = 15
MEMORY_END = 16
SILENT_FROM = 17
CYCLE = 18  # counts steps
OWN = 19
"""The first index that a model has for itself."""

OKAY, SLVERR, DECERR = 0, 2, 3
NEVER = 2**62


@compiled()
def response(s: NDArray[np.int64], address: int) -> int:
    """OKAY, SLVERR or DECERR, of a beat."""
    if address + s[BUS_BYTES] > s[MEMORY_END]:
        return DECERR
    if s[ERROR_FROM] <= address < s[ERROR_TO]:
        return SLVERR
    return OKAY


def idle(config: Config, size: int) -> NDArray[np.int64]:
    """State of `size` numbers before cycle 0, with the parameters of a faultless memory."""
    state = np.zeros(size, np.int64)
    state[BUS_BYTES], state[OUTSTANDING] = config.bus_bytes, config.memory.outstanding
    state[BYTES_PER_CYCLE], state[LATENCY] = config.memory.bytes_per_cycle, config.memory.latency
    state[MEMORY_END] = state[SILENT_FROM] = NEVER
    return state
