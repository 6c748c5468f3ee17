"""The emitted Verilog: the same text every time, the documented modules and ports, plain names."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.hdl import Signal
from fake_core import FakeCore
from units import small_config

from intaglio.hw.accelerator import Accelerator
from intaglio.hw.core import ComputeCore
from intaglio.hw.signal_names import named_by_source
from intaglio.hw.verilog import TOP, component_rtlil, emit_rtlil, emit_verilog, header, ports_of, to_flat, to_modules

ROOT = Path(__file__).parents[2]


def _rtlil_elsewhere(seed: str) -> str:
    code = (
        "from fake_core import FakeCore; from units import small_config; from intaglio.hw.verilog import emit_rtlil; "
        "c = small_config(32); print(emit_rtlil(c, FakeCore(c)), end='')"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "hw")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
        cwd="/",
    )
    return done.stdout


def test_same_text_every_time() -> None:
    config = small_config(32)
    first, second = _rtlil_elsewhere("1"), _rtlil_elsewhere("2")
    assert first == second == emit_rtlil(config, FakeCore(config))
    text = to_flat(first)
    assert text == to_flat(first)
    assert re.findall(r"^module (\w+)", text, re.MULTILINE) == [TOP]
    assert str(ROOT) not in text

    widths = {
        name: int(high or 0) + 1
        for high, name in re.findall(r"^  (?:input|output)(?: wire| reg)? (?:\[(\d+):0\] )?(\w+);", text, re.MULTILINE)
    }
    top = Accelerator(config, FakeCore(config))
    assert component_rtlil(top, TOP) == first
    ports = {name: len(value) for name, (value, _) in ports_of(top).items()}
    assert widths == {**ports, "clk": 1, "rst": 1}
    assert {"m_axi_araddr", "m_axi_wstrb", "m_axi_rlast", "s_axi_awvalid", "irq", "counting", "retire", "tags"} <= set(
        ports
    )


def test_byte_enables_are_a_loop() -> None:
    config = small_config(8)
    text = to_flat(component_rtlil(ComputeCore(config), TOP))
    loops = re.findall(
        r"if \(\| (\S+) \) begin : \S+ \n +integer i;\n +for \(i = 0; i < (\d+); .*\n"
        r" +if \(\1 \[i\]\) (\S+) \[(\S+) \]\[8\*i \+: 8\] <= (\S+) \[8\*i \+: 8\];",
        text,
    )
    assert len({memory for _, _, memory, *_ in loops}) == 2 * config.activation_banks
    assert {int(lanes) for _, lanes, *_ in loops} == {config.half_word_bytes}


def test_yosys_failure_is_told() -> None:
    with pytest.raises(RuntimeError, match="yosys failed"):
        to_flat("module nonsense")


PORT = re.compile(r"^  (input|output) (?:wire|reg) (?:\[(\d+):0\] )?(\w+),?$", re.MULTILINE)
MODULE = re.compile(r"^module (\w+) \(\n(.*?)^\);\n(.*?)^endmodule\n", re.MULTILINE | re.DOTALL)
INSTANCE = re.compile(rf"^  ({TOP}_\w+) (\w+) \(", re.MULTILINE)


@pytest.fixture(scope="module")
def modules() -> str:
    return emit_verilog(small_config(8))


def test_a_module_for_each_block(modules: str) -> None:
    """Modules are named by their blocks' paths, and every one stands where its name says."""
    found = {m[1]: m for m in MODULE.finditer(modules)}
    instances = {name: INSTANCE.findall(m[3]) for name, m in found.items()}
    assert next(iter(found)) == TOP
    assert {
        f"{TOP}_{engine}" for engine in ("fetch", "dispatch", "load", "store", "core", "registers", "ledger")
    } <= set(found)
    assert f"{TOP}_core_array_path_array" in found
    below = {kind: (name, inner) for name, inside in instances.items() for kind, inner in inside}
    assert set(below) == set(found) - {TOP}
    for kind, (name, inner) in below.items():
        assert re.fullmatch(rf"{name}_{inner}", kind) or re.fullmatch(rf"{name}_{inner.rsplit('_', 1)[0]}", kind)


def test_an_instance_is_called_as_its_block_is_in_the_path(modules: str) -> None:
    """As `watchdog`, beside a port of that name."""
    seen = 0
    for m in re.finditer(r"^module (\w+) .*?^endmodule", modules, re.MULTILINE | re.DOTALL):
        for kind, instance in re.findall(rf"^  ({TOP}_\w+) (\w+) \($", m[0], re.MULTILINE):
            assert kind == f"{m[1]}_{instance}"
            seen += 1
    assert seen > 30


def test_a_block_without_use_is_left_out() -> None:
    """An array of one row has no delays between rows: nothing reads their schedule."""
    text = emit_verilog(dataclasses.replace(small_config(8), rows=1, cols=2, requantizers=1, feed_bytes=0))
    found = {m[1]: m for m in MODULE.finditer(text)}
    assert {kind for m in found.values() for kind, _ in INSTANCE.findall(m[3])} == set(found) - {TOP}


def test_names_are_plain(modules: str) -> None:
    code = re.sub(r"\$signed\b", "", modules)
    assert "$" not in code and "\\" not in code and modules.isascii()
    for m in MODULE.finditer(modules):
        declared = [name for *_, name in PORT.findall(m[2])]
        declared += re.findall(r"^  (?:wire|reg) (?:\[\d+:\d+\] )?(\w+)(?: \[\d+:\d+\])?;$", m[3], re.MULTILINE)
        assert len(set(declared)) == len(declared), m[1]
        assert not [name for name in declared if re.fullmatch(r"(like|port|unnamed)(_\d+)?", name)], m[1]
    assert "\\$signal" not in emit_rtlil(small_config(8))


def test_ports_stand_in_the_header(modules: str) -> None:
    found = MODULE.search(modules)
    assert found
    ports = {name: (direction, int(most or 0) + 1) for direction, most, name in PORT.findall(found[2])}
    top = Accelerator(small_config(8))
    expected = {name: (way.name.lower(), len(value)) for name, (value, way) in ports_of(top).items()}
    assert ports == {**expected, "clk": ("input", 1), "rst": ("input", 1)}
    assert not re.search(r"^  (input|output) .*;$", modules, re.MULTILINE)


def test_header_tells_the_configuration() -> None:
    config = dataclasses.replace(
        small_config(8), name="a\nmodule b; \\" + "a long name " * 20 + "verilator lint_off WIDTH"
    )
    text = header(config)
    assert f"{config.hardware_hash():016x}" in text and "// rows: " in text
    assert all(not line or line.startswith("//") for line in text.splitlines())
    assert not re.search(r"^// *(verilator|synopsys|module)", text, re.MULTILINE)


def test_modules_are_the_same_every_time() -> None:
    text = _rtlil_elsewhere("1")
    assert to_modules(text, TOP) == to_modules(text, TOP)


def test_names_come_from_assignments() -> None:
    """Tuples, comprehensions, attributes and what Amaranth finds by itself."""

    class Holder:
        pass

    holder = Holder()
    with named_by_source():
        one, two = Signal(), Signal(3)
        many = [Signal() for _ in range(2)]
        holder.field = Signal()  # type: ignore[attr-defined]
        by_key = {key: Signal() for key in "ab"}
        (first, (second, third)), fourth = (Signal(), (Signal(), Signal())), Signal.like(two)
        fifth, sixth = (Signal(width) for width in (2, 3))
        plain = Signal()
        given = Signal(name="other")
    assert [s.name for s in (one, two, *many, holder.field, *by_key.values(), first, second, third, fourth, fifth, sixth, plain, given)] == [  # type: ignore[attr-defined]
        "one", "two", "many", "many", "field", "by_key", "by_key", "first", "second", "third", "fourth", "fifth", "sixth", "plain", "other",
    ]  # fmt: skip
