"""The emitted Verilog: the same text every time, one module, the documented ports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_core import FakeCore
from units import small_config

from intaglio.hw.accelerator import Accelerator
from intaglio.hw.core import ComputeCore
from intaglio.hw.verilog import TOP, component_rtlil, emit_rtlil, ports_of, to_verilog

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
    text = to_verilog(first)
    assert text == to_verilog(first)
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
    text = to_verilog(component_rtlil(ComputeCore(config), TOP))
    loops = re.findall(
        r"if \(\| (\S+) \) begin : \S+ \n +integer i;\n +for \(i = 0; i < (\d+); .*\n"
        r" +if \(\1 \[i\]\) (\S+) \[(\S+) \]\[8\*i \+: 8\] <= (\S+) \[8\*i \+: 8\];",
        text,
    )
    assert len({memory for _, _, memory, *_ in loops}) == 2 * config.activation_banks
    assert {int(lanes) for _, lanes, *_ in loops} == {config.half_word_bytes}


def test_yosys_failure_is_told() -> None:
    with pytest.raises(RuntimeError, match="yosys failed"):
        to_verilog("module nonsense")
