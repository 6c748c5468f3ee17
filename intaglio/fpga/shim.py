"""A design that a chip of few pins holds: the accelerator, its ports in chains of registers."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.accelerator import Accelerator
from intaglio.hw.verilog import TOP, component_rtlil
from intaglio.machine.config import Config

SHIM = "shim"
"""The module's name. All that the accelerator is lies in blocks below it."""


class Shim(wiring.Component):
    """A component, mostly an accelerator, between two chains of registers, one bit a port's bit: paths from and to its ports
    end at registers, as they do at an interconnect. For measuring; it makes no sense as hardware.

    Ports
    -----
    rst : In, 1 bit; where the component has it
        Its own.
    serial_in : In, 1 bit
        Shifted through the inputs' registers.
    take : In, 1 bit
        The outputs are taken into their registers; else those shift.
    serial_out : Out, 1 bit
        Their last one.

    No flow control: a bit every cycle.
    """

    def __init__(self, inner: wiring.Component):
        self._inner = inner
        reset = {"rst": In(1)} if "rst" in inner.signature.members else {}
        super().__init__({**reset, "serial_in": In(1), "take": In(1), "serial_out": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        setattr(m.submodules, TOP, self._inner)
        ports = [
            (member.flow, Value.cast(value))
            for path, member, value in self._inner.signature.flatten(self._inner)
            if path != ("rst",)
        ]
        if "rst" in self.signature.members:
            m.d.comb += self._inner.rst.eq(self.rst)
        inputs = Cat(value for flow, value in ports if flow == wiring.In)
        outputs = Cat(value for flow, value in ports if flow == wiring.Out)
        given, taken, take = Signal(len(inputs), reset_less=True), Signal(len(outputs), reset_less=True), Signal()
        m.d.comb += [inputs.eq(given), self.serial_out.eq(taken[-1])]
        m.d.sync += [given.eq(Cat(self.serial_in, given)), take.eq(self.take), taken.eq(Cat(self.serial_in, taken))]
        with m.If(take):
            m.d.sync += taken.eq(outputs)
        return m


def shim_rtlil(inner: wiring.Component | Config, target: str) -> str:
    """RTLIL of the shim around a component, or a configuration's accelerator, a module for each block. target:
    hw/target.py's."""
    return component_rtlil(Shim(Accelerator(inner) if isinstance(inner, Config) else inner), SHIM, target)
