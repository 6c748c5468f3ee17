"""The multiplier of Lattice's ECP5 with its output register, and what it does for simulators.

Ports and parameters as Lattice's FPGA-TN-02205 (ECP5 sysDSP) and Project Trellis have them; what is not named keeps its
default.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, Signal, Value

BITS = 18
"""Bits of an operand, signed or not."""
_OPERANDS = ("A", "B", "C")


def multiplied(m: Module, a: Value, b: Value, name: str, enable: Any) -> Value:
    """a * b as it was a cycle ago, 36 bits, as instance `name` of m; a, b: up to BITS bits each, signed or not. enable: 1 bit;
    where it is low the register keeps what it has. It has no reset."""
    out = Signal(2 * BITS, name=f"{name}_p")
    ports: dict[str, Any] = {"i_CLK0": ClockSignal(), "i_CE0": enable, "i_RST0": 0, "i_SOURCEA": 0, "i_SOURCEB": 0}
    for operand, value in zip(_OPERANDS, (a, b, Value.cast(0)), strict=True):
        signed = value.shape().signed
        bits = value.as_signed() if signed else value
        assert len(value) <= BITS, f"{name}: {operand} has {len(value)} bits"
        extended = Signal(BITS, name=f"{name}_{operand.lower()}")
        m.d.comb += extended.eq(bits)
        ports |= {f"i_{operand}{i}": extended[i] for i in range(BITS)}
        if operand != "C":
            ports[f"i_SIGNED{operand}"] = int(signed)
    ports |= {f"o_P{i}": out[i] for i in range(2 * BITS)}
    m.submodules[name] = Instance("MULT18X18D", p_REG_OUTPUT_CLK="CLK0", **ports)
    return out


def _model() -> str:
    inputs = [f"{operand}{i}" for operand in _OPERANDS for i in range(BITS)]
    inputs += ["SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB", "CLK0", "CE0", "RST0"]
    outputs = [f"P{i}" for i in range(2 * BITS)]
    ports = ",\n".join([f"  input {port}" for port in inputs] + [f"  output {port}" for port in outputs])

    def word(port: str, bits: int) -> str:
        return "{" + ", ".join(f"{port}{i}" for i in reversed(range(bits))) + "}"

    return f"""
`ifndef SYNTHESIS
// Lattice ECP5's multiplier with its output register, for simulators and linters; synthesis has its own.
module MULT18X18D #(
  parameter REG_OUTPUT_CLK = "NONE"
) (
{ports}
);
  wire signed [{2 * BITS - 1}:0] a = {{{{{BITS}{{SIGNEDA & A{BITS - 1}}}}}, {word("A", BITS)[1:-1]}}};
  wire signed [{2 * BITS - 1}:0] b = {{{{{BITS}{{SIGNEDB & B{BITS - 1}}}}}, {word("B", BITS)[1:-1]}}};
  reg signed [{2 * BITS - 1}:0] p;
  always @(posedge CLK0)
    if (RST0) p <= 0;
    else if (CE0) p <= a * b;
  assign {word("P", 2 * BITS)} = REG_OUTPUT_CLK == "NONE" ? a * b : p;
endmodule
`endif
"""


MODEL = _model()
"""Verilog of the module as `multiplied` makes it, which behind SYNTHESIS, as tools of synthesis define it, is left out."""
