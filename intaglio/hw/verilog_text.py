"""Yosys's Verilog as a person, and every tool, likes to read it."""

from __future__ import annotations

import re

_NAME = r"(?:\\\S+ |\w+)"
_STATED = re.compile(
    r"^ *\(\* (?:full_case|generator|hdlname|init|top|unused_bits|\\intaglio\.\S+ ) = .* \*\)\n|\(\* full_case = \S+ \*\) ",
    re.MULTILINE,
)
"""Attributes that the tools or this package state for themselves; those for synthesis are all others (hw.ram,
hw.product)."""
_INITIALIZED = re.compile(rf"^  reg (\[\d+:\d+\] )?({_NAME}) = (\S+);$", re.MULTILINE)
_LANE = re.compile(
    rf"    if \(({_NAME})\[(\d+)\]\)\n      ({_NAME})\[({_NAME})\]\[(\d+):(\d+)\] <= ({_NAME})\[(\d+):(\d+)\];\n"
)
_LANES = re.compile(rf"^  always @\(posedge clk\) begin\n((?:{_LANE.pattern}){{2,}})  end\n", re.MULTILINE)
_NESTED = re.compile(r"^( +)if \((.*)\)\n(\1  if \(.*\) .*;\n\1  else .*;\n)", re.MULTILINE)
_REPEATED = re.compile(r"(?<=\{ )([^\s,{}]+ ?(?:\[\d+\])?)((?:, \1(?=,))+)")
_MODULE = re.compile(r"^((?:\(\* .* \*\)\n)*)module (\w+)\s*\((.*?)\);\n(.*?)^endmodule\n", re.MULTILINE | re.DOTALL)
_BIT = re.compile(r"\\(\w+)\[(\d+)(?::(\d+))?\] ")
_DIRECTION = re.compile(r"^  (input|output) (\[\d+:\d+\] )?(\w+) ?;\n", re.MULTILINE)


def tidy(text: str) -> str:
    """Yosys's Verilog without attributes that are not for synthesis, the initial values of registers in `initial`
    statements, not in declarations (a linter wants a signal driven from one kind of place), and bits that repeat from a
    concatenation's start on as a replication, as in sign extensions: Verilator compiles those to shifts, the others bit
    by bit. The lanes of a memory's write port, such as its bytes, are a loop under one `if`: one test in a cycle
    without a write, and the form that synthesis tools document for byte enables. An `else` stands in a block with its `if`."""
    text = _LANES.sub(_lanes_as_loop, _STATED.sub("", text))
    text = _INITIALIZED.sub(lambda m: f"  reg {m[1] or ''}{m[2]};\n  initial {m[2].rstrip()} = {m[3]};", text)
    text = _NESTED.sub(r"\1if (\2) begin\n\3\1end\n", text)
    return _REPEATED.sub(lambda m: f"{{{m[2].count(', ') + 1}{{ {m[1].rstrip()} }}}}", text)


def _lanes_as_loop(block: re.Match[str]) -> str:
    """The block of a write port as a loop; as it is where its lanes are not all that they seem."""
    lanes = _LANE.findall(block[1])
    enable, _, mem, address, high, _, value, *_ = lanes[0]
    width = int(high) + 1
    for i, lane in enumerate(lanes):
        span = (str(width * i + width - 1), str(width * i))
        if lane != (enable, str(i), mem, address, *span, value, *span):
            return block[0]
    part = f"[{width}*i +: {width}]"
    label = f"{mem.rstrip()}$lanes " if mem[0] == "\\" else f"{mem}_lanes"
    return (
        f"  always @(posedge clk)\n    if (| {enable}) begin : {label}\n      integer i;\n"
        f"      for (i = 0; i < {len(lanes)}; i = i + 1)\n"
        f"        if ({enable}[i]) {mem}[{address}]{part} <= {value}{part};\n    end\n"
    )


def ansi(text: str) -> str:
    """Modules with the directions, kinds and widths of their ports in the header; without Yosys's comment, and without the
    escaped names that it gives to single bits."""
    return "\n".join(m[1] + _module(m[2], m[3], _BIT.sub(_plain_bit, m[4])) for m in _MODULE.finditer(text))


def _plain_bit(m: re.Match[str]) -> str:
    """A register of one bit of a signal whose others are none: `row_reg[1]` becomes row_reg_1."""
    name = "_".join(part for part in m.groups() if part)
    assert not re.search(rf"\b{name}\b", m.string), name
    return name


def _module(name: str, ports: str, body: str) -> str:
    found = {m[3]: (m[1], m[2] or "") for m in _DIRECTION.finditer(body)}
    body = _DIRECTION.sub("", body)
    lines = []
    for port in re.findall(r"\w+", ports):
        direction, width = found[port]
        declared = re.compile(rf"^  (wire|reg) {re.escape(width)}{port} ?;\n", re.MULTILINE)
        m = declared.search(body)
        assert m, (name, port)
        body = body[: m.start()] + body[m.end() :]
        lines.append(f"  {direction} {m[1]} {width}{port}")
    return f"module {name} (\n" + ",\n".join(lines) + f"\n);\n{body}endmodule\n"
