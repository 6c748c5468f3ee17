"""Operators that only move elements or rename dimensions, as changes of an order (see `onnx.values`)."""

from __future__ import annotations

import math

import numpy as np

from intaglio.network.onnx.file import Node
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import Stored, Unsupported, identity

MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "DepthToSpace", "SpaceToDepth")


def moved(scope: Scope, node: Node, stored: Stored) -> Stored:
    """The value behind the node: the same elements of the graph, which are copied in another order only where no
    reshape and transposition of them tells the new one."""
    order = move_order(scope, node, stored.order())
    try:
        return stored.moved(order)
    except Unsupported:
        plain = scope.arranged(stored, identity(stored.shape, stored.form.dtype))
        return plain.moved(move_order(scope, node, plain.order()))


def move_order(scope: Scope, node: Node, order: np.ndarray) -> np.ndarray:
    """The order behind the node. order: of its input, int64 of the file's shape."""
    if node.op == "Transpose":
        permutation = tuple(node.attributes.get("perm", range(order.ndim)[::-1]))
        if sorted(permutation) != list(range(order.ndim)):
            raise Unsupported(f"perm {list(permutation)} does not fit {list(order.shape)}", "export the model again")
        return order.transpose(permutation)
    if node.op in ("DepthToSpace", "SpaceToDepth"):
        return _blocks(node, order)
    shape = _shape(scope, node, order.shape)
    if math.prod(shape) != order.size or min(shape, default=1) < 1:
        raise Unsupported(f"{list(order.shape)} does not become {list(shape)}", "export the model again")
    return order.reshape(shape)


def _blocks(node: Node, order: np.ndarray) -> np.ndarray:
    """Channels as blocks of pixels, by DCR or CRD, or blocks of pixels as channels."""
    block, mode = node.attributes.get("blocksize", 0), node.attributes.get("mode", "DCR")
    if order.ndim != 4 or not isinstance(block, int) or block < 1 or mode not in ("DCR", "CRD"):
        reason = f"blocks of {block} ({mode}) of {list(order.shape)}"
        raise Unsupported(reason, "use images [N, C, H, W], blocks of at least 1")
    n, c, h, w = order.shape
    if node.op == "SpaceToDepth":
        if h % block or w % block:
            raise Unsupported(f"blocks of {block} in {h} x {w} pixels", "export the model again")
        parts = order.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
        return parts.reshape(n, c * block * block, h // block, w // block)
    if c % (block * block):
        raise Unsupported(f"blocks of {block} of {c} channels", "export the model again")
    c //= block * block
    if mode == "DCR":
        parts = order.reshape(n, block, block, c, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = order.reshape(n, c, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, c, h * block, w * block)


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
