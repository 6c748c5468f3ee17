"""A network whose last operators only LiteRT runs: the export names them everywhere as left to the caller."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from intaglio.export import make_bundle
from intaglio.machine.config_files import load_config
from intaglio.network import load
from intaglio.session import Session
from tests.cli.command import intaglio, validate
from tests.export.exported import compile_all, need_compilers
from tests.export.test_driver import OTHER


def network(path: Path) -> Path:
    """A fully connected layer, the class and every class's share, as floats."""
    from intaglio.network.tflite.write import TfliteBuilder

    build = TfliteBuilder("heads")
    x = build.input((1, 6), 0.02, 3)
    weights = np.random.default_rng(2).integers(-127, 128, (5, 6)).astype(np.int8)
    y = build.fully_connected(x, weights, np.arange(5, dtype=np.int32), np.array([0.01]), 0.05, -4, name="scores")
    share = build.logistic(build.dequantize(build.logistic(y, "share"), "real"), "twice")
    build.write(path, [build.arg_max(y, "class"), share])
    return path


def test_what_the_driver_leaves_to_the_caller(tmp_path: Path) -> None:
    need_compilers()
    session = Session.map(load(network(tmp_path / "heads.tflite")), load_config("tiny16", OTHER))
    bundle = make_bundle("heads.tflite", b"", session, "")
    validate(bundle.manifest, "export")
    steps = [(step["op"], step["when"], step["function"]) for step in bundle.manifest["host_steps"]]
    assert sorted(steps, key=str) == [
        ("ARG_MAX", "after", None),
        ("Dequantize", "after", "intaglio_dequantize"),
        ("LOGISTIC", "after", None),
        ("Logistic", "after", None),
    ]
    main = bundle.files["main.c"].decode()
    assert "/* ARG_MAX class is left to you" in main and "/* Logistic share is left to you" in main
    assert 'output("scores", data_scores, KNOWN(intaglio_test_scores)' in main
    assert "| after | ARG_MAX | scores, int8 (1, 5) | class, int32 (1) | left to you |" in (
        bundle.files["README.md"].decode()
    )
    compile_all(bundle, tmp_path)


def test_the_commands(tmp_path: Path) -> None:
    model = network(tmp_path / "heads.tflite")
    checked = intaglio("check", model, "--config", "tiny16", "--json", "-")
    assert checked.status == 0, checked.err
    ran = intaglio("run", model, "--config", "tiny16", "--outputs", tmp_path / "out.npz")
    assert ran.status == 0, ran.err
    outputs = np.load(tmp_path / "out.npz")
    assert {name: (outputs[name].dtype.name, outputs[name].shape) for name in outputs} == {
        "class": ("int32", (1,)),
        "twice": ("float32", (1, 5)),
    }
    out = intaglio("export", model, "--config", "tiny16", "-o", tmp_path / "out")
    assert out.status == 0 and "left to you: 'share' (Logistic), 'twice' (LOGISTIC), 'class' (ARG_MAX)" in out.out
