"""Pictures: what stands in them, labels apart, the same bytes for the same run, refusals."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("matplotlib")

import intaglio
from intaglio import data
from intaglio.analysis.bounds import CAUSES
from intaglio.analysis.layers import LayerFigures
from intaglio.errors import InputError
from intaglio.report.labels import place_labels
from intaglio.report.plots import _taking, check_plot, draw_roofline, picture, save_plot
from tests.cli.command import intaglio as command
from tests.cli.command import small_network


@pytest.fixture(scope="module")
def shipped() -> intaglio.NetworkRun:
    graph = intaglio.load(data.MODEL)
    return intaglio.map(graph).run(intaglio.random_inputs(graph, 0))


def layer(name: str, macs: int, cycles: int, moved: int) -> LayerFigures:
    causes = {**dict.fromkeys(CAUSES, 0), "array": cycles}
    return LayerFigures(name, "Conv2D", "accelerator", macs, cycles, cycles // 2, 0.5, "array", moved, causes, None)


def test_bars_and_points_are_the_figures(shipped: intaglio.NetworkRun) -> None:
    layers, comparison = intaglio.layers(shipped), intaglio.compare(shipped)
    figure = picture("title", shipped.session.config, layers, comparison)
    roofline, cycles, energy = figure.axes
    taking = _taking(layers)
    widths = [[bar.get_width() for bar in group] for group in cycles.containers]
    assert np.sum(widths, axis=0).tolist() == [figures.cycles for _, figures in taking]
    assert sum(map(sum, widths)) == shipped.cycles
    assert [text.get_text() for text in cycles.get_yticklabels()] == [f"{f.name}  {n}" for n, f in taking]
    marks = cycles.lines[0].get_xdata()
    assert list(marks) == [f.lower_bound for _, f in taking]  # type: ignore[call-overload]
    *int8, fp32 = [[bar.get_width() for bar in group] for group in energy.containers]
    total = comparison.total
    assert np.sum(int8) == pytest.approx(total.int8.energy.total.value / 1e3)
    assert np.sum(fp32) == pytest.approx(total.fp32["equal_bytes"].energy.total.value / 1e3)
    points = np.concatenate([c.get_offsets() for c in roofline.collections if len(c.get_offsets())])
    with_macs = [f for _, f in taking if f.macs]
    expected = [(f.macs / f.external_bytes, f.macs / (f.cycles or 1)) for f in with_macs]
    assert points.tolist() == pytest.approx(np.array(expected))
    # The roof: 8 bytes a cycle up to the ridge at 8 MACs a byte, then 64 MACs a cycle.
    x, y = roofline.lines[0].get_data()
    assert (x[1], y[1]) == (8, 64) and y[0] == pytest.approx(8 * x[0]) and y[2] == 64  # type: ignore[index]


def boxes_of(axes: Any, labels: list[Any]) -> list[Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(axes.get_figure())
    canvas.draw()
    return [label.get_window_extent(canvas.get_renderer()) for label in labels]


@pytest.mark.parametrize("count", [1, 5, 12, 40])
def test_labels_do_not_overlap(count: int) -> None:
    from matplotlib.figure import Figure

    seed = count
    print("seed", seed)
    rng = np.random.default_rng(seed)
    layers = [layer(f"block{i}_second", int(10 ** rng.uniform(5, 8)), 1, 1000) for i in range(count)]
    layers = [
        layer(f.name, f.macs, int(f.macs / 64 / rng.uniform(0.3, 0.9)), int(10 ** rng.uniform(3, 6))) for f in layers
    ]
    figure = Figure(figsize=(12, 6))
    axes = figure.subplots()
    draw_roofline(axes, intaglio.load_config("edge64"), layers)
    boxes = boxes_of(axes, list(axes.texts))
    assert len(boxes) >= count + 1 or count == 40
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert min(a.x1, b.x1) - max(a.x0, b.x0) <= 1 or min(a.y1, b.y1) - max(a.y0, b.y0) <= 1, (a, b)
    text = {t.get_text() for t in axes.texts}
    assert ("1 block0_second" in text) == (count <= 12)


def test_points_at_one_place_share_a_label() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.set_xlim(0, 10)
    labels = place_labels(axes, [(1, 0.5), (5, 0.5), (5, 0.5), (5, 0.5), (5, 0.5)], ["7", "8", "9", "10", "11"], 8)
    assert [label.get_text() for label in labels] == ["7", "8, 9, 10, 11"]
    labels = place_labels(axes, [(2, 0.2), (2, 0.2)], ["first", "second"], 8)
    assert [label.get_text() for label in labels] == ["first\nsecond"]


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_the_same_bytes_for_the_same_run(suffix: str, shipped: intaglio.NetworkRun, tmp_path: Path) -> None:
    files = [tmp_path / f"{i}{suffix}" for i in range(2)]
    for path in files:
        save_plot(path, picture("title", shipped.session.config, intaglio.layers(shipped)))
    first, second = (path.read_bytes() for path in files)
    assert first == second and len(first) > 10_000
    assert first.startswith({".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}[suffix])
    assert b"<dc:date>" not in first and b"CreationDate" not in first


def test_run_writes_trace_and_plot(tmp_path: Path) -> None:
    model = small_network(tmp_path / "small.tflite", softmax=True)
    done = command("run", model, "--config", "tiny16", "--plot", tmp_path / "P.png", "--trace", tmp_path / "T.json")
    assert done.status == 0, done.err
    assert (tmp_path / "P.png").read_bytes().startswith(b"\x89PNG") and (tmp_path / "T.json").stat().st_size > 1000


def test_refusals_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_network(tmp_path / "small.tflite")
    done = command("run", model, "--plot", tmp_path / "P.gif", "--json", tmp_path / "R.json")
    assert done.status == 2 and "P.gif: the name must end in .svg, .png or .pdf" in done.err
    for option in ("--plot", "--trace"):
        done = command("run", model, option, tmp_path / "none" / "P.svg", "--json", tmp_path / "R.json")
        assert done.status == 2 and "there is no folder" in done.err
    assert not (tmp_path / "R.json").exists()
    real_import = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"plots need matplotlib.*; .* -m pip install '?matplotlib"):
        check_plot(tmp_path / "P.svg")
