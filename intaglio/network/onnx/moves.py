"""Operators that only move elements or rename dimensions, as changes of an order (see `onnx.values`)."""

from __future__ import annotations

import math

import numpy as np

from intaglio.network.onnx.file import Node
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import Stored, Unsupported

MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")


def moved(scope: Scope, node: Node, stored: Stored) -> Stored:
    """The value behind the node."""
    return stored.moved(move_order(scope, node, stored.order()))


def move_order(scope: Scope, node: Node, order: np.ndarray) -> np.ndarray:
    """The order behind the node. order: of its input, int64 of the file's shape."""
    if node.op == "Transpose":
        permutation = tuple(node.attributes.get("perm", range(order.ndim)[::-1]))
        if sorted(permutation) != list(range(order.ndim)):
            raise Unsupported(f"perm {list(permutation)} does not fit {list(order.shape)}", "export the model again")
        return order.transpose(permutation)
    shape = _shape(scope, node, order.shape)
    if math.prod(shape) != order.size or min(shape, default=1) < 1:
        raise Unsupported(f"{list(order.shape)} does not become {list(shape)}", "export the model again")
    return order.reshape(shape)


def _shape(scope: Scope, node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    rank = len(shape)
    if node.op == "Flatten":
        axis = int(node.attributes.get("axis", 1))
        if not -rank <= axis <= rank:
            raise Unsupported(f"axis {axis} of {list(shape)}", "export the model again")
        axis += rank if axis < 0 else 0
        return math.prod(shape[:axis]), math.prod(shape[axis:])
    if node.op == "Reshape":
        return _reshape(node, scope.integers(node, "shape", 1) or (), shape)
    axes = scope.integers(node, "axes", 1)
    if node.op == "Squeeze":
        named = {i for i, n in enumerate(shape) if n == 1} if axes is None else {a % rank for a in axes if rank}
        if any(shape[a] != 1 for a in named):
            raise Unsupported(f"axes {sorted(named)} of {list(shape)} are not 1", "export the model again")
        return tuple(n for i, n in enumerate(shape) if i not in named)
    new = rank + len(axes or ())
    places = {a % new for a in axes or ()}
    if len(places) != len(axes or ()) or any(not -new <= a < new for a in axes or ()):
        raise Unsupported(f"axes {list(axes or ())} of {list(shape)}", "export the model again")
    rest = iter(shape)
    return tuple(1 if i in places else next(rest) for i in range(new))


def _reshape(node: Node, target: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """ONNX's Reshape: 0 copies a dimension (unless allowzero), one -1 follows from the rest."""
    if not node.attributes.get("allowzero", 0):
        if any(n == 0 and i >= len(shape) for i, n in enumerate(target)):
            raise Unsupported(f"{list(shape)} does not become {list(target)}", "export the model again")
        target = tuple(shape[i] if n == 0 else n for i, n in enumerate(target))
    if target.count(-1) > 1 or any(n < -1 for n in target):
        raise Unsupported(f"{list(shape)} does not become {list(target)}", "export the model again")
    known = math.prod(n for n in target if n != -1)
    if -1 in target and (known == 0 or math.prod(shape) % known):
        raise Unsupported(f"{list(shape)} does not become {list(target)}", "export the model again")
    return tuple(math.prod(shape) // known if n == -1 else n for n in target)
