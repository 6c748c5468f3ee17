"""What is drawn: always legal and repeatable, over the whole range."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config, shipped_names
from tests.fuzz.case import Case, draw_case
from tests.fuzz.graphs import graph_of, scalings_of
from tests.fuzz.machines import draw_machine, draw_small_machine, least_sizes, machine_of
from tests.fuzz.recipe import Recipe, described, macs_of, pruned, shapes_of, total_macs

PAIRS = 1500
KINDS = {
    "conv",
    "dense",
    "add",
    "average",
    "maximum",
    "mean",
    "reshape",
    "relu",
    "rescale",
    "quantize",
    "dequantize",
    "softmax",
    "concat",
    "slice",
    "pad",
    "shuffle",
    "twice",
    "table",
}


@cache
def pairs() -> list[Case]:
    return [draw_case(str(seed)) for seed in range(PAIRS)]


def test_a_name_gives_one_pair() -> None:
    for name in ("5", "77", "3:4"):
        assert draw_case(name).to_json() == draw_case(name).to_json()
    assert draw_case("3:4").machine == draw_case("3:5").machine
    assert draw_case("3:4").recipe != draw_case("3:5").recipe


def test_a_file_gives_the_pair_again() -> None:
    for case in pairs()[:100]:
        again = Case.from_json(json.loads(json.dumps(case.to_json())))
        assert described(again.recipe) == described(case.recipe)
        assert again.config == case.config and again.to_json() == case.to_json()


def test_networks_stay_within_their_limits() -> None:
    for case in pairs():
        shapes = shapes_of(case.recipe)
        assert total_macs(case.recipe) <= 50_000_000
        assert 1 <= sum(x.kind not in ("quantize", "softmax", "dequantize") for x in case.recipe.layers) <= 60
        for shape in case.recipe.inputs.values():
            assert max(shape[1:-1], default=1) <= 1920 and shape[-1] <= 2048
        assert set(case.recipe.outputs) <= shapes.keys()


def test_networks_are_of_every_kind() -> None:
    recipes = [case.recipe for case in pairs()]
    assert {layer.kind for r in recipes for layer in r.layers} == KINDS
    assert {r.style for r in recipes} == {"tflite", "uint8", "onnx"}
    assert {case.form for case in pairs()} == {"graph", "tflite", "onnx"}
    assert max(total_macs(r) for r in recipes) > 20_000_000 and max(len(r.layers) for r in recipes) >= 50
    sides = {side for r in recipes for shape in r.inputs.values() for side in shape[1:3] if len(shape) == 4}
    assert min(sides) == 1 and max(sides) > 1000
    channels = [layer["outputs"] for r in recipes for layer in r.layers if "outputs" in layer.options]
    assert min(channels) == 1 and max(channels) == 2048
    assert any(shape[0] > 1 for r in recipes for shape in r.inputs.values())
    shortcuts = [
        x for r in recipes for x in r.layers if x.kind == "conv" and x["kernel"] == (1, 1) and x["stride"] == (2, 2)
    ]
    assert len(shortcuts) > 50
    assert any(len(r.inputs) > 1 for r in recipes) and any(len(r.outputs) > 1 for r in recipes)
    readers = [Counter(name for x in r.layers for name in set(x.inputs)) for r in recipes]
    assert {2, 3, 4} <= {count for one in readers for count in one.values()}
    assert any(name in one for r, one in zip(recipes, readers, strict=True) for name in r.outputs)


def test_machines_reach_the_ends_of_every_field() -> None:
    drawn = [draw_machine(np.random.default_rng(seed)) for seed in range(4000)]
    for name, low, high in (
        ("rows", 1, 64),
        ("cols", 1, 128),
        ("requantizers", 1, 128),
        ("activation_banks", 1, 8),
        ("bus_bytes", 4, 64),
        ("feed_bytes", 4, 256),
        ("weight_lanes", 1, 2),
        ("depthwise_delay", 0, 256),
    ):
        values = {fields[name] for fields in drawn}
        assert (min(values), max(values)) == (low, high), name
    for name in ("activation_bytes", "weight_bytes", "channel_bytes", "partial_bytes"):
        assert sum(fields[name] == least_sizes(fields)[name][0] for fields in drawn) > 100, name
        assert max(fields[name] for fields in drawn) > 1 << 22, name
    memories = [fields["memory"] for fields in drawn]
    assert {m["outstanding"] for m in memories} == set(range(1, 17))
    assert min(m["latency"] for m in memories) == 1 and max(m["latency"] for m in memories) > 9000
    assert {1, 64} <= {m["bytes_per_cycle"] for m in memories}
    for name in ("weight_zero_points", "counters", "add_multipliers"):
        assert {False, True} == {fields[name] for fields in drawn}, name
    assert {"dsp", "lut", "packed", 1, 2, 63} <= {fields["multipliers"] for fields in drawn}
    assert {len(fields["rounding"]) for fields in drawn} == {1, 2, 3, 4}


def test_least_sizes_are_the_configuration_s_own() -> None:
    """Smaller by one unit is refused, and the unit is the least step."""
    for seed in range(200):
        fields = draw_machine(np.random.default_rng(seed))
        for name, (low, unit) in least_sizes(fields).items():
            for size, legal in ((low, True), (low - unit, False), (low + 1, False)):
                if size:  # 0 asks for the default
                    assert _legal({**fields, name: size}) == legal, (seed, name, size)


def _legal(fields: dict) -> bool:
    try:
        return bool(machine_of(fields))
    except Exception as error:
        assert "must be" in str(error)
        return False


def test_shipped_machines_are_among_them() -> None:
    drawn = [machine_of(draw_machine(np.random.default_rng(seed))) for seed in range(600)]
    assert {load_config(name) for name in shipped_names()} & set(drawn)


def test_small_machines_are_small() -> None:
    for seed in range(50):
        config: Config = machine_of(draw_small_machine(np.random.default_rng(seed)))
        assert config.macs_per_cycle <= 512


def test_weights_stay_when_other_layers_go() -> None:
    recipe = next(c.recipe for c in pairs() if len(c.recipe.layers) > 5 and c.recipe.style == "tflite")
    whole = graph_of(recipe)
    first = recipe.layers[2]
    part = graph_of(pruned(recipe, [first.name]))
    ours = {op.name: op for op in part.operators}
    assert repr(ours[first.name]) == repr(next(op for op in whole.operators if op.name == first.name))
    assert scalings_of(recipe)[first.name] == scalings_of(pruned(recipe, [first.name]))[first.name]


def test_macs_are_the_graph_s() -> None:
    recipe: Recipe = next(
        c.recipe for c in pairs() if any(x.kind == "conv" and x["groups"] > 1 for x in c.recipe.layers)
    )
    shapes = shapes_of(recipe)
    for layer, op in zip(recipe.layers, graph_of(recipe).operators, strict=True):
        if layer.kind == "conv":
            count = int(np.prod(shapes[layer.name])) * op.weights[0].size  # type: ignore[attr-defined]
            assert macs_of(layer, [shapes[layer.inputs[0]]], shapes[layer.name]) == count
