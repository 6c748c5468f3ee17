"""The interface of a model of external memory: one file with these functions, registered by its configuration's class.

The stepped form is the definition: the RTL's driver and the stepping clock call it cycle by cycle. The closed form gives a burst's
times at once, to the clock from event to event; tests/sim/memory/test_memory_models.py holds the two equal, for every model.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from intaglio.compiled import compiled_for_c
from intaglio.machine.config import Config
from intaglio.machine.memory import MemoryConfig


@dataclass(frozen=True)
class MemoryModel:
    """module: the one whose source, with what it imports, decides what is compiled of it.

    Stepped. reset(config): the state of cycle 0, int64, as sim.memory.port has it. step(state, ar_valid, aw_valid, address, beats,
    w_valid, r_ready, b_ready), compiled: one cycle; commits this cycle's handshakes, then derives the next one's outputs. A request
    (address in bytes, a multiple of the bus; 1 to 256 beats) is taken where REQUEST_READY stands; the read is if a read's and
    a write's are both valid, which the arbiter never does. wait(state, cycles), compiled: as many steps with no burst in flight
    and no request.

    Closed. parameters(config) and begin(): tuples of ints, constant and of cycle 0. burst(parameters, now, is_write, accepted,
    ready, address, beats, times), compiled: the next burst in order of acceptance, accepted in that cycle; a read's beats are
    taken at once, a write's data are there from cycle `ready` on. Gives the first beat's cycle, the last one's, that in which it is answered (a read: the
    last beat's), and the `now` of the burst after it; and fills times, int64, with the cycles of as many beats as it is long.

    longest_wait(config): more cycles than ever pass at the port without a beat or an answer while a burst is in flight.
    """

    module: str
    reset: Callable[[Config], NDArray[np.int64]]
    step: Any
    wait: Any
    parameters: Callable[[Config], tuple[int, ...]]
    begin: Callable[[], tuple[int, ...]]
    burst: Any
    longest_wait: Callable[[Config], int]


_MODELS: dict[type[MemoryConfig], MemoryModel] = {}


def register(of: type[MemoryConfig], model: MemoryModel) -> None:
    """Makes configurations whose memory is of this very class run with the model."""
    _MODELS[of] = model


def model_of(config: Config) -> MemoryModel:
    """LookupError where none is registered."""
    try:
        return _MODELS[type(config.memory)]
    except KeyError:
        raise LookupError(f"no model of external memory for {type(config.memory).__name__}") from None


@functools.cache
def step_for_c(model: MemoryModel) -> ctypes.c_void_p:
    """A model's step for C: void (*)(int64_t *state, int64_t ar_valid, ..., int64_t b_ready)."""
    memory_step = model.step
    size = 1 << 20  # beyond any model's state: what C passes has no length

    def step(
        pointer: Any, ar_valid: int, aw_valid: int, address: int, beats: int, w_valid: int, r_ready: int, b_ready: int
    ) -> None:
        memory_step(
            numba.carray(pointer, size, np.int64), ar_valid, aw_valid, address, beats, w_valid, r_ready, b_ready
        )

    signature = types.void(types.CPointer(types.int64), *[types.int64] * 7)
    compiled_step = compiled_for_c(signature, model.module)(step)
    _keep.append(compiled_step)
    return ctypes.c_void_p(compiled_step.address)


_keep: list[object] = []  # compiled callbacks must outlive their addresses
