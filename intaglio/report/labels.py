"""Labels of points that do not cover each other: each goes to the nearest free place around its point."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]
"""left, bottom, right, top in pixels."""
SAME = 3.0
"""Points nearer than this, in pixels, share one label."""
GAP = 4.0
"""Pixels left and right of a label that the next one keeps free."""
MARKER = 4.5
"""Half a marker's size, in points."""


def place_labels(axes: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str], size: float) -> list[Any]:
    """Annotates the points, (x, y) in data coordinates; returns the annotations.

    Points at one place share a label that names them all, a line each where there are a few. Labels avoid markers,
    lines, each other and the legend as far as there is room; a thin line leads to a label that had to go far.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure: Any = axes.get_figure()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()  # fixes the layout, so that pixels are final
    renderer = canvas.get_renderer()
    scale = figure.dpi / 72
    pixels = [(float(x), float(y)) for x, y in (axes.transData.transform(point) for point in points)]
    groups = _groups(pixels)
    marker = MARKER * scale
    taken: list[Box] = [(x - marker, y - marker, x + marker, y + marker) for x, y in pixels]
    legend = axes.get_legend()
    if legend is not None:
        taken.append(_box(legend.get_window_extent(renderer)))
    taken += [_box(text.get_window_extent(renderer)) for text in axes.texts]
    taken += [box for line in axes.lines for box in _along(axes.transData.transform(line.get_xydata()).tolist())]
    frame = _box(axes.get_window_extent(renderer))
    out = []
    for group in groups:
        x, y = pixels[group[0]]
        lines = [texts[i] for i in group]
        text = "\n".join(lines) if len(lines) <= 3 and max(map(len, lines)) > 3 else ", ".join(lines)
        label = axes.annotate(
            text, points[group[0]], (0, 0), textcoords="offset points", fontsize=size, zorder=4, linespacing=1.05
        )
        extent = label.get_window_extent(renderer)
        dx, dy = _offset(x, y, extent.width, extent.height, taken, frame, scale)
        label.set_position((dx / scale, dy / scale))
        box = (x + dx, y + dy, x + dx + extent.width, y + dy + extent.height)
        taken.append((box[0] - GAP, box[1], box[2] + GAP, box[3]))
        near = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
        if math.dist(near, (x, y)) > 12 * scale:
            end = axes.transData.inverted().transform(near)
            axes.plot(
                [points[group[0]][0], end[0]], [points[group[0]][1], end[1]], color="0.5", linewidth=0.6, zorder=2
            )
        out.append(label)
    return out


def _box(extent: Any) -> Box:
    left, bottom, right, top = (float(v) for v in extent.extents)
    return left, bottom, right, top


def _along(line: Sequence[Sequence[float]]) -> list[Box]:
    """Small boxes on a line through points in pixels."""
    out: list[Box] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(line):
        count = max(int(math.dist((x0, y0), (x1, y1)) / 3), 1)
        for i in range(count + 1):
            x, y = x0 + (x1 - x0) * i / count, y0 + (y1 - y0) * i / count
            out.append((x - 1, y - 1, x + 1, y + 1))
    return out


def _groups(pixels: Sequence[tuple[float, float]]) -> list[list[int]]:
    """Indices of points at about one place."""
    out: list[list[int]] = []
    for i, point in enumerate(pixels):
        for group in out:
            if math.dist(pixels[group[0]], point) < SAME:
                group.append(i)
                break
        else:
            out.append([i])
    return out


def _offset(
    x: float, y: float, width: float, height: float, taken: Sequence[Box], frame: Box, scale: float
) -> tuple[float, float]:
    """The way from the point to the label's lower left corner: the nearest place that covers nothing, else the one that covers
    least."""
    best: tuple[float, float, float] | None = None
    for distance in (6, 10, 16, 24, 34, 46, 60, 78, 100, 130):
        for angle in (0, 45, -45, 90, -90, 135, -135, 180, 20, -20, 70, -70, 110, -110, 160, -160):
            reach = distance * scale
            cx = math.cos(math.radians(angle))
            cy = math.sin(math.radians(angle))
            left = x + cx * reach - (1 - cx) / 2 * width
            bottom = y + cy * reach - (1 - cy) / 2 * height
            box = (left, bottom, left + width, bottom + height)
            covered = sum(_overlap(box, other) for other in taken)
            outside = width * height - _overlap(box, frame)
            if covered + outside <= 0.5:
                return left - x, bottom - y
            score = covered + 4 * outside
            if best is None or score < best[0]:
                best = score, left - x, bottom - y
    assert best is not None
    return best[1], best[2]


def _overlap(a: Box, b: Box) -> float:
    """Pixels of area that two boxes share."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return wide * high if wide > 0 and high > 0 else 0.0
