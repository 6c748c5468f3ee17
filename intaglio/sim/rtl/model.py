"""driver.cpp as a Python object."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from types import TracebackType

import numpy as np

from intaglio.machine.config import Config
from intaglio.sim.memory import model_of, step_for_c
from intaglio.sim.memory.port import MEMORY_END

_CHUNK = 200_000
"""Cycles a call runs before Python looks for Ctrl-C: a second at most."""


class BusError(RuntimeError):
    """The RTL breaks a rule of AXI or does not answer: a defect of the hardware description."""


class Model:
    """A running model of the RTL between an external memory and a register port. Use it with `with`.

    library: from build.library. memory: uint8 [bytes], stands at external address `base` and is written in place.
    state: the memory model's, int64, reset; faults may be set in it. waves: a file to write.
    """

    def __init__(self, library: Path, config: Config, memory: np.ndarray, base: int = 0, waves: Path | None = None):
        self._c = _load(library)
        self._memory = memory
        model = model_of(config)
        self.state = model.reset(config)
        self.state[MEMORY_END] = base + memory.size
        self._handle = ctypes.c_void_p(
            self._c.intaglio_open(
                self.state.ctypes.data,
                step_for_c(model),
                memory.ctypes.data,
                base,
                memory.size,
                os.fsencode(waves) if waves else None,
            )
        )

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._c.intaglio_close(self._handle)

    def write(self, offset: int, value: int) -> None:
        """Writes a register, 32 bits. BusError if the write is refused."""
        response = self._c.intaglio_write(self._handle, offset, value)
        self._answered(response, f"writing 0x{value:x} to register 0x{offset:x}")

    def read(self, offset: int) -> int:
        """A register's 32 bits."""
        value = ctypes.c_uint32()
        response = self._c.intaglio_read(self._handle, offset, ctypes.byref(value))
        self._answered(response, f"reading register 0x{offset:x}")
        return value.value

    def run(self, cycles: int) -> bool:
        """Runs until the interrupt is high, at most about `cycles` cycles. Whether it is."""
        while cycles > 0:
            state = self._c.intaglio_advance(self._handle, min(cycles, _CHUNK))
            if state < 0:
                raise BusError(self._c.intaglio_fault(self._handle).decode())
            if state:
                return True
            cycles -= _CHUNK
        return False

    def cycles(self) -> int:
        """Cycles with `counting` so far."""
        return int(self._c.intaglio_cycles(self._handle))

    def events(self) -> np.ndarray:
        """Retirements so far, int64 [events, 3]: cycle, isa.Engine, tag."""
        pointer = ctypes.POINTER(ctypes.c_int64)()
        count = self._c.intaglio_events(self._handle, ctypes.byref(pointer))
        if count == 0:
            return np.zeros((0, 3), np.int64)
        return np.ctypeslib.as_array(pointer, (count, 3)).copy()

    @staticmethod
    def _answered(response: int, what: str) -> None:
        if response:
            raise BusError(f"{what}: {'no answer' if response < 0 else f'response {response}'}")


def _load(library: Path) -> ctypes.CDLL:
    c = ctypes.CDLL(str(library))
    handle, p, i64, u32, i32 = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint32, ctypes.c_int
    c.intaglio_open.argtypes, c.intaglio_open.restype = [p, p, p, i64, i64, ctypes.c_char_p], handle
    c.intaglio_write.argtypes, c.intaglio_write.restype = [handle, u32, u32], i32
    c.intaglio_read.argtypes, c.intaglio_read.restype = [handle, u32, ctypes.POINTER(u32)], i32
    c.intaglio_advance.argtypes, c.intaglio_advance.restype = [handle, i64], i32
    c.intaglio_fault.argtypes, c.intaglio_fault.restype = [handle], ctypes.c_char_p
    c.intaglio_events.argtypes, c.intaglio_events.restype = [handle, p], i64
    c.intaglio_cycles.argtypes, c.intaglio_cycles.restype = [handle], i64
    c.intaglio_close.argtypes, c.intaglio_close.restype = [handle], None
    return c
