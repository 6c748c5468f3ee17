"""The rewritten RTLIL computes what it did: every kind of cell, for every value of small inputs."""

from __future__ import annotations

import random
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from intaglio.hw.rtlil_widths import BITWISE, COMPARISONS, LEFT_SHIFTS, RIGHT_SHIFTS, SUMS, rewrite
from intaglio.hw.verilog_text import tidy
from intaglio.hw.yosys import run_yosys
from intaglio.sim.rtl import toolchain
from intaglio.sim.rtl.build import lint_of

INPUTS = {"a": 4, "b": 3}
OPERANDS = [
    "\\a",
    "\\b",
    "\\a [2:1]",
    "\\a [3]",
    "\\b [2]",
    "3'101",
    "1'1",
    "4'0010",
    "3",
    "{ \\a [0] \\b }",
    "{ 2'10 \\b [1:0] }",
    "{ \\b \\a [3:2] 1'1 }",
]
SHIFTS = LEFT_SHIFTS + RIGHT_SHIFTS

Cell = tuple[str, dict[str, int], dict[str, str]]
Netlist = tuple[dict[str, int], list[Cell], list[tuple[str, str]]]


def pieces(signal: str) -> list[str]:
    """The parts of a signal, the highest first."""
    return re.findall(r"[\\$]\S+(?: \[[\d:]+\])?|\d+'[01]+|\d+", signal.strip("{} "))


@cache
def bits_of(signal: str, widths: tuple[tuple[str, int], ...]) -> list[tuple[str, int] | int]:
    """Each bit, the lowest first: a wire's name and index, or a constant."""
    bits: list[tuple[str, int] | int] = []
    for piece in reversed(pieces(signal)):
        if piece[0] in "\\$":
            name, _, part = piece.partition(" ")
            high, _, low = part.strip("[]").partition(":")
            span = (int(low or high), int(high)) if part else (0, dict(widths)[name] - 1)
            bits += [(name, i) for i in range(span[0], span[1] + 1)]
        elif "'" in piece:
            bits += [int(bit) for bit in reversed(piece.split("'")[1])]
        else:
            bits += [int(piece) >> i & 1 for i in range(32)]
    return bits


def parse(text: str) -> Netlist:
    widths = {m[2]: int(m[1] or 1) for m in re.finditer(r"^  wire (?:width (\d+) )?(?:\w+ \d+ )?(\S+)$", text, re.M)}
    cells = [
        (
            m[1],
            {k: int(v) for k, v in re.findall(r"parameter \\(\w+) (\d+)", m[2])},
            dict(re.findall(r"connect \\(\w+) (.+)", m[2])),
        )
        for m in re.finditer(r"^  cell (\S+) \S+\n(.*?)^  end$", text, re.M | re.S)
    ]
    return widths, cells, re.findall(r"^  connect (\S+(?: \[[\d:]+\])?) (.+)$", text, re.M)


def value(kind: str, p: dict[str, int], v: dict[str, int]) -> int:
    """What Yosys says a cell computes (its `help` of cells and kernel/calc.cc)."""
    if kind == "$mux":
        return v["B"] if v["S"] else v["A"]
    if kind == "$pmux":
        for i in range(p["S_WIDTH"]):
            if v["S"] >> i & 1:
                return v["B"] >> i * p["WIDTH"] & (1 << p["WIDTH"]) - 1
        return v["A"]
    if kind == "$reduce_or":
        return int(v["A"] != 0)
    if kind == "$logic_not":
        return int(v["A"] == 0)

    def number(port: str, signed: bool) -> int:
        width = p[f"{port}_WIDTH"]
        return v[port] - (1 << width) if signed and v[port] >> width - 1 else v[port]

    mask = (1 << p["Y_WIDTH"]) - 1
    if kind in SHIFTS:
        a = number("A", p["A_SIGNED"] == 1 and kind != "$shiftx")
        if kind == "$shr":
            a &= (1 << max(p["A_WIDTH"], p["Y_WIDTH"])) - 1
        return (a << v["B"] if kind in LEFT_SHIFTS else a >> v["B"]) & mask
    both = p["A_SIGNED"] == p["B_SIGNED"] == 1
    a, b = number("A", both), number("B", both)
    return {
        "$eq": a == b,
        "$ne": a != b,
        "$lt": a < b,
        "$le": a <= b,
        "$gt": a > b,
        "$ge": a >= b,
        "$add": a + b,
        "$sub": a - b,
        "$and": a & b,
        "$or": a | b,
        "$xor": a ^ b,
        "$xnor": ~(a ^ b),
    }[kind] & mask


def outputs(netlist: Netlist, inputs: dict[str, int]) -> dict[str, int]:
    widths, cells, connects = netlist
    shape = tuple(widths.items())
    known = {(f"\\{name}", i): x >> i & 1 for name, x in inputs.items() for i in range(INPUTS[name])}
    todo: list[Cell] = [*cells, *(("copy", {}, {"A": right, "Y": left}) for left, right in connects)]
    while todo:
        left = []
        for kind, p, ports in todo:
            read = {port: bits_of(s, shape) for port, s in ports.items() if port != "Y"}
            if any(not isinstance(bit, int) and bit not in known for bits in read.values() for bit in bits):
                left.append((kind, p, ports))
                continue
            for port, bits in read.items():
                assert len(bits) == p.get(f"{port}_WIDTH", len(bits)), (kind, ports)
            v = {
                port: sum((bit if isinstance(bit, int) else known[bit]) << i for i, bit in enumerate(bits))
                for port, bits in read.items()
            }
            y = v["A"] if kind == "copy" else value(kind, p, v)
            for i, bit in enumerate(bits_of(ports["Y"], shape)):
                assert not isinstance(bit, int) and bit not in known
                known[bit] = y >> i & 1
        assert len(left) < len(todo)
        todo = left
    return {
        name: sum(known[name, i] << i for i in range(width)) for name, width in widths.items() if name.startswith("\\y")
    }


def width_of(signal: str) -> int:
    return len(bits_of(signal, tuple((f"\\{name}", width) for name, width in INPUTS.items())))


def module(cells: list[Cell]) -> str:
    """A module with an output for each cell."""
    wires = [f"  wire width {width} input {i} \\{name}" for i, (name, width) in enumerate(INPUTS.items(), 1)]
    body = []
    for i, (kind, p, ports) in enumerate(cells):
        width = p.get("Y_WIDTH") or p["WIDTH"]
        wires.append(f"  wire width {width} output {i + 3} \\y{i}")
        body += [
            f"  cell {kind} $c{i}",
            *(f"    parameter \\{k} {x}" for k, x in p.items()),
            *(f"    connect \\{k} {x}" for k, x in {**ports, "Y": f"\\y{i}"}.items()),
            "  end",
        ]
    return "\n".join(["module \\intaglio", *wires, *body, "end", ""])


def random_cells(seed: int, kinds: tuple[str, ...], count: int) -> list[Cell]:
    draw = random.Random(seed)
    cells: list[Cell] = []
    for i in range(count):
        kind = kinds[i % len(kinds)]
        if kind == "$pmux":
            width, cases = draw.randint(1, 4), draw.randint(1, 9)
            ports = {
                port: concatenation(draw, bits) for port, bits in (("A", width), ("B", width * cases), ("S", cases))
            }
            cells.append((kind, {"WIDTH": width, "S_WIDTH": cases}, ports))
            continue
        a, b = draw.choice(OPERANDS), draw.choice(OPERANDS)
        signed = 0 if kind == "$shift" else draw.randint(0, 1)
        if kind in SHIFTS:
            b = draw.choice([o for o in OPERANDS if width_of(o) < 5])
        y = 1 if kind in (*COMPARISONS, "$logic_not") else draw.randint(1, 9)
        p = {"A_SIGNED": signed, "A_WIDTH": width_of(a)}
        ports = {"A": a}
        if kind != "$logic_not":
            p |= {"B_SIGNED": 0 if kind in SHIFTS else signed, "B_WIDTH": width_of(b)}
            ports |= {"B": b}
        cells.append((kind, {**p, "Y_WIDTH": y}, ports))
    return cells


def concatenation(draw: random.Random, bits: int) -> str:
    parts: list[str] = []
    while bits:
        part = draw.choice([o for o in OPERANDS if o[0] != "{" and width_of(o) <= bits])
        parts.append(part)
        bits -= width_of(part)
    return parts[0] if len(parts) == 1 else "{ " + " ".join(parts) + " }"


KINDS = (*COMPARISONS, *SUMS, *BITWISE, *SHIFTS, "$logic_not", "$pmux")


@pytest.mark.parametrize("kind", KINDS)
def test_cells_compute_the_same(kind: str) -> None:
    text = module(random_cells(1, (kind,), 30))
    again = rewrite(text)
    assert again != text
    before, after = parse(text), parse(again)
    for a in range(16):
        for b in range(8):
            assert outputs(before, {"a": a, "b": b}) == outputs(after, {"a": a, "b": b}), (a, b)


def test_widths_are_equal_afterwards() -> None:
    _, cells, _ = parse(rewrite(module(random_cells(2, KINDS, 400))))
    assert not {"$pmux", "$shift", "$shiftx"} & {kind for kind, p, _ in cells if p.get("A_WIDTH") != p.get("Y_WIDTH")}
    for kind, p, ports in cells:
        if kind in (*COMPARISONS, *SUMS, *BITWISE):
            assert p["A_WIDTH"] == p["B_WIDTH"], ports
        if kind in SUMS:
            assert 0 <= p["Y_WIDTH"] - p["A_WIDTH"] <= 1
        if kind in (*BITWISE, *SHIFTS):
            assert p["A_WIDTH"] == p["Y_WIDTH"]
        assert kind != "$logic_not" or p["A_WIDTH"] == 1


def test_a_rewritten_text_stays() -> None:
    text = rewrite(module(random_cells(3, KINDS, 200)))
    assert rewrite(text) == text


HALF = """module \\intaglio
  wire width 4 input 1 \\a
  wire width 3 input 2 \\b
  wire width 6 \\half
  wire width 6 \\copy
  wire width 2 output 3 \\y0
  connect \\half [3:0] \\a
  connect \\copy \\half
  connect \\y0 \\half [READ]
end
"""


def test_bits_without_driver_are_zero_only_if_nothing_reads_them() -> None:
    def added(text: str) -> list[str]:
        return rewrite(text).removeprefix(text.removesuffix("end\n")).splitlines()[:-1]

    # \copy reads \half, but nothing reads \copy.
    assert added(HALF.replace("READ", "1:0")) == ["  connect \\half [5:4] 2'00"]
    assert added(HALF.replace("READ", "5:4")) == []
    assert added(HALF.replace("READ", "4:3")) == ["  connect \\half [5:5] 1'0"]


def plain_verilog(text: str) -> str:
    return run_yosys(text, "write_verilog -noattr out")


def test_tidied_text() -> None:
    text = (
        "  reg [3:0] \\a.b  = 4'h2;\n  reg _1_ = 1'h0;\n  reg \\c[1]  = 1'h1;\n  assign x = { a[3], a[3], a[3], a };\n"
    )
    text += "  assign y = { \\p , \\p , \\p , b, b };\n  assign z = { a, ab, ab };\n"
    assert tidy(text).splitlines() == [
        "  reg [3:0] \\a.b ;",
        "  initial \\a.b = 4'h2;",
        "  reg _1_;",
        "  initial _1_ = 1'h0;",
        "  reg \\c[1] ;",
        "  initial \\c[1] = 1'h1;",
        "  assign x = { {3{ a[3] }}, a };",
        "  assign y = { {3{ \\p }}, b, b };",
        "  assign z = { a, ab, ab };",
    ]


MAIN = """
#include "Vtop.h"
int main() {
    Vtop top;
    for (int i = 0; i < 128; ++i) {
        top.a = i & 15;
        top.b = i >> 4;
        top.eval();
        if (!top.same) return 1;
    }
}
"""


@pytest.mark.slow
def test_verilog_computes_the_same(tmp_path: Path) -> None:
    """Through Yosys and Verilator: the Verilog of a module and of the rewritten one."""
    # $shiftx has no value outside, and of several selected inputs of $pmux the Verilog before takes the lowest too.
    text = module(random_cells(4, tuple(k for k in KINDS if k != "$shiftx"), 600))
    before = plain_verilog(text).replace("module intaglio(", "module original(")
    after = tidy(plain_verilog(rewrite(text)))
    assert "WIDTH" in lint_of(before.replace("module original(", "module intaglio("), ())
    assert set(re.findall("%Warning-([A-Z]+)", lint_of(after, ()))) <= {"CMPCONST"}
    names = [f"y{i}" for i in range(600)]
    wires = "".join(f"  wire [8:0] {n}_0, {n}_1;\n" for n in names)
    tops = [
        f"  {module_name} i{i}(.a(a), .b(b), {', '.join(f'.{n}({n}_{i})' for n in names)});\n"
        for i, module_name in enumerate(("original", "intaglio"))
    ]
    both = (f"{{{', '.join(f'{n}_{i}' for n in names)}}}" for i in range(2))
    top = (
        f"module top(input [3:0] a, input [2:0] b, output same);\n{wires}{''.join(tops)}"
        f"  assign same = {' === '.join(both)};\nendmodule\n"
    )
    (tmp_path / "all.v").write_text(before + after + top)
    (tmp_path / "main.cpp").write_text(MAIN)
    done = toolchain.verilator().run(
        [
            "--cc",
            "--exe",
            "--build",
            "--prefix",
            "Vtop",
            "--top-module",
            "top",
            "-Wno-fatal",
            "-Wno-lint",
            "-Wno-style",
            "--no-assert",
            "-MAKEFLAGS",
            "OPT_FAST=-O0 OPT_GLOBAL=-O0",
            "-o",
            "same",
            "all.v",
            "main.cpp",
        ],
        tmp_path,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert subprocess.run([tmp_path / "obj_dir" / "same"], check=False).returncode == 0
