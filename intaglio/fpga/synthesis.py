"""A design mapped to a family's cells by Yosys."""

from __future__ import annotations

import re
from pathlib import Path

from amaranth.lib import wiring

from intaglio import cache
from intaglio.fpga.families import Family
from intaglio.fpga.memories import with_ram_style, with_undefined_collisions
from intaglio.fpga.shim import SHIM, shim_rtlil
from intaglio.fpga.tools import Tell, yosys
from intaglio.machine.config import Config

BLOCK = "intaglio_block"
"""Attribute of a cell: the module that it comes from."""
_MODULE = re.compile(r"^module \\?(\S+)", re.MULTILINE)
_CELL = re.compile(r"^(?=  (?:cell|process) )", re.MULTILINE)


def synthesize(design: wiring.Component | Config, family: Family, tell: Tell) -> Path:
    """Yosys's JSON netlist of the shim with a component or a configuration's accelerator, from the cache if it has been
    made.

    Raises InputError where there is no Yosys, ToolError where it fails.
    """
    tool = yosys()
    text = _with_blocks(with_ram_style(with_undefined_collisions(shim_rtlil(design, family.target)), family.ram_style))
    script = _script(family)

    def make(scratch: Path) -> Path:
        tell(f"synthesizing for {family.name} with {tool.version} (a minute or more)")
        (scratch / "in.il").write_text(text, encoding="utf-8")
        (scratch / "script.ys").write_text(script, encoding="utf-8")
        result = scratch / "netlist.json"
        tool.run(["script.ys"], result)
        return result

    return cache.made(f"{cache.key('netlist', tool.version, script, text)}.json", make)


def _script(family: Family) -> str:
    """The family's passes. Vectors are split before look-up tables are mapped: without it Yosys 0.70 can end without a
    word, by signals' names."""
    synth = f"{family.synth} -top {SHIM}"
    return "\n".join(
        (
            "read_rtlil in.il",
            f"{synth} -run begin:map_luts",
            "splitnets",
            f"{synth} -run map_luts:",
            "autoname",
            "delete t:$scopeinfo",
            "write_json netlist.json",
            "",
        )
    )


def _with_blocks(text: str) -> str:
    """RTLIL whose cells tell which module they come from, flattened or not."""
    parts = _MODULE.split(text)
    marked = [parts[0]]
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        marked.append(f"module \\{name}" + _CELL.sub(lambda _, of=name: f'  attribute \\{BLOCK} "{of}"\n', body))
    return "".join(marked)
