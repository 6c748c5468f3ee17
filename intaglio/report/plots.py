"""Pictures of a run: roofline, cycles by layer, energy by layer; as SVG, PNG or PDF, the same bytes for the same run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.analysis.bounds import CAUSES
from intaglio.analysis.layers import ACCELERATOR, LayerFigures
from intaglio.errors import InputError
from intaglio.extras import install
from intaglio.files import write_bytes
from intaglio.machine.config import Config
from intaglio.power_model.comparison import Comparison
from intaglio.report.labels import place_labels
from intaglio.report.tables import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")
MOST_NAMES, NAME = 12, 24
"""Points of a roofline, and characters, up to which they have names beside the numbers of their bars."""
COLORS = {
    "array": "#0072B2",
    "feed": "#56B4E9",
    "requantizer": "#009E73",
    "onchip": "#CC79A7",
    "external": "#D55E00",
    "command": "#999999",
}
"""Okabe and Ito's palette, which the colour-blind can tell apart too."""
PARTS = {"arithmetic": "#0072B2", "on_chip": "#009E73", "external": "#D55E00", "idle": "#999999"}
ROW = 0.24
"""Inches of a bar's row."""
DOTS = 150
"""Pixels of a PNG, an inch."""
_BASELINE = "equal_bytes"


def check_plot(path: Path | None) -> None:
    """Refuses a suffix that is no picture's and a missing matplotlib, before any work is done."""
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"plot {path}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    _matplotlib()


def save_plot(path: Path, figure: Figure) -> None:
    """Writes a figure by the path's suffix, whole or not at all."""
    check_plot(path)
    kind = path.suffix.lower().removeprefix(".")
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    data = io.BytesIO()
    with _matplotlib().rc_context({"svg.hashsalt": "intaglio"}):
        figure.savefig(data, format=kind, dpi=DOTS, metadata=dates[kind])
    write_bytes(path, data.getvalue())


def picture(title: str, config: Config, layers: Sequence[LayerFigures], comparison: Comparison | None = None) -> Figure:
    """Roofline above, cycles by layer below, and energy by layer beside them where a comparison is given.

    layers: of one run, all operators in order (analysis.layers). The layers on the accelerator that take cycles are
    numbered by their place in the network, host operators included.
    """
    _matplotlib()
    from matplotlib.figure import Figure as NewFigure

    rows = len(_taking(layers))
    bars = ROW * rows + 1.5
    figure = NewFigure(figsize=(12 if comparison else 8.5, 4.8 + bars), layout="constrained")
    figure.suptitle(title, fontsize=12)
    grid: Any = [["roofline", "roofline"], ["cycles", "energy"]] if comparison else [["roofline"], ["cycles"]]
    axes = figure.subplot_mosaic(grid, height_ratios=[4.6, bars])
    draw_cycles(axes["cycles"], layers)
    if comparison:
        draw_energy(axes["energy"], layers, comparison)
        axes["energy"].tick_params(labelleft=False)
    draw_roofline(axes["roofline"], config, layers)
    return figure


def draw_roofline(axes: Axes, config: Config, layers: Sequence[LayerFigures]) -> None:
    """MACs a cycle against MACs for each external byte, both logarithmic.

    The roofs: the array's rows * cols, and the memory's bytes_per_cycle. A layer whose weights were loaded while an
    earlier one computed may stand above the second. Draw it last: labels are placed for the axes' final position.
    """
    points = [(n, layer) for n, layer in _taking(layers) if layer.macs and layer.external_bytes]
    peak, rate = config.macs_per_cycle, config.memory.cost.bytes_per_cycle
    x = [layer.macs / layer.external_bytes for _, layer in points]
    y = [layer.macs / (layer.cycles or 1) for _, layer in points]
    ridge = peak / rate
    left, right = min([*x, ridge]) / 3, max([*x, ridge]) * 4
    axes.loglog([left, ridge, right], [left * rate, peak, peak], color="black", linewidth=1.4)
    axes.plot([ridge, ridge], [min([*y, peak]) / 20, peak], color="black", linewidth=0.6, linestyle=":")
    colors = [COLORS[layer.bound_by or "onchip"] for _, layer in points]
    axes.scatter(x, y, c=colors, s=34, zorder=3, edgecolors="white", linewidths=0.6)
    axes.set_xlim(left, right)
    axes.set_ylim(min([*y, peak]) / 2.5, peak * 2)
    axes.set_xlabel("MACs for each byte moved outside")
    axes.set_ylabel("MACs a cycle")
    axes.set_title("Roofline: what each layer reaches of what array and memory allow", fontsize=10)
    axes.grid(True, which="major", linewidth=0.4, alpha=0.5)
    axes.annotate(
        f"array: {peak:,} MACs a cycle",
        (right, peak),
        (-4, 4),
        textcoords="offset points",
        horizontalalignment="right",
        fontsize=8,
    )
    bound = {layer.bound_by for _, layer in points}
    handles = [axes.scatter([], [], color=COLORS[c], s=34, label=f"bounded by {c}") for c in CAUSES if c in bound]
    memory = axes.plot(
        [], [], color="black", linewidth=1.4, label=f"memory: {rate} bytes a cycle (slope), array (flat)"
    )
    axes.legend(handles=[*memory, *handles], loc="lower right", fontsize=8, framealpha=0.9)
    few = len(points) <= MOST_NAMES
    texts = [f"{n} {short(layer.name)}" if few and len(layer.name) <= NAME else str(n) for n, layer in points]
    place_labels(axes, list(zip(x, y, strict=True)), texts, 8)


def draw_cycles(axes: Axes, layers: Sequence[LayerFigures]) -> None:
    """A stacked bar for each layer, by cause, and a mark at the layer's lower bound."""
    taking = _taking(layers)
    left = [0] * len(taking)
    for cause in CAUSES:
        widths = [(layer.causes or {}).get(cause, 0) for _, layer in taking]
        if any(widths):
            axes.barh(range(len(taking)), widths, left=left, color=COLORS[cause], label=cause, height=0.7)
            left = [a + b for a, b in zip(left, widths, strict=True)]
    bounds = [layer.lower_bound or 0 for _, layer in taking]
    axes.plot(
        bounds,
        range(len(taking)),
        linestyle="",
        marker="|",
        markersize=9,
        markeredgewidth=1.8,
        color="black",
        label="lower bound",
    )
    total = sum(layer.cycles or 0 for _, layer in taking)
    axes.set_title(f"Cycles by layer and cause: {total:,} in all", fontsize=10)
    axes.set_xlabel("clock cycles")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(0, max([*left, *bounds, 1]) * 1.04)
    _rows(axes, taking)


def draw_energy(axes: Axes, layers: Sequence[LayerFigures], comparison: Comparison) -> None:
    """A stacked bar for each layer, by part, beside the same work in FP32 with as many bytes a cycle outside."""
    taking = _taking(layers)
    # Operators by their place: names can repeat.
    rows = [comparison.layers[number - 1] for number, _ in taking]
    figures = [row.int8.energy for row in rows]
    left = [0.0] * len(rows)
    for part, color in PARTS.items():
        bands = [getattr(energy, part) for energy in figures]
        widths = [band.value / 1e3 if band is not None else 0.0 for band in bands]
        if any(widths):
            axes.barh(
                range(len(rows)), widths, left=left, color=color, label=f"INT8, {part.replace('_', ' ')}", height=0.7
            )
            left = [a + b for a, b in zip(left, widths, strict=True)]
    baseline = [row.fp32[_BASELINE].energy.total.value / 1e3 for row in rows]
    axes.barh(range(len(rows)), baseline, facecolor="none", edgecolor="black", linewidth=0.8, height=0.82, label="FP32")
    for at, (row, width) in enumerate(zip(rows, baseline, strict=True)):
        gain = row.gain[_BASELINE]
        if gain is not None:
            axes.annotate(
                f"{gain.value:.1f} x",
                (width, at),
                (3, 0),
                textcoords="offset points",
                verticalalignment="center",
                fontsize=7,
            )
    gain = comparison.total.gain[_BASELINE]
    title = f"Energy by layer: {comparison.total.int8.energy.total.value / 1e6:,.2f} \u00b5J"
    axes.set_title(title + (f", FP32 {gain.value:.1f} times that" if gain else ""), fontsize=10)
    axes.set_xlabel(f"nJ an inference, table {comparison.table.name}")
    axes.set_xlim(0, max([*baseline, *left, 1e-9]) * 1.12)
    axes.xaxis.set_major_formatter("{x:,.0f}" if max([*baseline, 0]) >= 20 else "{x:,.3g}")
    _rows(axes, taking)


def _taking(layers: Sequence[LayerFigures]) -> list[tuple[int, LayerFigures]]:
    """Layers with cycles on the accelerator, numbered by their place in the network from 1 on."""
    return [(n, layer) for n, layer in enumerate(layers, start=1) if layer.where == ACCELERATOR and layer.cycles]


def _rows(axes: Axes, taking: Sequence[tuple[int, LayerFigures]]) -> None:
    axes.set_yticks(range(len(taking)), [f"{short(layer.name)}  {n}" for n, layer in taking], fontsize=8)
    axes.set_ylim(len(taking) - 0.4, -0.6)
    axes.grid(True, axis="x", linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    axes.legend(
        fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.55 / (ROW * len(taking) + 0.01)), ncols=3, frameon=False
    )


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise InputError(f"plots need matplotlib, which is not installed; {install('plot')}") from None
    return matplotlib
