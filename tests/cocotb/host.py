"""Software's side of the accelerator in the simulator: registers over AXI4-Lite, and the external memory's stalls."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench_side import Odds
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from intaglio.machine.counters import Counter
from intaglio.machine.faults import Fault
from intaglio.machine.registers import STATUS_FAULT_LSB, Control, Register, Status, counter_offset


def quiet(dut) -> None:
    """Keeps cocotbext-axi from telling of every burst, and of its own calls that cocotb will drop one day."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    logging.getLogger(f"cocotb.{dut._name}.m_axi").setLevel(logging.ERROR)
    logging.getLogger(f"cocotb.{dut._name}.s_axi").setLevel(logging.ERROR)


def _pauses() -> Iterator[bool]:
    odds = Odds()
    while True:
        yield not odds()


def stalled(axi: Any) -> None:
    """Random pauses on every channel of a master or slave of cocotbext-axi."""
    for channel in (axi.write_if.aw_channel, axi.write_if.w_channel, axi.write_if.b_channel):
        channel.set_pause_generator(_pauses())
    for channel in (axi.read_if.ar_channel, axi.read_if.r_channel):
        channel.set_pause_generator(_pauses())


@dataclass
class Outcome:
    """What the registers show after the interrupt; status without DRAINING and the fault."""

    status: Status
    fault: Fault
    fault_address: int
    counters: dict[Counter, int]


class Host:
    """Drives the register port."""

    def __init__(self, dut) -> None:
        self._dut = dut
        self._lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
        stalled(self._lite)

    async def write(self, register: int, value: int) -> None:
        """Fails if the write is refused."""
        response = await self._lite.write(register, value.to_bytes(4, "little"))
        assert response.resp == 0, f"register 0x{register:x}: {response}"

    async def read(self, register: int) -> int:
        """Fails if the read is refused."""
        response = await self._lite.read(register, 4)
        assert response.resp == 0, f"register 0x{register:x}: {response}"
        return int.from_bytes(response.data, "little")

    async def run(self, program: int, size: int, base: int) -> Outcome:
        """Runs a program from start to interrupt and clears the interrupt."""
        dut = self._dut
        await self.write(Register.PROGRAM_ADDRESS, program)
        await self.write(Register.PROGRAM_SIZE, size)
        await self.write(Register.BASE_ADDRESS, base)
        assert dut.irq.value == 0
        await self.write(Register.CONTROL, Control.START | Control.INTERRUPT_ENABLE)
        if dut.irq.value == 0:
            await RisingEdge(dut.irq)
        status = await self.read(Register.STATUS)
        assert status & Status.INTERRUPT and not status & Status.BUSY
        while await self.read(Register.STATUS) & Status.DRAINING:
            pass
        counters = {}
        for counter in Counter:
            low = await self.read(counter_offset(counter))
            counters[counter] = low | await self.read(counter_offset(counter) + 4) << 32
        address = await self.read(Register.ERROR_ADDRESS)
        await self.write(Register.CONTROL, Control.INTERRUPT_ENABLE | Control.INTERRUPT_CLEAR)
        assert dut.irq.value == 0
        return Outcome(Status(status & 0xF), Fault(status >> STATUS_FAULT_LSB & 0xFF), address, counters)
