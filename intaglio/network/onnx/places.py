"""Operators that take elements elsewhere along the axes of one tensor: for each axis the indices that they take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intaglio.network.moves import CONSTANT
from intaglio.network.onnx.file import LONGEST, MAX_ELEMENTS, Node
from intaglio.network.onnx.resize import resize
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import Unsupported

AGAIN = "export the model again"


@dataclass(frozen=True)
class Taken:
    """An output: index o of an axis is index indices[axis][o] of the input's, or a constant. before: the input's shape as
    the indices count it, the same elements in the same order. after: the output's, likewise."""

    indices: dict[int, Sequence[int]]
    before: tuple[int, ...]
    after: tuple[int, ...]


def taken(indices: Mapping[int, Sequence[int]], shape: tuple[int, ...], after: tuple[int, ...] | None = None) -> Taken:
    """An output of a shape that follows, unless it is given."""
    found = tuple(len(indices.get(axis, range(n))) for axis, n in enumerate(shape))
    if 0 in found:
        raise Unsupported("it takes no elements", AGAIN)
    if math.prod(found) > MAX_ELEMENTS or max(found, default=1) > LONGEST:
        reason = f"its output has shape {list(found)}"
        raise Unsupported(reason, f"use at most {MAX_ELEMENTS} elements, {LONGEST} along an axis")
    changed = {axis: at for axis, at in indices.items() if list(at) != list(range(shape[axis]))}
    return Taken(changed, shape, found if after is None else after)


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        raise Unsupported(f"axis {axis} of {rank} dimensions", AGAIN)
    return axis % rank


def bounded(shape: Sequence[int]) -> None:
    """Refuses an output beyond any size before indices are made for it."""
    if min(shape, default=1) < 1 or max(shape, default=1) > LONGEST or math.prod(shape) > MAX_ELEMENTS:
        raise Unsupported(f"its output has shape {list(shape)}", f"use 1 to {MAX_ELEMENTS} elements")


def slice_(scope: Scope, node: Node, shape: tuple[int, ...]) -> list[Taken]:
    """Starts, ends and steps of some axes; those below 0 count from the end, all are clamped as onnxruntime does."""
    starts, ends = (scope.integers(node, name, i) or () for i, name in ((1, "starts"), (2, "ends")))
    axes = scope.integers(node, "axes", 3)
    steps = scope.integers(node, "steps", 4) or (1,) * len(starts)
    axes = tuple(range(len(starts))) if axes is None else axes
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise Unsupported(f"starts {list(starts)}, ends {list(ends)}, axes {list(axes)}, steps {list(steps)}", AGAIN)
    indices: dict[int, Sequence[int]] = {}
    for start, end, axis, step in zip(starts, ends, (axis_of(a, len(shape)) for a in axes), steps, strict=True):
        n = shape[axis]
        if axis in indices:
            raise Unsupported(f"it has axis {axis} twice", AGAIN)
        start, end = (value + n if value < 0 else value for value in (start, end))
        first = min(max(start, 0), n - 1 if step < 0 else n)
        last = min(max(end, -1 if step < 0 else 0), n)
        indices[axis] = range(first, last, step)
    return [taken(indices, shape)]


def split(scope: Scope, node: Node, shape: tuple[int, ...]) -> list[Taken]:
    """Parts of an axis: their lengths, or equal ones, the last of which may be shorter (opset 18)."""
    axis, count = axis_of(int(node.attributes.get("axis", 0)), len(shape)), len(node.outputs)
    n = shape[axis]
    lengths = scope.integers(node, "split", 1)
    if lengths is None:
        each = -(-n // count) if "num_outputs" in node.attributes else n // count
        last = n - each * (count - 1)
        lengths = (*(each,) * (count - 1), last)
        if int(node.attributes.get("num_outputs", count)) != count or not 1 <= last <= each:
            raise Unsupported(f"{n} do not split into {count} parts", AGAIN)
    if len(lengths) != count or min(lengths) < 1 or sum(lengths) != n:
        raise Unsupported(f"{n} do not split into {list(lengths)}", AGAIN)
    cuts = [0, *itertools.accumulate(lengths)]
    return [taken({axis: range(first, end)}, shape) for first, end in itertools.pairwise(cuts)]


def gather(scope: Scope, node: Node, shape: tuple[int, ...]) -> list[Taken]:
    """Constant indices of an axis, which one number alone takes away."""
    axis, given = axis_of(int(node.attributes.get("axis", 0)), len(shape)), scope.constant(node, 1)
    if given.ndim > 1 or given.dtype.kind != "i" or given.size > LONGEST:
        raise Unsupported(f"its indices have shape {list(given.shape)}", "use one row of constant indices")
    n = shape[axis]
    indices = [int(i) for i in given.reshape(-1)]
    if not all(-n <= i < n for i in indices):
        raise Unsupported(f"its indices are not within {-n} and {n - 1}", AGAIN)
    after = (*shape[:axis], *given.shape, *shape[axis + 1 :])
    return [taken({axis: [i % n for i in indices]}, shape, after)]


def tile(scope: Scope, node: Node, shape: tuple[int, ...]) -> list[Taken]:
    """Each axis several times over."""
    times = scope.integers(node, "repeats", 1) or ()
    if len(times) != len(shape):
        raise Unsupported(f"{list(times)} repeats of {list(shape)}", AGAIN)
    bounded([n * t for n, t in zip(shape, times, strict=True)])
    indices = {axis: list(range(n)) * t for axis, (n, t) in enumerate(zip(shape, times, strict=True)) if t > 1}
    return [taken(indices, shape)]


def expand(scope: Scope, node: Node, shape: tuple[int, ...]) -> list[Taken]:
    """Axes of one index, and axes in front, as often as another shape says."""
    wanted = scope.integers(node, "shape", 1) or ()
    rank = max(len(wanted), len(shape))
    before = (1,) * (rank - len(shape)) + shape
    target = (1,) * (rank - len(wanted)) + wanted
    if any(n != m and 1 not in (n, m) for n, m in zip(before, target, strict=True)):
        raise Unsupported(f"{list(shape)} does not become {list(wanted)}", AGAIN)
    bounded([max(n, m) if m else 0 for n, m in zip(before, target, strict=True)])
    indices = {a: [0] * m for a, (n, m) in enumerate(zip(before, target, strict=True)) if n == 1 and m > 1}
    return [taken(indices, before)]


def pad_amounts(scope: Scope, node: Node, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Indices before and behind each axis; below 0 they are cut off."""
    name = "pads" if "pads" in node.attributes else "paddings"
    amounts = scope.integers(node, name, 1) or ()
    rank = len(shape)
    axes = [axis_of(axis, rank) for axis in scope.integers(node, "axes", 3) or range(rank)]
    if len(amounts) != 2 * len(axes) or len(set(axes)) < len(axes):
        raise Unsupported(f"it has {len(amounts)} pads for {len(axes)} dimensions", AGAIN)
    found = [(0, 0)] * rank
    for axis, begin, end in zip(axes, amounts[: len(axes)], amounts[len(axes) :], strict=True):
        found[axis] = begin, end
    bounded([n + before + after for n, (before, after) in zip(shape, found, strict=True)])
    if any(min(pair) < -n or max(pair) > LONGEST for n, pair in zip(shape, found, strict=True)):
        raise Unsupported(f"it pads by {list(amounts)}", AGAIN)
    return found


def pad_value(scope: Scope, node: Node) -> np.ndarray:
    """The number, as a rule one, that a Pad puts around a tensor."""
    if len(node.inputs) > 2 and node.inputs[2]:
        return scope.constant(node, 2)
    return np.atleast_1d(np.asarray(node.attributes.get("value", 0.0)))  # opset < 11


def pad(scope: Scope, node: Node, shape: tuple[int, ...]) -> list[Taken]:
    """Constants around a tensor, or the tensor's own elements again."""
    mode = str(node.attributes.get("mode", "constant"))
    indices: dict[int, Sequence[int]] = {}
    for axis, (before, after) in enumerate(pad_amounts(scope, node, shape)):
        if not before and not after:
            continue
        if mode != "constant" and min(before, after) < 0:
            raise Unsupported(f"it cuts off elements in the mode {mode!r}", "cut them off by a Slice before it")
        n = shape[axis]
        at = np.arange(-before, n + after)
        if mode == "constant":
            at = np.where((at < 0) | (at >= n), CONSTANT, at)
        elif mode == "edge":
            at = np.clip(at, 0, n - 1)
        elif mode == "reflect" and max(before, after) < n:
            at = n - 1 - np.abs(n - 1 - np.abs(at))
        elif mode == "wrap":
            at = at % n
        else:
            raise Unsupported(f"it pads {n} elements by {max(before, after)} in the mode {mode!r}", AGAIN)
        indices[axis] = at.tolist()
    return [taken(indices, shape)]


def resized(scope: Scope, node: Node, shape: tuple[int, ...]) -> list[Taken]:
    """The nearest of the input's elements."""
    return [taken(resize(scope, node, shape), shape)]


ALONG_AXES: dict[str, Callable[[Scope, Node, tuple[int, ...]], list[Taken]]] = {
    "Slice": slice_,
    "Split": split,
    "Gather": gather,
    "Tile": tile,
    "Expand": expand,
    "Pad": pad,
    "Resize": resized,
    "Upsample": resized,
}
"""Operator -> what each of its outputs takes."""
