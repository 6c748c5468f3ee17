"""Host operators' time is their own: what is started once is not in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from onnx_files import OnnxBuilder

from intaglio.machine.config_files import load_config
from intaglio.network import load, random_inputs
from intaglio.network.onnx import host
from intaglio.session import Session


def test_starting_onnxruntime_is_no_time_of_the_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = OnnxBuilder()
    x = build.qdq(build.input("x", (1, 4, 6, 6)), 0.02, 0)
    y = build.qdq(build.node("Conv", [x, build.weights("w", np.ones((4, 4, 1, 1)), 0.01)], "y"), 0.02, 0)
    graph = load(build.write(tmp_path / "m.onnx", [build.node("Softmax", [y], "soft", axis=1)]))
    session = Session.map(graph, load_config("tiny16"))
    started = []
    real = host.session_of

    def slow(model: bytes, optimized: Path | None = None) -> Any:
        started.append(model)
        time.sleep(0.5)
        return real(model, optimized)

    monkeypatch.setattr(host, "session_of", slow)
    host._session.cache_clear()
    run = session.run(random_inputs(graph, 0))
    assert len(started) == 1 and max(run.host_seconds.values()) < 0.25
    assert sum(graph.operators[index].kind == "Softmax" for index in run.host_seconds) == 1
