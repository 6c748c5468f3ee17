"""Memories and products: what they give, what they state in RTLIL, and that all of the accelerator's are made so."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

import pytest
from amaranth.hdl import Module, Shape, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from units import simulate

from intaglio.hw.product import product
from intaglio.hw.ram import Collision, ram
from intaglio.hw.verilog import TOP, component_rtlil, emit_rtlil, to_flat
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from tests.hw.products import Product

DEPTH = 8


class Rows(wiring.Component):
    """A memory alone, of 16 bits in two parts."""

    def __init__(self, read_latency: int, collision: Collision, attributes: dict[str, int | str] | None = None):
        self._made = read_latency, collision, attributes
        super().__init__({"read": In(1), "at": In(3), "data": Out(16), "write": In(2), "to": In(3), "given": In(16)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        read_latency, collision, attributes = self._made
        mem = ram(
            m,
            "rows",
            shape=unsigned(16),
            depth=DEPTH,
            read_latency=read_latency,
            collision=collision,
            granularity=8,
            attributes=attributes,
        )
        if read_latency:
            m.d.comb += mem.read_en.eq(self.read)
        m.d.comb += [
            mem.read_address.eq(self.at),
            self.data.eq(mem.read_data),
            mem.write_en.eq(self.write),
            mem.write_address.eq(self.to),
            mem.write_data.eq(self.given),
        ]
        return m


class Times(wiring.Component):
    def __init__(self, stages: int, enabled: bool, attributes: dict[str, int | str] | None = None):
        self._made = stages, enabled, attributes
        super().__init__({"a": In(signed(5)), "b": In(unsigned(3)), "enable": In(1), "out": Out(signed(8))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stages, enabled, attributes = self._made
        enable = self.enable if enabled else None
        whole = product(m, self.a, self.b, "whole", stages=stages, enable=enable, attributes=attributes)
        m.d.comb += self.out.eq(whole)
        return m


@pytest.mark.parametrize("collision", Collision)
@pytest.mark.parametrize("read_latency", [0, 1, 2, 3])
def test_reads_come_as_late_as_stated(read_latency: int, collision: Collision) -> None:
    """Random reads and writes of parts; with OLD also of one row in one cycle."""
    if read_latency == 0 and collision is Collision.UNDEFINED:
        with pytest.raises(ValueError, match="rows: an asynchronous read"):
            component_rtlil(Rows(0, collision), TOP)
        return
    dut, rng, collided = Rows(read_latency, collision), random.Random(read_latency), 0

    async def bench(ctx):
        nonlocal collided
        rows, shown = [0] * DEPTH, [0] * read_latency
        for _ in range(400):
            read, at, write, to, given = (rng.getrandbits(n) for n in (1, 3, 2, 3, 16))
            if collision is Collision.UNDEFINED and read and at == to:
                write = 0
            collided += bool(read and write and at == to)
            for port, value in zip(
                (dut.read, dut.at, dut.write, dut.to, dut.given), (read, at, write, to, given), strict=True
            ):
                ctx.set(port, value)
            assert ctx.get(dut.data) == (shown[-1] if read_latency else rows[at])
            if read_latency:
                shown = [rows[at] if read else shown[0], *shown[:-1]]
            mask = 0xFF * (write & 1) | 0xFF00 * (write >> 1)
            rows[to] = rows[to] & ~mask | given & mask
            await ctx.tick()

    simulate(dut, bench)
    assert bool(collided) == (collision is Collision.OLD)


def test_an_undefined_collision_is_asserted_not_to_happen() -> None:
    dut = Rows(1, Collision.UNDEFINED)

    async def bench(ctx):
        ctx.set(dut.read, 1)
        ctx.set(dut.at, 3)
        for to in (2, 3):
            ctx.set(dut.write, 1)
            ctx.set(dut.to, to)
            await ctx.tick()

    with pytest.raises(AssertionError, match="rows: a row is read and written in the same cycle"):
        simulate(dut, bench)
    assert "$check" not in component_rtlil(dut, TOP)


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("stages", [1, 2, 4])
def test_products_come_as_late_as_stated(stages: int, enabled: bool) -> None:
    dut, rng = Times(stages, enabled), random.Random(stages)

    async def bench(ctx):
        shown = [0] * stages
        for _ in range(100):
            a, b, enable = rng.randrange(-16, 16), rng.randrange(8), rng.getrandbits(1)
            for port, value in ((dut.a, a), (dut.b, b), (dut.enable, enable)):
                ctx.set(port, value)
            assert ctx.get(dut.out) == shown[-1]
            shown = [a * b if enable or not enabled else shown[0], *shown[:-1]]
            await ctx.tick()

    simulate(dut, bench)
    with pytest.raises(ValueError, match="whole: a product has a register of its own"):
        component_rtlil(Times(0, False), TOP)


WIDE = [
    (signed(33), unsigned(31), 4),
    (signed(48), signed(16), 3),
    (unsigned(16), signed(48), 3),
    (unsigned(50), unsigned(35), 9),
    (signed(18), unsigned(17), 1),
    (signed(19), unsigned(18), 4),
    (unsigned(1), unsigned(18), 2),
    (signed(1), signed(36), 3),
]


@pytest.mark.parametrize("stages", [2, 3])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize(("a", "b", "parts"), WIDE, ids=str)
def test_wide_operands_are_multiplied_in_parts_that_a_multiplier_takes(
    a: Shape, b: Shape, parts: int, adds: bool, stages: int
) -> None:
    dut, rng = Product(a, b, stages, adds), random.Random(parts)

    def operand(shape: Shape) -> int:
        """At an end of its range now and then."""
        low = -(1 << shape.width - 1) if shape.signed else 0
        high = low + (1 << shape.width) - 1
        return rng.choice([low, high, rng.randint(low, high), rng.randint(low, high)])

    async def bench(ctx):
        shown = [0] * stages
        for _ in range(200):
            x, y, plus, enable = operand(a), operand(b), rng.getrandbits(5), rng.getrandbits(1)
            for port, value in ((dut.a, x), (dut.b, y), (dut.plus, plus), (dut.enable, enable)):
                ctx.set(port, value)
            assert ctx.get(dut.out) == shown[-1]
            shown = [x * y + plus if adds else x * y if enable else shown[0], *shown[:-1]]
            await ctx.tick()

    simulate(dut, bench)
    stated = re.findall(r'product "(un)?signed (\d+) \* (un)?signed (\d+)"', component_rtlil(dut, TOP))
    assert len(stated) == parts
    for of_a, width_a, of_b, width_b in stated:
        assert int(width_a) <= (17 if of_a else 18) and int(width_b) <= (17 if of_b else 18)


@pytest.mark.parametrize("given", [(signed(19), signed(4), 1, False), (signed(4), signed(4), 1, True)])
def test_a_sum_of_parts_has_a_stage_of_its_own(given: tuple[Shape, Shape, int, bool]) -> None:
    with pytest.raises(ValueError, match="whole: the sum of a product's parts has a register of its own"):
        component_rtlil(Product(*given), TOP)


def test_attributes_reach_the_verilog() -> None:
    mem = to_flat(component_rtlil(Rows(1, Collision.UNDEFINED, {"ram_style": "block", "no_rw_check": 1}), TOP))
    assert re.search(r'\(\* no_rw_check = .*1 \*\)\n  \(\* ram_style = "block" \*\)\n  reg \[15:0\] \S+ \[7:0\];', mem)
    times = to_flat(component_rtlil(Times(2, True, {"use_dsp": "yes", "mult_style": "block"}), TOP))
    assert re.search(r'\(\* mult_style = "block" \*\)\n  \(\* use_dsp = "yes" \*\)\n  reg \[7:0\] whole ?;', times)
    for text in (mem, times):
        assert text.count("(*") == 2 and "intaglio." not in text


CONFIGS = {
    "tiny16": load_config("tiny16"),
    # Two lanes in an array of another shape, and small memories.
    "lanes": Config(rows=2, cols=4, requantizers=2, weight_bytes=1024, activation_bytes=2048, channel_bytes=1024),
}


@cache
def modules(name: str) -> dict[str, str]:
    """The RTLIL of an accelerator's modules by their names below the top."""
    text = emit_rtlil(CONFIGS[name])
    return {part.split()[0].removeprefix(f"\\{TOP}").lstrip("."): part for part in text.split("\nmodule ")[1:]}


def multipliers(config: Config) -> int:
    """A lane's: 4 parts of a requantizer's product, 2 of each of ADD's operands'."""
    return config.rows * config.cols + (4 + 2 + 2) * config.requantizers


@pytest.mark.parametrize("name", CONFIGS)
def test_all_multipliers_are_products(name: str) -> None:
    """Cells in RTLIL beside what the products state: as many in each module, of the stated widths."""
    config, stated, cells = CONFIGS[name], [], []
    for module, text in modules(name).items():
        for a, b in re.findall(r'attribute \\intaglio\.product "(?:un)?signed (\d+) \* (?:un)?signed (\d+)"', text):
            stated.append((module, int(a), int(b)))
        for body in re.findall(r"^  cell \$mul \S+\n((?:    .*\n)*)", text, re.MULTILINE):
            if re.search(r"connect \\[AB] \d+'", body):
                continue  # by a constant: the place of a flag or of a part, which is no multiplier
            widths = dict(re.findall(r"parameter \\([AB]_WIDTH) (\d+)", body))
            cells.append((module, int(widths["A_WIDTH"]), int(widths["B_WIDTH"])))
        assert not re.search(r"cell \$(?:div|mod|pow|macc|alu)\w* ", text)
    assert len(cells) == multipliers(config)
    for (module, *operands), (made, *widths) in zip(sorted(stated), sorted(cells), strict=True):
        assert module == made
        assert all(0 <= width - operand <= 1 for operand, width in zip(operands, widths, strict=True))


def test_nothing_else_multiplies_in_the_verilog() -> None:
    config = CONFIGS["lanes"]
    verilog = to_flat(emit_rtlil(config))
    assert set(re.findall(r"\(\*.*", verilog)) == {'(* ram_style = "block" *)'}
    operators = [line for line in re.findall(r"^ .* = .* \* .*$", verilog, re.MULTILINE) if "for (" not in line]
    assert len(operators) == multipliers(config)


@pytest.mark.parametrize("name", CONFIGS)
def test_all_memories_state_what_they_are(name: str) -> None:
    """But those inside of Amaranth's FIFOs."""
    unstated, count = set(), 0
    for module, text in modules(name).items():
        for attributes in re.findall(r"((?:^  attribute .*\n)*)^  memory width ", text, re.MULTILINE):
            count += 1
            if (
                not re.search(r'\\intaglio\.collision "(old|undefined)"', attributes)
                or "\\intaglio.read_latency " not in attributes
            ):
                unstated.add(module)
    assert count > 2 * CONFIGS[name].cols + 2 * CONFIGS[name].activation_banks
    assert {module.removesuffix(".unbuffered") for module in unstated} == {
        "arbiter.reads",
        "arbiter.writes",
        "fetch.fifo",
        "load.in_flight",
        "store.buffer",
        "store.in_flight",
        "store.to_read",
    }
    sources = Path(__file__).parents[2] / "intaglio" / "hw"
    makers = [p.name for p in sources.glob("*.py") if re.search(r"lib(\.| import .*\b)memory", p.read_text())]
    assert makers == ["ram.py"]
