"""What Yosys is told of memories: where they lie, and that nothing relies on some of their collisions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.fpga.memories import with_ram_style, with_undefined_collisions
from intaglio.fpga.tools import yosys
from intaglio.hw.ram import Collision, ram
from intaglio.hw.verilog import component_rtlil, to_modules


class Memories(wiring.Component):
    """A memory of each kind: read at once, registered, with a style of its own, undefined at a collision."""

    KINDS = {
        "at_once": (0, Collision.OLD, {}),
        "registered": (1, Collision.OLD, {}),
        "styled": (1, Collision.OLD, {"ram_style": "distributed"}),
        "undefined": (2, Collision.UNDEFINED, {"ram_style": "distributed"}),
    }

    def __init__(self) -> None:
        super().__init__({"address": In(4), "read": In(4), "data": In(8), "en": In(1), "out": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        found = Signal(8)
        for name, (read_latency, collision, attributes) in self.KINDS.items():
            made = ram(
                m, name, shape=8, depth=16, read_latency=read_latency, collision=collision, attributes=attributes
            )
            m.d.comb += [made.write_en.eq(self.en), made.write_address.eq(self.address), made.write_data.eq(self.data)]
            m.d.comb += made.read_address.eq(self.read)
            found = found ^ made.read_data
        m.d.comb += self.out.eq(found)
        return m


@pytest.fixture(scope="module")
def text() -> str:
    return component_rtlil(Memories(), "top")


def styles(text: str) -> dict[str, str | None]:
    """The last style that each memory has."""
    found = {}
    for attributes, name in re.findall(r"((?:^  attribute .*\n)*)^  memory .* \\(\S+)$", text, re.MULTILINE):
        found[name] = (re.findall(r'ram_style "(\w+)"', attributes) or [None])[-1]
    return found


def masks(text: str) -> dict[str, str]:
    """Of each memory's read port which of its write ports collide without a meaning."""
    return dict(
        re.findall(r'MEMID "\\\\(\w+)"\n(?:    parameter .*\n)*?    parameter \\COLLISION_X_MASK \d+\'(\d+)\n', text)
    )


def test_memories_of_registered_reads_get_the_familys_style_where_they_state_none(text: str) -> None:
    assert styles(with_ram_style(text, "block")) == {
        "at_once": None,
        "registered": "block",
        "styled": "distributed",
        "undefined": "distributed",
    }
    assert with_ram_style(text, None) == text


def test_only_undefined_collisions_are_left_to_yosys(text: str) -> None:
    old = {"at_once": "0", "registered": "0", "styled": "0", "undefined": "0"}
    assert masks(text) == old
    assert masks(with_undefined_collisions(text)) == old | {"undefined": "1"}


def test_synthesis_of_the_verilog_knows_the_same(text: str, tmp_path: Path) -> None:
    """Yosys reads the exported text as `intaglio synth` has it: registered reads, old data but where it is undefined."""
    pytest.importorskip("pyosys")
    (tmp_path / "in.v").write_text(to_modules(text, "top"))
    script = "read_verilog in.v; hierarchy -top top; proc; opt_clean; memory_dff; write_rtlil out.il"
    (tmp_path / "script.ys").write_text(script)
    yosys().run(["script.ys"], tmp_path / "out.il")
    assert masks((tmp_path / "out.il").read_text()) == {"registered": "0", "styled": "0", "undefined": "1"}
