"""ZigZag's mappings as plans of ours, without ZigZag: hand-written ones, and what becomes of those that we cannot execute."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.zigzag import environment, inputs
from benchmarks.zigzag.layers import LAYERS, Shape, graph_of
from benchmarks.zigzag.plans import Priced, price
from benchmarks.zigzag.temporal import Loop, TemporalMapping
from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.mapper import map_proven, program_of
from intaglio.mapper.emit.emit import emit
from intaglio.mapper.lower.accept import accepted
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.network.execute import execute, random_inputs
from intaglio.sim.engines import clock_of, cycles_of
from intaglio.sim.functional import execute_program
from intaglio.sim.tensors import rows_at

CONV = Shape("conv", 12, 20, 8, 48, 3)
SPATIAL = {"OX": 4, "OY": 4, "K": 16}


def mapping_of(
    shape: Shape, w: tuple[list[Loop], list[Loop]], i: tuple[list[Loop], list[Loop]], spatial=None
) -> TemporalMapping:
    """w, i: loops in the buffer and outside it."""
    loops: dict[str, list[list[Loop]]] = {"W": [[], *w], "I": [[], *i], "O": [[], [], []]}
    return TemporalMapping(loops, SPATIAL if spatial is None else spatial, shape.loops())


def priced(shape: Shape, config: Config, mapping: TemporalMapping) -> tuple[Priced, LayerPlan]:
    """The price and the plan, after what it computes was held against the reference, and its cycles against the program's."""
    graph = graph_of(shape)
    result = price(graph, config, mapping, cycles_of)
    assert result.schedule is not None and result.cycles is not None
    program = program_of(graph, config, emit(accepted(graph, config), config, result.schedule))
    wanted = execute(graph, random_inputs(graph, 1))
    memory = execute_program(config, program, {"input": wanted["input"]}).memory
    assert np.array_equal(rows_at(memory, program.places["output"]).ravel(), wanted["output"].ravel())
    assert clock_of(config, program.commands).cycles == result.cycles
    (layer,) = result.schedule.layers
    assert isinstance(layer.plan, LayerPlan)
    return result, layer.plan


def ours(shape: Shape, config: Config) -> int:
    _, (certificate,) = map_proven(graph_of(shape), config, cycles_of)
    assert certificate.bound <= certificate.cycles
    return certificate.cycles


REDUCTION: list[Loop] = [("C", 8), ("FX", 3), ("FY", 3)]


def test_tiles_and_their_order_become_pieces() -> None:
    """Two rectangles beside one another, three below: down the columns first, the last ones cut at the layer's edge."""
    shape = Shape("conv", 10, 20, 8, 48, 3)
    inside = [*REDUCTION, ("OX", 3), ("K", 3)]
    mapping = mapping_of(shape, (inside, []), (inside, [("OY", 3), ("OX", 2)]))
    result, plan = priced(shape, load_config("edge256"), mapping)
    assert result.cycles is not None and ours(shape, load_config("edge256")) <= result.cycles
    found = [(p.row0, p.row1, p.x0 // 48, p.x1 // 48) for p in plan.pieces]
    assert found == [(0, 4, 0, 12), (4, 8, 0, 12), (8, 10, 0, 12), (0, 4, 12, 20), (4, 8, 12, 20), (8, 10, 12, 20)]
    assert plan.groups is not None and plan.groups.kept and plan.groups.tiles == 3 and not plan.groups.in_parts
    assert result.notes == ()


def test_weights_in_blocks() -> None:
    """With channels inside the pixels all weights stay where they fit, else each piece loads them again, block by block."""
    inner: list[Loop] = [*REDUCTION, ("OX", 5)]
    mapping = mapping_of(CONV, (inner, [("K", 3)]), ([*inner, ("OY", 3)], []))
    _, plan = priced(CONV, load_config("edge256"), mapping)
    assert plan.groups is not None and (plan.groups.tiles, plan.groups.kept, len(plan.pieces)) == (1, True, 1)
    mapping = mapping_of(CONV, (inner, [("K", 3), ("OY", 3)]), (inner, [("OY", 3)]))
    result, plan = priced(CONV, load_config("edge256"), mapping)
    assert plan.groups is not None and (plan.groups.tiles, plan.groups.kept, len(plan.pieces)) == (1, False, 3)
    assert result.notes == ()


def test_what_we_cannot_execute_is_named() -> None:
    config = load_config("edge256", ["weight_bytes=3072"])
    inner: list[Loop] = [*REDUCTION, ("OX", 5)]
    mapping = mapping_of(CONV, ([*inner, ("OY", 3)], [("K", 3)]), (inner, [("OY", 3), ("K", 3)]))
    result, plan = priced(CONV, config, mapping)
    assert plan.groups is not None and (plan.groups.tiles, plan.groups.kept, len(plan.pieces)) == (1, False, 3)
    assert [note.split(",")[0] for note in result.notes] == ["output channels outermost"]

    split = [("FX", 3), ("FY", 3), ("OX", 5), ("OY", 3)]
    mapping = mapping_of(CONV, (split, [("C", 8), ("K", 3)]), ([*split, ("K", 3), ("C", 8)], []))
    result, plan = priced(CONV, load_config("edge256"), mapping)
    assert plan.groups is not None and "a reduction split over several channel tiles" in result.notes[0]

    result, plan = priced(CONV, load_config("edge256", ["weight_bytes=512"]), mapping)
    assert plan.groups is not None and plan.groups.in_parts
    assert sum(part.steps for part in plan.groups.parts) == 72 and max(part.steps for part in plan.groups.parts) <= 9
    assert "do not fit; parts" in result.notes[0]


def test_a_whole_reduction_where_parts_are_slower() -> None:
    """ZigZag's own mapping of the classifier: 8 steps of 48 channels, in thousands of commands."""
    shape = LAYERS[4]
    inside: list[Loop] = [("C", 8), ("K", 3)]
    mapping = mapping_of(shape, (inside, [("K", 21), ("C", 64)]), ([*inside, ("K", 21), ("C", 64)], []), {"K": 16})
    result, plan = priced(shape, load_config("edge256"), mapping)
    assert plan.groups is not None and plan.groups.tiles == 3 and not plan.groups.in_parts
    assert "a reduction split over several channel tiles" in result.notes[-1]


def test_pieces_that_do_not_fit_are_cut_down() -> None:
    inside = [*REDUCTION, ("OX", 5), ("OY", 3), ("K", 3)]
    config = load_config("edge256", ["activation_bytes=8192"])
    result, plan = priced(CONV, config, mapping_of(CONV, (inside, []), (inside, [])))
    assert max(p.rows for p in plan.pieces) < 12 and sum(p.rows for p in plan.pieces) == 12
    assert result.notes[0].startswith("pieces of 12 x 20 pixels do not fit; ")

    wide = Shape("wide", 3, 40, 8, 48, 3)
    config = load_config("edge256", ["activation_bytes=2048"])
    inside = [*REDUCTION, ("OX", 10), ("K", 3)]
    _, plan = priced(wide, config, mapping_of(wide, (inside, []), (inside, [])))
    assert all(p.rows == 1 and p.width < 40 * 48 for p in plan.pieces)
    assert sum(p.width for p in plan.pieces) == 3 * 40 * 48

    deep = Shape("deep", 3, 40, 32, 48, 3)
    config = load_config("edge256", ["activation_bytes=256", "activation_banks=1"])
    result = price(graph_of(deep), config, mapping_of(deep, (inside, []), (inside, [])), cycles_of)
    assert result.cycles is None and result.notes[-1] == "nothing near it fits"


def bands(shape: Shape, spatial: dict[str, int] | None = None) -> TemporalMapping:
    """Bands of one array tile's height, with all channels. spatial: the table's unless given."""
    spatial = spatial or {dimension: n for of in inputs.spatial(shape).values() for dimension, n in of.items()}
    turns = {d: -(-n // spatial.get(d, 1)) for d, n in shape.loops().items()}
    inner = [(d, turns[d]) for d in ("C", "FX", "FY", "OX", "G", "K")]
    return mapping_of(shape, ([*inner, ("OY", turns["OY"])], []), (inner, [("OY", turns["OY"])]), spatial)


KINDS = [
    Shape("depthwise", 13, 9, 32, 32, 3, groups=32),
    Shape("dense", 24, 1, 40, 56, dense=True),
    Shape("one", 1, 1, 64, 40, dense=True),
    Shape("strided", 15, 15, 12, 24, 5, 2),
]


@pytest.mark.parametrize("shape", KINDS)
def test_every_kind_of_layer(shape: Shape) -> None:
    mapping = bands(shape)
    result, plan = priced(shape, load_config("edge256"), mapping)
    assert len(plan.pieces) == max(mapping.turns("I", ["OY"]), 1) and result.notes == ()


@pytest.mark.parametrize("shape", LAYERS[1:3])
def test_bands_of_the_tables_layers_are_no_better_than_the_proven_plan(shape: Shape) -> None:
    config = load_config("edge256")
    cycles = price(graph_of(shape), config, bands(shape), cycles_of).cycles
    assert cycles is not None and ours(shape, config) <= cycles


def test_no_better_than_the_proven_plan_of_an_input_that_fits() -> None:
    shape, config = KINDS[0], load_config("edge256")
    cycles = price(graph_of(shape), config, bands(shape, {"OX": 3, "OY": 5, "G": 16}), cycles_of).cycles
    assert cycles is not None and ours(shape, config) <= cycles


def test_no_better_than_the_proven_plan_where_rectangles_load_less() -> None:
    """ZigZag's own mapping of this layer: 16 x 16 pixels."""
    shape, config = LAYERS[5], load_config("edge256")
    inside = [("FX", 3), ("G", 2), ("FY", 3), ("OY", 16)]
    mapping = mapping_of(
        shape, ([*inside, ("OY", 7), ("OX", 7)], []), (inside, [("OY", 7), ("OX", 7)]), {"OX": 16, "G": 16}
    )
    cycles = price(graph_of(shape), config, mapping, cycles_of).cycles
    assert cycles is not None and ours(shape, config) <= cycles


def test_layers_are_those_of_the_table() -> None:
    macs = [118_013_952, 115_605_504, 6_422_528, 115_605_504, 512_000, 3_612_672, 134_217_728]
    assert [shape.macs for shape in LAYERS] == macs
    for shape in LAYERS:
        task = accepted(graph_of(shape), load_config("edge256")).layers[0]
        assert task.macs == shape.macs


def test_pixels_on_rows_in_the_fewest_tiles() -> None:
    found = [inputs.spatial(shape)["D1"] for shape in LAYERS]
    assert found == [
        {"OX": 16},
        {"OX": 8, "OY": 2},
        {"OX": 4, "OY": 4},
        {"OX": 7, "OY": 2},
        {"OX": 1},
        {"OX": 16},
        {"OY": 16},
    ]


def test_without_a_package_index_one_message_and_nothing_left(tmp_path, monkeypatch) -> None:
    for name, value in (("INTAGLIO_CACHE", str(tmp_path)), ("PIP_NO_INDEX", "1"), ("PIP_CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(InputError, match=r"cannot install ZigZag's packages: .*; see that pip reaches PyPI"):
        environment.interpreter()
    assert not [path for path in tmp_path.rglob("*") if path.is_dir() and path.name != "rtl"]
