"""RTLIL whose modules, instances and signals have names that are plain identifiers of Verilog.

Amaranth names a module by its path (`intaglio.core.array`), a field `signal.field`, an element `signal[1]`, a second signal
of a name `signal$5`, and a port through which a block reads a signal of the block around it `port$5$0`. Verilog takes
such names escaped only, and tools print those in many ways. Here `.`, `[` and `$` go, what is then equal is numbered, and
a port without a name gets that of the signal that it is connected to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_MODULE = re.compile(r"^module (\\\S+)\n(.*?)^end\n", re.MULTILINE | re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z]\w*")
_UNNAMED = re.compile(r"\\port\$\d+\$\d+")
_SIGNAL = re.compile(r"(\\\S+)(?: \[(\d+)(?::\d+)?\])?")
_MEMORY = re.compile(r'^    parameter \\MEMID "\\?([\\$]\S+)"$')
_MOST_PARTS = 3
"""Signals, of those that are joined at a port, by which the port is named."""
_KEYWORDS = """accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins
    binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const constraint
    context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge else end endcase
    endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage endprimitive
    endprogram endproperty endsequence endspecify endtable endtask enum event eventually expect export extends extern final
    first_match for force foreach forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone
    ignore_bins illegal_bins implements implies import incdir include initial inout input inside instance int integer
    interconnect interface intersect join join_any join_none large let liblist library local localparam logic longint
    macromodule matches medium modport module nand negedge nettype new nexttime nmos nor noshowcancelled not notif0 notif1
    null or output package packed parameter pmos posedge primitive priority program property protected pull0 pull1 pulldown
    pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg reject_on
    release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime s_until s_until_with
    scalared sequence shortint shortreal showcancelled signed small soft solve specify specparam static string strong strong0
    strong1 struct super supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time timeprecision
    timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until
    until_with untyped use uwire var vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard wire with
    within wor xnor xor"""
KEYWORDS = frozenset(_KEYWORDS.split())
"""Reserved words of SystemVerilog (IEEE 1800-2017, annex B), Verilog's among them."""


def plain_names(text: str, top: str) -> str:
    """The RTLIL text of a design, after `proc`, with plain names. A module is called by its path from top, joined with `_`;
    those that no other has any more, since what they made was of no use, are left out."""
    modules = {m[1]: _Module(m[2]) for m in _MODULE.finditer(text)}
    taken: set[str] = set()
    renamed = {name: _unique(_plain(name), taken) for name in sorted(modules)}
    _name_ports(modules, f"\\{top}")

    def written(m: re.Match[str]) -> str:
        if not modules[m[1]].names:  # not reached from top
            return ""
        return f"module \\{renamed[m[1]]}\n{modules[m[1]].written(modules, renamed)}end\n"

    return _MODULE.sub(written, text)


@dataclass
class _Module:
    """body: its lines between `module` and `end`. names: of its public wires, memories and cells, by kind and old name;
    empty until `choose`."""

    body: str
    names: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def instances(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Each cell of another module: the module, and by port what it is connected to."""
        for m in re.finditer(r"^  cell (\\\S+) \S+\n((?:    .*\n)*)", self.body, re.MULTILINE):
            yield m[1], dict(re.findall(r"^    connect (\S+) (.+)$", m[2], re.MULTILINE))

    def choose(self, hints: dict[str, str]) -> None:
        """Names everything. hints: better names for ports than their own."""
        found = [("wire", name) for name in re.findall(r"^  wire .*?(\\\S+)$", self.body, re.MULTILINE)]
        found += [("memory", name) for name in re.findall(r"^  memory .*?([\\$]\S+)$", self.body, re.MULTILINE)]
        found += [("cell", name) for name in re.findall(r"^  cell \S+ (\\\S+)$", self.body, re.MULTILINE)]
        taken = set()
        # Ports and then blocks first: a block has its name by its path in reports too, whatever signal is called so.
        ports = set(re.findall(r"^  wire .*?(?:input|output) .*?(\\\S+)$", self.body, re.MULTILINE))
        found.sort(key=lambda key: 0 if key[1] in ports else 1 if key[0] == "cell" else 2)
        for key in found:
            plain = _plain(key[1]) if key[0] == "cell" else key[1][1:]
            if key[1] not in hints and plain not in taken and _is_plain(plain):
                self.names[key] = plain
                taken.add(plain)
        for key in found:
            if key not in self.names:
                self.names[key] = _unique(hints.get(key[1], _plain(key[1])), taken)

    def signal(self, text: str) -> str:
        """A signal, with this module's new names."""
        return " ".join(f"\\{self.names['wire', token]}" if token[:1] == "\\" else token for token in text.split(" "))

    def written(self, modules: dict[str, _Module], renamed: dict[str, str]) -> str:
        """The body with new names."""
        lines, kind = [], ""
        for line in self.body.split("\n"):
            if line.startswith(("  wire ", "  memory ")):
                start, name = line.rsplit(" ", 1)
                sort = line.split(" ", 3)[2]
                line = f"{start} \\{self.names[sort, name]}" if (sort, name) in self.names else line
            elif line.startswith("  cell "):
                _, _, _, kind, name = line.split(" ")
                new = f"\\{self.names['cell', name]}" if name[0] == "\\" else name
                line = f"  cell \\{renamed[kind]} {new}" if kind in renamed else f"  cell {kind} {new}"
            elif line.startswith("    connect "):
                port, signal = line[12:].split(" ", 1)
                port = f"\\{modules[kind].names['wire', port]}" if kind in modules else port
                line = f"    connect {port} {self.signal(signal)}"
            elif line.startswith("  connect "):
                line = f"  connect {self.signal(line[10:])}"
            elif (m := _MEMORY.match(line)) is not None:
                line = f'    parameter \\MEMID "\\\\{self.names["memory", m[1]]}"'
            lines.append(line)
        return "\n".join(lines)


def _name_ports(modules: dict[str, _Module], name: str, hints: dict[str, str] | None = None) -> None:
    """Names for a module, then for those in it, whose ports may need names from it."""
    module = modules[name]
    module.choose(hints or {})
    for kind, connections in module.instances:
        if kind in modules:
            given = {}
            for port, signal in connections.items():
                parts = _SIGNAL.findall(signal)
                if parts and _UNNAMED.fullmatch(port):
                    names = [module.names["wire", name] + (f"_{bit}" if bit else "") for name, bit in parts]
                    given[port] = "_".join(names[:_MOST_PARTS])
            _name_ports(modules, kind, given)


def _is_plain(name: str) -> bool:
    return _PLAIN.fullmatch(name) is not None and name not in KEYWORDS


def _plain(name: str) -> str:
    r"""The nearest identifier to \name; that of a memory that Yosys made of constants, "rom"."""
    if name.startswith("$"):
        return "rom"
    text = re.sub(r"\W+", "_", re.sub(r"\$\d+", "", name)).strip("_") or "unnamed"
    return text if _is_plain(text) else f"{text}_" if text in KEYWORDS else f"n{text}"


def _unique(name: str, taken: set[str]) -> str:
    """name, or with the first number that makes it another one than those taken; and takes it."""
    chosen, number = name, 1
    while chosen in taken:
        number += 1
        chosen = f"{name}_{number}"
    taken.add(chosen)
    return chosen
