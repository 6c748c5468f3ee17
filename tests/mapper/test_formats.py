"""Element formats beyond INT8, which alone is built: nothing between the tensor and the command takes an element for a byte. Tensors of 16
and of 4 bits go through layouts, packing, transfers, listings and the check of commands."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mapper_graphs import Builder

from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.formats import FORMATS, INT8, ElementFormat, SumFormat, format_named, narrow, wide
from intaglio.machine.isa import Command, Opcode, decode, element_value
from intaglio.mapper import map_network
from intaglio.mapper.emit.emission import Emission
from intaglio.mapper.tasks.task import Operand
from intaglio.program.layout import Layout, Region, align_up, layout_of
from intaglio.program.packing import dtype_of, packed, unpacked
from intaglio.program.program import Place, Program, describe_command
from intaglio.sim.functional import execute_program
from intaglio.verifier.legality import rules
from intaglio.verifier.validate import validate

INT4, INT16, UINT16 = (format_named(name) for name in ("int4", "int16", "uint16"))
CONFIG = load_config("tiny16")


def with_formats(*bits: int) -> Config:
    """A machine as one will be built: its fields are not checked."""
    config = copy.copy(CONFIG)
    object.__setattr__(config, "activation_bits", bits)
    object.__setattr__(config, "weight_bits", bits)
    return config


def random_of(layout: Layout, rng: np.random.Generator) -> np.ndarray:
    form, shape = layout.format, (layout.rows, layout.row_elements)
    return rng.integers(form.low, form.high + 1, shape).astype(dtype_of(layout))


def test_codes() -> None:
    assert [f.code for f in FORMATS] == list(range(len(FORMATS))) and FORMATS[0] is INT8 and len(FORMATS) <= 16
    assert {(f.bits, f.signed) for f in FORMATS} == {(b, s) for b in (2, 3, 4, 5, 6, 8, 16) for s in (True, False)}
    assert (INT4.low, INT4.high, UINT16.high) == (-8, 7, 65535) and all(format_named(f.name) is f for f in FORMATS)
    with pytest.raises(ValueError, match="no element format 'int7'; there are int8, int2"):
        format_named("int7")
    assert SumFormat(24, each=2).bytes == 6


def test_zero_points_and_clamps_of_every_format() -> None:
    """What fits 8 signed bits is the field itself, so that programs of INT8 have 0 in all bits that wider formats need."""
    for value in range(-128, 128):
        assert narrow(value) == (value, 0)
    for value in range(-(1 << 15), 1 << 16):
        low, high = narrow(value)
        assert -128 <= low < 128 and -128 <= high < 128 and (wide(low, high) - value) % (1 << 16) == 0
    for form in FORMATS:
        for value in (form.low, form.high, (form.low + form.high) // 2):
            low, high = narrow(value)
            fields = {"out_format": form.code, "clamp_max": low, "clamp_max_high": high}
            assert element_value(Command(Opcode.POOL, fields), "clamp_max") == value


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_layouts_and_packing(form: ElementFormat) -> None:
    rng = np.random.default_rng(form.code)
    for _ in range(20):
        shape = [int(n) for n in rng.integers(1, 8, 4)]
        bus = int(rng.choice([4, 8, 16]))
        layout = layout_of(shape, bus, form)
        row = shape[2] * (-(-shape[3] * form.bits // 8)) if form.bits % 8 else shape[2] * shape[3] * form.bits // 8
        assert (layout.row_bytes, layout.stride) == (row, align_up(row, bus)) and layout.elements == np.prod(shape)
        if rng.integers(2):
            layout = replace(layout, pixel=shape[3], pitch=form.bytes_of(shape[3]) + int(rng.integers(0, 4)))
        values = random_of(layout, rng)
        stored = packed(values, layout)
        assert stored.shape == (layout.rows, layout.row_bytes) and np.array_equal(unpacked(stored, layout), values)
        # Each pixel by itself, from the bytes where its view finds it.
        view = layout.view(0)
        for x in range(0, layout.row_elements, shape[3]):
            at = int(view.address(0, x))
            number = int.from_bytes(stored[0, at : at + form.bytes_of(shape[3])].tobytes(), "little")
            got = [number >> (i * form.bits) & (1 << form.bits) - 1 for i in range(shape[3])]
            assert got == [int(v) % (1 << form.bits) for v in values[0, x : x + shape[3]]]


@pytest.mark.parametrize("form", [INT4, INT16], ids=lambda form: form.name)
def test_transfers(form: ElementFormat, tmp_path: Path) -> None:
    """A region of a tensor is loaded and stored elsewhere: its bytes, as many as its bits take and no more than the bus rounds up."""
    rng, bus = np.random.default_rng(7), CONFIG.bus_bytes
    for _ in range(20):
        rows, cols, channels = (int(n) for n in rng.integers(2, 9, 3))
        layout = layout_of((1, rows, cols, channels), bus, form)
        row0, col0 = int(rng.integers(rows)), int(rng.integers(cols))
        region = Region(
            row0, int(rng.integers(row0, rows)) + 1, col0 * channels, (int(rng.integers(col0, cols)) + 1) * channels
        )
        words = layout.bytes_of(region).on_bus(bus)
        assert words.width < -(-region.width // channels) * form.bytes_of(channels) + 2 * bus
        assert layout.transfer_bytes(region, bus) == words.rows * words.width

        base = 4096
        source, target = (Operand(name, name, layout) for name in ("x", "y"))
        emission = Emission.__new__(Emission)
        emission.bases, emission.commands = {"x": base, "y": base + align_up(layout.size, 4096)}, []
        emission.move(Opcode.LOAD, 0, source, words, 64, words.width)
        emission.move(Opcode.STORE, 0, target, words, 64, words.width)
        load, store = emission.commands
        load.fields["signal"], store.fields["wait"] = 2, 1  # LOAD to STORE
        assert (
            load["rows"] * load["row_bytes"] == store["rows"] * store["row_bytes"] == layout.transfer_bytes(region, bus)
        )
        graph = Builder(0)
        plain = map_network(graph.graph(graph.conv(graph.input(1, 4, 4, 4), 4, (1, 1))), CONFIG)
        words_of = b"".join(np.array(c.words(), "<u4").tobytes() for c in emission.commands)
        program = replace(
            plain,
            commands=tuple(emission.commands),
            image=words_of,
            memory_bytes=emission.bases["y"] + layout.size,
            places={name: Place.of(layout, emission.bases[name]) for name in ("x", "y")},
            inputs=("x",),
            outputs=("y",),
        )
        having = with_formats(4, 8, 16)
        validate(replace(program, config_hash=having.hardware_hash()), having)
        with pytest.raises(InputError, match=f"tensor 'x' has {form.name} elements, 'tiny16' has int8 built in"):
            validate(program, CONFIG)
        values = random_of(layout, rng)
        got = execute_program(CONFIG, program, {"x": values}).outputs["y"]
        inside = np.s_[region.row0 : region.row1, region.x0 : region.x1]
        assert got.dtype == values.dtype and np.array_equal(got[inside], values[inside])

        # On chip, the buffer's view finds each pixel.
        view = layout.view_of_buffer(64, region, bus)
        for row in range(region.row0, region.row1):
            for x in range(region.x0, region.x1, channels):
                offset = int(layout.view(0).address(row, x)) - (words.row0 * layout.stride + words.byte0)
                assert view.address(row, x) == 64 + (row - row0) * words.width + (offset - (row - row0) * layout.stride)

    listing = program.listing()
    assert re.search(rf"tensor x \(input\): .* {layout.row_elements} {form.name} in pixels of", listing)
    program.save(tmp_path / "p.npz")
    assert Program.load(tmp_path / "p.npz").places == program.places


def test_commands_name_their_formats() -> None:
    """In listings; and the check of commands follows what is built in."""
    low, high = narrow(3000)
    fields = {"in_format": INT16.code, "in_zero_point": low, "in_zero_point_high": high, "weight_format": INT4.code}
    graph = Builder(0)
    program = map_network(graph.graph(graph.conv(graph.input(1, 4, 4, 4), 4, (1, 1))), CONFIG)
    conv = next(c for c in program.commands if c.opcode is Opcode.CONV)
    assert list(rules(CONFIG, conv)) == []
    given = Command(Opcode.CONV, conv.fields | fields)
    told = describe_command(given)
    assert "in_format=int16" in told and "weight_format=int4" in told and "out_format" not in told
    assert list(rules(with_formats(4, 8, 16), given)) == []
    assert list(rules(CONFIG, given)) == [
        f"in_format = {INT16.code} is not built in (0: int8)",
        f"weight_format = {INT4.code} is not built in (0: int8)",
    ]
    for field, name, value in (("out_format", "clamp_min", -9), ("out_format", "out_zero_point", 8)):
        low, high = narrow(value)
        small = {
            "clamp_min": -8,
            "clamp_max": 7,
            "out_zero_point": 0,
            field: INT4.code,
            name: low,
            f"{name}_high": high,
        }
        assert list(rules(with_formats(4, 8), Command(Opcode.CONV, conv.fields | small))) == [
            f"{name} = {value} is beyond int4, -8 to 7"
        ]
    # What is not built, no hardware takes: a file that sets it is refused where it is read.
    with pytest.raises(ValueError, match="CONV sets bits that are reserved"):
        decode(given.words())
