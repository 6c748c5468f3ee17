"""RTLIL whose operators have operands as wide as Verilog's rules want, so that no linter finds an implicit extension.

Amaranth and Yosys's opt_expr leave operands of different widths to one operator. Their meaning is clear, but every linter
warns of them in Verilog, and so of real mistakes only in a crowd. Here the text of every module, after `proc`, is
rewritten cell by cell into the same logic:

- comparisons, sums, differences, bitwise operators: operands extended, by zeros or by the sign, to the wider one, or to the
  result where it is wider than a carry;
- shifts: what is shifted is as wide as the result;
- $logic_not of a vector: a comparison with zero;
- $pmux: a tree of $mux (Verilog has no operator for it; Yosys would write a function with casez), the first of several
  selected inputs winning, as there;
- bits that Yosys left without a driver because nothing reads them: zero. A bit that something reads is left alone, for
  the linter to find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

COMPARISONS = ("$eq", "$ne", "$lt", "$le", "$gt", "$ge")
SUMS = ("$add", "$sub")
BITWISE = ("$and", "$or", "$xor", "$xnor")
LEFT_SHIFTS = ("$shl", "$sshl")
RIGHT_SHIFTS = ("$shr", "$sshr", "$shift", "$shiftx")

_NAMED = (*COMPARISONS, *SUMS, *BITWISE, *LEFT_SHIFTS, *RIGHT_SHIFTS, "$logic_not", "$pmux")
_CELL = re.compile(rf"^  cell ({'|'.join(map(re.escape, _NAMED))}) (\S+)\n((?:    .*\n)*?)  end\n", re.MULTILINE)
_PARAMETER = re.compile(r"^    parameter (?:signed )?\\(\w+) (\S+)$", re.MULTILINE)
_CONNECT = re.compile(r"^    connect \\(\w+) (.+)$", re.MULTILINE)
_WIRE = re.compile(r"^  wire (?:width (\d+) )?((?:\w+ (?:\d+ )?)*)([\\$]\S+)$", re.MULTILINE)
_PART = re.compile(r"([\\$]\S+)(?: \[(\d+)(?::(\d+))?\])?|(\d+)'([01xzm-]+)|(\d+)(?!')")
_MODULE = re.compile(r"^module .*\n", re.MULTILINE)
_WHOLE = re.compile(r"(?:^attribute .*\n)*^module (\S+)\n(?:^ .*\n|\n)*^end\n", re.MULTILINE)
_OUTPUT = re.compile(r"^  wire (?:\w+ \d+ )*output \d+ (?:\w+ )*(\S+)$", re.MULTILINE)
_END = re.compile(r"^end\n\Z", re.MULTILINE)
_OUTPUTS = frozenset({"Y", "Q", "DATA"})
_WRITES = frozenset({"$memwr", "$memwr_v2", "$meminit", "$meminit_v2"})
"""Ports that drive in the cells that remain after `proc`, but for the DATA of these."""


def rewrite(text: str) -> str:
    """The RTLIL text of a design, each of its modules rewritten as this file says."""
    found = list(_WHOLE.finditer(text))
    outputs = {m[1]: frozenset(_OUTPUT.findall(m[0])) for m in found}
    return text[: found[0].start()] + "".join(_with_zeros(_Rewriter(m[0]).run(), outputs) for m in found)


class _Rewriter:
    def __init__(self, text: str):
        self.text = text
        self.widths = {m[3]: int(m[1] or 1) for m in _WIRE.finditer(text)}
        self.wires: list[str] = []
        """Declarations of new wires."""

    def run(self) -> str:
        text = _CELL.sub(self._cell, self.text)
        return _MODULE.sub(lambda m: m[0] + "".join(self.wires), text)

    def _cell(self, m: re.Match[str]) -> str:
        kind, name, body = m[1], m[2], m[3]
        parameters = dict(_PARAMETER.findall(body))
        ports = dict(_CONNECT.findall(body))
        if kind == "$pmux":
            return "".join(self._tree(name, ports, int(parameters["WIDTH"]), int(parameters["S_WIDTH"])))
        a, y = int(parameters["A_WIDTH"]), int(parameters["Y_WIDTH"])
        if kind == "$logic_not":
            return (
                m[0] if a == 1 else _binary("$eq", name, False, (ports["A"], a), (f"{a}'{'0' * a}", a), (ports["Y"], y))
            )
        b = int(parameters["B_WIDTH"])
        if kind in LEFT_SHIFTS + RIGHT_SHIFTS:
            return self._shift(m[0], kind, name, parameters, ports)
        signed = parameters["A_SIGNED"] == parameters["B_SIGNED"] == "1"
        to = max(a, b)
        if (kind in SUMS and y > to + 1) or (kind in BITWISE and y > to):
            to = y
        if a == b == to and (kind in COMPARISONS or y >= to):
            return m[0]
        out, out_width = ports["Y"], y
        if kind not in COMPARISONS and y < to:
            out, out_width = self._wider(name, out, y, to), to
        return _binary(
            kind,
            name,
            signed,
            (self._extended(ports["A"], a, to, signed), to),
            (self._extended(ports["B"], b, to, signed), to),
            (out, out_width),
        )

    def _shift(self, cell: str, kind: str, name: str, parameters: dict[str, str], ports: dict[str, str]) -> str:
        a, b, y = (int(parameters[f"{port}_WIDTH"]) for port in "ABY")
        to = max(a, y)
        if kind in ("$shift", "$shiftx"):
            # Either way by a signed amount; what fills from above for a signed number, Yosys's own tools dispute.
            if parameters["B_SIGNED"] == "1" or (parameters["A_SIGNED"] == "1" and kind == "$shift"):
                return cell
            to_kind = "$shr"
        else:
            to_kind = kind
        if a == y:
            return cell
        signed = parameters["A_SIGNED"] == "1" and kind != "$shiftx"
        return _cell_text(
            to_kind,
            name,
            {
                "A_SIGNED": int(signed),
                "A_WIDTH": to,
                "B_SIGNED": 0,
                "B_WIDTH": b,
                "Y_WIDTH": to,
            },
            {
                "A": self._extended(ports["A"], a, to, signed),
                "B": ports["B"],
                "Y": self._wider(name, ports["Y"], y, to),
            },
        )

    def _tree(self, name: str, ports: dict[str, str], width: int, cases: int) -> Iterator[str]:
        """$mux cells for a $pmux: halves of the cases, chosen by whether any in the first half is selected."""
        selects = self._split(ports["S"], 1)
        values = self._split(ports["B"], width)
        assert len(selects) == len(values) == cases
        number = 0

        def new(bits: int) -> str:
            nonlocal number
            number += 1
            return self._new(f"{name}$tree{number}", bits)

        def either(low: int, high: int, other: str | None, to: str | None) -> Iterator[str]:
            """Cells for the cases low to high-1, else `other`. The last thing yielded is the result."""
            if low == high:
                assert other is not None
                yield other
                return
            if high - low == 1 and other is None:
                yield values[low]
                return
            middle = (low + high) // 2 if other is None else (low + high + 1) // 2
            *cells, first = either(low, middle, None, None)
            yield from cells
            *cells, second = either(middle, high, other, None)
            yield from cells
            select = selects[low]
            if middle - low > 1:
                select = new(1)
                any_of = "{ " + " ".join(reversed(selects[low:middle])) + " }"
                yield _cell_text(
                    "$reduce_or",
                    f"{select}$any",
                    {"A_SIGNED": 0, "A_WIDTH": middle - low, "Y_WIDTH": 1},
                    {"A": any_of, "Y": select},
                )
            result = to if to is not None else new(width)
            yield _cell_text(
                "$mux",
                name if to is not None else f"{result}$mux",
                {"WIDTH": width},
                {"A": second, "B": first, "S": select, "Y": result},
            )
            yield result

        *cells, _ = either(0, cases, ports["A"], ports["Y"])
        yield from cells

    def _new(self, name: str, width: int) -> str:
        name = name if name[0] == "$" else f"${name}"
        assert name not in self.widths, name
        self.widths[name] = width
        self.wires.append(f"  wire width {width} {name}\n")
        return name

    def _wider(self, name: str, signal: str, width: int, to: int) -> str:
        """An output with bits above that nothing reads."""
        return signal if width == to else f"{{ {self._new(f'{name}$above', to - width)} {_inside(signal)} }}"

    def _extended(self, signal: str, width: int, to: int, signed: bool) -> str:
        if width == to:
            return signal
        m = _PART.fullmatch(signal)
        if m and not m[1]:
            bits = _literal(m)
            return f"{to}'{(bits[0] if signed else '0') * (to - width)}{bits}"
        high = " ".join([self._top(signal)] * (to - width)) if signed else f"{to - width}'{'0' * (to - width)}"
        return f"{{ {high} {_inside(signal)} }}"

    def _top(self, signal: str) -> str:
        m = _PART.match(_inside(signal))
        assert m, signal
        if not m[1]:
            return f"1'{_literal(m)[0]}"
        high = int(m[2]) if m[2] is not None else self.widths[m[1]] - 1
        return m[1] if self.widths[m[1]] == 1 else f"{m[1]} [{high}]"

    def _split(self, signal: str, width: int) -> list[str]:
        """The signal in pieces of `width` bits, the lowest first."""
        bits: list[list[tuple[str, int, int] | str]] = [[]]
        room = width
        for m in reversed(list(_PART.finditer(_inside(signal)))):
            if m[1]:
                high = int(m[2]) if m[2] is not None else self.widths[m[1]] - 1
                low = int(m[3]) if m[3] is not None else int(m[2]) if m[2] is not None else 0
                count = high - low + 1
            else:
                literal = _literal(m)
                count, low = len(literal), 0
            while count:
                if not room:
                    bits.append([])
                    room = width
                take = min(count, room)
                if m[1]:
                    bits[-1].append((m[1], low + take - 1, low))
                else:
                    bits[-1].append(literal[len(literal) - low - take : len(literal) - low])
                low, count, room = low + take, count - take, room - take
        return [self._joined(parts) for parts in bits]

    def _joined(self, parts: list[tuple[str, int, int] | str]) -> str:
        texts = []
        for part in reversed(parts):
            if isinstance(part, str):
                texts.append(f"{len(part)}'{part}")
            else:
                name, high, low = part
                whole = low == 0 and high == self.widths[name] - 1
                texts.append(name if whole else f"{name} [{high}]" if high == low else f"{name} [{high}:{low}]")
        return texts[0] if len(texts) == 1 else "{ " + " ".join(texts) + " }"


def _binary(kind: str, name: str, signed: bool, a: tuple[str, int], b: tuple[str, int], y: tuple[str, int]) -> str:
    sign = int(signed)
    return _cell_text(
        kind,
        name,
        {"A_SIGNED": sign, "A_WIDTH": a[1], "B_SIGNED": sign, "B_WIDTH": b[1], "Y_WIDTH": y[1]},
        {"A": a[0], "B": b[0], "Y": y[0]},
    )


def _cell_text(kind: str, name: str, parameters: dict[str, int], ports: dict[str, str]) -> str:
    lines = [f"    parameter \\{key} {value}\n" for key, value in parameters.items()]
    lines += [f"    connect \\{key} {value}\n" for key, value in ports.items()]
    return f"  cell {kind} {name}\n{''.join(lines)}  end\n"


def _inside(signal: str) -> str:
    """The parts of a concatenation, or the signal."""
    return signal[2:-2] if signal.startswith("{ ") else signal


def _literal(m: re.Match[str]) -> str:
    """The bits of a constant, the highest first; a number without a width has 32."""
    return m[5] if m[5] is not None else f"{int(m[6]):032b}"


def _with_zeros(text: str, outputs: Mapping[str, frozenset[str]]) -> str:
    """The module with zeros for bits that nothing drives and nothing reads. outputs: ports of each module that drive."""
    names = {m[3]: int(m[1] or 1) for m in _WIRE.finditer(text) if "input" not in m[2]}
    driven = dict.fromkeys(names, 0)
    read = {m[3]: -1 if "output" in m[2] else 0 for m in _WIRE.finditer(text) if m[3] in names}

    def mark(signal: str, masks: dict[str, int]) -> None:
        for m in _PART.finditer(signal):
            if m[1] not in masks:
                continue
            if m[2] is None:
                masks[m[1]] = -1
            else:
                high, low = int(m[2]), int(m[3] if m[3] is not None else m[2])
                masks[m[1]] |= (1 << high + 1) - (1 << low)

    kind = ""
    copies = []
    for line in text.splitlines():
        if line.startswith("    connect \\"):
            port, signal = line[13:].split(" ", 1)
            drives = f"\\{port}" in outputs[kind] if kind in outputs else port in _OUTPUTS and kind not in _WRITES
            mark(signal, driven if drives else read)
        elif line.startswith("  cell "):
            kind = line.split(" ", 4)[3]
        elif line.startswith("  connect "):
            copies.append(_sides(line[10:]))
            mark(copies[-1][0], driven)
    # A copy reads if something reads the copy; Yosys keeps the names of signals that nothing reads.
    while True:
        live = [any(m[1] and (m[1] not in read or read[m[1]]) for m in _PART.finditer(left)) for left, _ in copies]
        if not any(live):
            break
        for (_, right), reads in zip(copies, live, strict=True):
            if reads:
                mark(right, read)
        copies = [copy for copy, reads in zip(copies, live, strict=True) if not reads]
    zeros = []
    for name, width in names.items():
        # What nothing drives at all Yosys does not declare, or the linter should see.
        free = ~(driven[name] | read[name]) & (1 << width) - 1 if driven[name] else 0
        while free:
            low = (free & -free).bit_length() - 1
            count = (~(free >> low) & (free >> low) + 1).bit_length() - 1
            zeros.append(f"  connect {name} [{low + count - 1}:{low}] {count}'{'0' * count}\n")
            free &= ~((1 << low + count) - (1 << low))
    return _END.sub(lambda end: "".join(zeros) + end[0], text)


def _sides(line: str) -> tuple[str, str]:
    """The two signals of a `connect`."""
    if line.startswith("{ "):
        left, right = line.split(" } ", 1)
        return left, right
    m = re.match(r"\S+(?: \[[\d:]+\])?", line)
    assert m, line
    return m[0], line[m.end() + 1 :]
