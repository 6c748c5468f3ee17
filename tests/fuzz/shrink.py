"""A pair that fails made smaller, as long as it fails alike: layers dropped, sizes halved, options and fields plain."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from intaglio.errors import InputError
from intaglio.machine.config_files import load_config
from tests.fuzz.case import Case
from tests.fuzz.machines import Fields, legalized, machine_of
from tests.fuzz.recipe import BadRecipe, Layer, Recipe, pruned, shapes_of

PLAIN = {
    "kernel": (1, 1),
    "stride": (1, 1),
    "dilation": (1, 1),
    "padding": "SAME",
    "groups": 1,
    "pixels": False,
    "to": "flat",
}
"""The simplest value of an option."""


def shrunk(case: Case, still_fails: Callable[[Case], bool], seconds: float) -> Case:
    """The smallest that single steps reach within `seconds`."""
    end = time.monotonic() + seconds
    tried: set[str] = set()
    going = True
    while going:
        going = False
        for smaller in _smaller(case):
            key = repr(smaller)
            if key in tried:
                continue
            tried.add(key)
            if time.monotonic() > end:
                return case
            if _stands(smaller) and still_fails(smaller):
                case, going = smaller, True
                break
    return case


def _stands(case: Case) -> bool:
    try:
        shapes_of(case.recipe)
        machine_of(case.machine)
    except (BadRecipe, InputError, ValueError, KeyError, ZeroDivisionError):
        return False
    return bool(case.recipe.layers)


def _smaller(case: Case) -> Iterator[Case]:
    """Large steps first."""
    for recipe in _recipes(case.recipe):
        yield replace(case, recipe=recipe)
    if case.form != "graph":
        yield replace(case, form="graph")
    if case.way != "cycles":
        yield replace(case, way="cycles")
    if case.keep_all:
        yield replace(case, keep_all=False)
    for machine in _machines(case.machine):
        yield replace(case, machine=machine)


def _recipes(recipe: Recipe) -> Iterator[Recipe]:
    names = [layer.name for layer in recipe.layers]
    for name in names[:-1]:  # the layers before one
        yield pruned(recipe, [name])
    if len(recipe.outputs) > 1:
        for name in recipe.outputs:
            yield pruned(recipe, [n for n in recipe.outputs if n != name])
    try:
        shapes = shapes_of(recipe)
    except BadRecipe:
        return
    for layer in reversed(recipe.layers):  # the layers behind one: its output as an input of the network
        inputs = {**recipe.inputs, layer.name: shapes[layer.name]}
        outputs = tuple(n for n in recipe.outputs if n != layer.name)
        if outputs:
            rest = tuple(x for x in recipe.layers if x.name != layer.name)
            yield pruned(replace(recipe, inputs=inputs, layers=rest), outputs)
    for layer in recipe.layers:  # one layer left out
        for source in layer.inputs:
            yield _without(recipe, layer, source)
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, shape in recipe.inputs.items():
        alike.setdefault(shape, []).append(name)
    for shape, names in alike.items():
        for some in dict.fromkeys(((*names,), *((name,) for name in names))):  # an Add's operands must stay alike
            for axis, size in enumerate(shape):
                for less in dict.fromkeys((1, size // 2, size - 1)):
                    if 0 < less < size:
                        smaller = dict.fromkeys(some, (*shape[:axis], less, *shape[axis + 1 :]))
                        yield replace(recipe, inputs={**recipe.inputs, **smaller})
    for index, layer in enumerate(recipe.layers):
        for options in _options(layer):
            changed = replace(layer, options=options)
            yield replace(recipe, layers=(*recipe.layers[:index], changed, *recipe.layers[index + 1 :]))
    if recipe.style != "tflite":
        yield replace(recipe, style="tflite")


def _without(recipe: Recipe, layer: Layer, source: str) -> Recipe:
    """Every reader of a layer reads one of its inputs."""

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(source if n == layer.name else n for n in names)

    layers = tuple(replace(x, inputs=renamed(x.inputs)) for x in recipe.layers if x.name != layer.name)
    made = {x.name for x in layers}
    outputs = tuple(dict.fromkeys(n for n in renamed(recipe.outputs) if n in made))
    return pruned(replace(recipe, layers=layers, outputs=outputs), outputs)


def _options(layer: Layer) -> Iterator[dict[str, Any]]:
    options = dict(layer.options)
    for name, plain in PLAIN.items():
        if name in options and options[name] != plain:
            yield {**options, name: plain}
    if layer.kind == "conv" and options["groups"] > 1:  # as many channels a group, half of the groups
        yield {**options, "groups": options["groups"] // 2, "outputs": options["outputs"] // 2}
    if "outputs" in options:
        for less in dict.fromkeys((1, options["outputs"] // 2, options["outputs"] - 1)):
            if 0 < less < options["outputs"]:
                yield {**options, "outputs": less}
    for name in ("kernel", "stride", "dilation"):
        if name in options:
            for axis in range(2):
                if options[name][axis] > 1:
                    less = list(options[name])
                    less[axis] -= 1
                    yield {**options, name: tuple(less)}


def _machines(fields: Fields) -> Iterator[Fields]:
    """One field as a shipped machine has it, or half way."""
    plain = load_config("edge64").to_dict()
    yield plain
    for name, value in plain.items():
        if name == "memory":
            for inner, number in value.items():
                if fields["memory"][inner] != number:
                    yield legalized({**fields, "memory": {**fields["memory"], inner: number}})
        elif fields[name] != value:
            yield legalized({**fields, name: value})
            if isinstance(value, int) and not isinstance(value, bool) and abs(fields[name] - value) > 1:
                yield legalized({**fields, name: (fields[name] + value) // 2})
