"""Programs as files and as text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from intaglio.errors import InputError
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import decode
from intaglio.mapper import map_network
from intaglio.program.program import Place, Program
from intaglio.verifier.validate import validate
from tests.mapper.mapper_graphs import Builder


def sample() -> Program:
    b = Builder(2)
    return map_network(b.graph(b.dense(b.mean(b.conv(b.input(1, 5, 5, 3), 7, (2, 2))), 4)), load_config("tiny16"))


def test_saved_and_loaded(tmp_path: Path) -> None:
    program = sample()
    program.save(tmp_path / "p.npz")
    loaded = Program.load(tmp_path / "p.npz")
    assert np.array_equal(loaded.words(), program.words())
    assert [c.opcode for c in loaded.commands] == [c.opcode for c in program.commands]
    assert (loaded.image, loaded.places, loaded.layers) == (program.image, program.places, program.layers)
    assert (loaded.inputs, loaded.outputs, loaded.config) == (program.inputs, program.outputs, program.config)
    validate(loaded, load_config("tiny16"))
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_same_network_same_bytes() -> None:
    assert sample().image == sample().image


def test_words_are_the_start_of_the_image() -> None:
    program = sample()
    words = np.frombuffer(program.image[: 4 * len(program.words())], "<u4")
    assert np.array_equal(words, program.words())
    assert len(decode(words.tolist())) == len(program.commands)


def test_bases_are_aligned() -> None:
    assert all(place.offset % 4096 == 0 for place in sample().places.values())


PLACE = Place(4096, 3, 28, 32)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (replace(PLACE, rows=0), "a number is not positive"),
        (replace(PLACE, row_stride=27), "rows of 28 bytes every 27 overlap"),
        (replace(PLACE, pitch=10**30), "rows of 28 bytes every 32 overlap"),
        (replace(PLACE, format="int99"), "no element format 'int99'"),
        (replace(PLACE, format="int16"), "pixels of 2 bytes every 1 overlap"),
        (replace(PLACE, pixel=3, pitch=3), "do not hold whole pixels of 3 bytes every 3"),
        (replace(PLACE, pixel=30, pitch=30), "do not hold whole pixels"),
    ],
)
def test_places_in_which_no_tensor_lies(place: Place, reason: str, tmp_path: Path) -> None:
    """They are refused where they are read and where they are checked, with the tensor's name."""
    program = sample()
    name = program.inputs[0]
    spoiled = replace(program, places={**program.places, name: place})
    with pytest.raises(InputError, match=f"'{name}'.*{reason}"):
        validate(spoiled, load_config("tiny16"))
    spoiled.save(tmp_path / "p.npz")
    with pytest.raises(InputError, match=f"tensor {name}: {reason}|tensor {name}: .*{reason}"):
        Program.load(tmp_path / "p.npz")


def change(path: Path, **keys: object) -> None:
    """Changes keys of the first place in a saved program; None takes one away."""
    arrays = dict(np.load(path))
    head = json.loads(arrays["head"].tobytes())
    place = next(iter(head["places"].values()))
    for key, value in keys.items():
        place.pop(key, None)
        if value is not None:
            place[key] = value
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    np.savez_compressed(path, **arrays)


def test_keys_of_places(tmp_path: Path) -> None:
    """Those that are not known are left unread; one that lacks or is no number is named with its tensor."""
    path = tmp_path / "p.npz"
    program = sample()
    program.save(path)
    change(path, colour="red")
    assert Program.load(path).places == program.places
    for value, told in ((None, "None"), ("3", "3"), (-1, "-1"), (True, "True"), (1.5, "1.5")):
        program.save(path)
        change(path, rows=value)
        name = next(iter(program.places))
        with pytest.raises(InputError, match=rf"the place of tensor {name}: rows = {told}\)"):
            Program.load(path)


def test_broken_files(tmp_path: Path) -> None:
    sample().save(tmp_path / "p.npz")
    data = (tmp_path / "p.npz").read_bytes()
    random = np.random.default_rng(3)
    bad = tmp_path / "bad.npz"
    for _ in range(150):
        cut = bytearray(data)
        for at in random.integers(0, len(cut), 4):
            cut[at] = random.integers(256)
        bad.write_bytes(cut[: random.integers(1, len(cut) + 1)])
        try:
            Program.load(bad)
        except InputError as error:
            assert str(bad) in str(error)
    bad.write_bytes(b"")
    for path in (bad, tmp_path, tmp_path / "none.npz"):
        with pytest.raises(InputError, match="program "):
            Program.load(path)


def test_unwritable_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        sample().save(tmp_path / "none" / "p.npz")


def test_listing_names_layers_and_tokens() -> None:
    text = sample().listing()
    for part in ("-- layer 0: op0", "layer 1: op1 Mean", "CONV", "wait LOAD", "signal STORE", "(input)"):
        assert part in text


def test_names_stay_on_their_lines_of_a_listing() -> None:
    program, odd = sample(), "a\nb\x1b[2J\u202e"
    layers = tuple(replace(layer, name=odd) for layer in program.layers)
    places = {f"{odd}{name}": place for name, place in program.places.items()}
    plain, text = program.listing(), replace(program, network=odd, layers=layers, places=places).listing()
    assert text.count("\n") == plain.count("\n") and "\x1b" not in text and "\u202e" not in text
    assert r"-- layer 0: a\nb\x1b[2J\u202e" in text
