"""Calls the command in this process, as a shell would, and makes small networks for it."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import numpy as np
import referencing

from intaglio.cli import faults, status
from intaglio.network.tflite.write import TfliteBuilder


@dataclass(frozen=True)
class Done:
    """What a shell sees."""

    status: int
    out: str
    err: str


def intaglio(*arguments: object) -> Done:
    """`intaglio ARGUMENTS`. Status 3, an error of ours, is none that a test may expect: the exception that led to it passes."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(faults, "message", _raise),
    ):
        ended = status([str(argument) for argument in arguments])
    return Done(ended, out.getvalue(), err.getvalue())


def _raise(error: BaseException) -> str:
    raise error


def small_network(path: Path, softmax: bool = False) -> Path:
    """Two convolutions, an Add, a global mean and four classes; with softmax an operator for the host too."""
    random = np.random.default_rng(1)
    scale = np.array([0.003], np.float32)

    def weights(*shape: int) -> np.ndarray:
        return random.integers(-127, 128, shape).astype(np.int8)

    def zeros(length: int) -> np.ndarray:
        return np.zeros(length, np.int32)

    builder = TfliteBuilder("small")
    x = builder.input((1, 6, 6, 3), 0.02, -3, "image")
    y = builder.conv2d(x, weights(5, 3, 3, 3), zeros(5), scale, 0.05, 4, name="first")
    z = builder.conv2d(y, weights(5, 1, 1, 5), zeros(5), scale, 0.05, 1, name="second")
    s = builder.add(y, z, 0.08, 2, name="sum")
    p = builder.mean(s, 0.04, 0, name="mean")
    out = builder.fully_connected(p, weights(4, 5), zeros(4), scale, 0.05, 0, name="classes")
    builder.write(path, [builder.softmax(out, name="answer") if softmax else out])
    return path


def validate(document: dict[str, Any], schema: str) -> None:
    """Holds a document against intaglio/schemas/<schema>.json."""
    schemas = {
        path.name: referencing.Resource.from_contents(json.loads(path.read_text()))
        for path in (resources.files("intaglio") / "schemas").iterdir()
        if path.name.endswith(".json")
    }
    registry: referencing.Registry = referencing.Registry().with_resources(schemas.items())
    wanted = schemas[f"{schema}.json"].contents
    jsonschema.Draft202012Validator(wanted, registry=registry).validate(document)
