"""Single fields of model files changed at random: what comes is an answer of `check` or one InputError, never anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("onnxruntime")

from mutations import mutate_message, mutate_tree, packed, unpacked
from test_tflite_host import TAILS, Tail

from intaglio.check import check
from intaglio.errors import InputError
from intaglio.machine.config_files import load_config
from intaglio.network import execute, load, random_inputs
from intaglio.quantize.post_training import Settings, quantize
from tests.networks import random_network
from tests.onnx_networks import random_onnx_network
from tests.quantize.onnx_models import residual, samples

TRIALS = 150


def answered(path: Path) -> bool:
    """Whether the file would run; then it also loads and computes."""
    try:
        found = check(path, load_config("tiny16"))
        if found.would_run:
            graph = load(path)
            execute(graph, random_inputs(graph, 0))
        return found.would_run
    except InputError as error:
        assert str(path) in str(error) or "operator" in str(error)
        return False


@pytest.mark.parametrize("seed", range(3))
def test_onnx(tmp_path: Path, seed: int) -> None:
    whole = random_onnx_network(seed, tmp_path / "m.onnx").path.read_bytes()
    path, ran = tmp_path / "changed.onnx", 0
    for trial in range(TRIALS):
        rng = np.random.default_rng([seed, trial])
        model = onnx.ModelProto.FromString(whole)
        changes = [mutate_message(model, rng) for _ in range(int(rng.integers(1, 4)))]
        print(f"seed {seed}, {trial}: {changes}")
        path.write_bytes(model.SerializeToString())
        ran += answered(path)
    assert 0 < ran < TRIALS


@pytest.mark.parametrize("seed", range(5))
def test_tflite(tmp_path: Path, seed: int) -> None:
    """Seeds 3 and 4 have uint8, throughout and at the edges."""
    uint8 = {3: "throughout", 4: "edges"}.get(seed, "")
    whole = random_network(seed, tmp_path / "m.tflite", edges=seed == 1, uint8=uint8).path.read_bytes()
    path, ran, tried = tmp_path / "changed.tflite", 0, 0
    for trial in range(TRIALS):
        rng = np.random.default_rng([seed, trial])
        model = unpacked(whole)
        changes = [mutate_tree(model, rng) for _ in range(int(rng.integers(1, 4)))]
        print(f"seed {seed}, {trial}: {changes}")
        content = packed(model)
        if content is not None:
            path.write_bytes(content)
            tried += 1
            ran += answered(path)
    assert 0 < ran < tried and tried > TRIALS // 2


def test_tflite_tail(tmp_path: Path) -> None:
    """Operators that LiteRT runs on the host."""
    path, ran, tried = tmp_path / "changed.tflite", 0, 0
    for trial in range(3 * len(TAILS)):
        rng = np.random.default_rng(trial)
        file = Tail()
        whole = file.save(tmp_path, TAILS[trial % len(TAILS)][0](file)).read_bytes()
        model = unpacked(whole)
        changes = [mutate_tree(model, rng) for _ in range(int(rng.integers(1, 3)))]
        print(f"{trial}: {changes}")
        content = packed(model)
        if content is not None:
            path.write_bytes(content)
            tried += 1
            ran += answered(path)
    assert 0 < ran < tried and tried > len(TAILS)


def test_quantize(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", inputs=samples(count=2))
    path, done = tmp_path / "changed.onnx", 0
    for trial in range(60):
        rng = np.random.default_rng(trial)
        model = residual(batch=1)
        changes = [mutate_message(model, rng) for _ in range(int(rng.integers(1, 3)))]
        print(f"{trial}: {changes}")
        path.write_bytes(model.SerializeToString())
        try:
            quantize(path, tmp_path / "c.npz", Settings(per_channel=trial % 2 == 0), lambda *_: None)
            done += 1
        except InputError as error:
            assert str(error)
    assert 0 < done < 60
