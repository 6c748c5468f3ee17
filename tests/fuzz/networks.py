"""Networks as people build them, drawn for a machine and within a budget.

A network belongs to a family (residual, mobile, plain, dense, graph, single), which says how often each block comes next:
residual blocks with strided 1x1 shortcuts or pooled ones, bottlenecks, inverted bottlenecks, convolution and pool, branches that
read one tensor two to four times, heads. Any layer may also read an earlier tensor, so tensors get further readers; any
tensor may become an output as well, and inputs may come in later.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from intaglio.machine.config import Config
from tests.fuzz.machines import log_uniform
from tests.fuzz.recipe import FUNCTIONS, BadRecipe, Layer, Recipe, Shape, macs_of, output_shape, pruned, weight_count

LARGEST_SIDE, LARGEST_CHANNELS, MOST_LAYERS = 1920, 2048, 60
LARGEST_SOFTMAX = 1000


@dataclass(frozen=True)
class Budget:
    """What a network may take: layers, MACs, bytes of one tensor and of all as they move, weights; pieces of its plainest
    schedule (pieces_of)."""

    layers: int
    macs: int
    tensor: int
    traffic: int
    weights: int
    pieces: int


SIZES = {
    "tiny": (0.62, 6, 60_000, 1 << 14),
    "small": (0.27, 16, 1_000_000, 1 << 17),
    "medium": (0.085, 60, 8_000_000, 1 << 20),
    "large": (0.025, 60, 50_000_000, 12 << 20),
}
"""Share, layers, MACs, bytes of a tensor."""
MOST_PIECES = 2000
"""About as many commands of each engine has the plainest schedule; what takes more takes its time by right."""


def draw_budget(rng: np.random.Generator, searching: bool, sizes: Sequence[str]) -> Budget:
    """searching: by other ways than cycles alone, which take seconds for what else takes a tenth: a quarter of it all. sizes:
    of SIZES."""
    odds = np.array([SIZES[name][0] for name in sizes])
    _, layers, macs, tensor = SIZES[str(rng.choice(list(sizes), p=odds / odds.sum()))]
    less = 4 if searching else 1
    pieces = log_uniform(rng, 100, MOST_PIECES) // less
    return Budget(max(6, layers // less), macs, tensor, 12 * tensor, max(macs, 4096), pieces)


def pieces_of(config: Config, layer: Layer, sources: Sequence[Shape], output: Shape) -> int:
    """Commands of one engine in about the plainest schedule: pieces of the tensors that fit on chip, for convolutions and dense
    layers times the tiles of channels, and times the parts of a tile's weights where they do not fit; and the parts of each pixel's
    window where that does not fit, which are shorter work: a tenth."""
    moved = sum(padded_bytes(config, shape) for shape in (*sources, output))
    pieces = -(-2 * moved // config.activation_bytes)
    if layer.kind in ("average", "maximum", "mean"):
        window = sources[0][1:3] if layer.kind == "mean" else layer["kernel"]
        parts = -(-2 * math.prod(window) * sources[0][3] // config.activation_bytes)
        return max(pieces, math.prod(output) // output[-1] * parts // 10 if parts > 1 else 0)
    if layer.kind not in ("conv", "dense"):
        return pieces
    outputs, steps = layer["outputs"], weight_count(layer, sources[0]) // layer["outputs"]
    if layer.kind == "conv":  # a tile of a grouped one takes all channels that its groups need
        read = steps // math.prod(layer["kernel"])
        steps = math.prod(layer["kernel"]) * min(sources[0][3], read * max(1, config.cols * layer["groups"] // outputs))
    parts = -(-steps * config.weight_word_bytes // config.weight_bytes)
    pixels = math.prod(output) // outputs
    if parts > 1:
        pieces = max(pieces, -(-pixels // max(1, config.partial_words // config.channel_groups)))
    return pieces * parts * -(-outputs // config.cols)


def padded_bytes(config: Config, shape: Shape) -> int:
    """With rows padded to the bus."""
    row = math.prod(shape[2:]) if len(shape) == 4 else shape[-1]
    return math.prod(shape) // row * (row + -row % config.bus_bytes)


FAMILIES: dict[str, tuple[float, dict[str, float]]] = {
    "residual": (0.17, {"residual": 6, "bottleneck": 2, "conv": 1, "pool": 0.7}),
    "mobile": (0.15, {"inverted": 6, "separable": 3, "conv": 1, "pool": 0.3}),
    "plain": (0.13, {"conv": 6, "pool": 2, "grouped": 1, "rescale": 0.3}),
    "parts": (
        0.15,
        {
            "split": 3,
            "dense_block": 3,
            "conv": 2,
            "shuffle": 1,
            "pad": 1,
            "twice": 0.5,
            "table": 2,
            "residual": 1,
            "pool": 0.5,
        },
    ),
    "dense": (0.08, {"dense": 6, "rescale": 1, "add": 2}),
    "graph": (
        0.20,
        {
            "conv": 3,
            "split": 0.5,
            "dense_block": 0.5,
            "table": 0.5,
            "grouped": 2,
            "pool": 2,
            "add": 3,
            "residual": 2,
            "branches": 2,
            "rescale": 1,
            "relu": 1,
            "reshape": 0.7,
            "mean": 0.3,
            "dense": 0.5,
            "input": 0.7,
            "inverted": 1,
        },
    ),
    "single": (
        0.12,
        {
            "conv": 4,
            "grouped": 3,
            "pool": 3,
            "dense": 2,
            "add": 1,
            "mean": 1,
            "rescale": 0.5,
            "relu": 0.5,
            "reshape": 0.5,
        },
    ),
}
"""Share, and odds of the next block."""


def draw_network(
    rng: np.random.Generator, config: Config, seed: int, searching: bool = False, sizes: Sequence[str] = tuple(SIZES)
) -> Recipe:
    """seed: of the recipe's weights. searching, sizes: see draw_budget."""
    return _Sketch(rng, draw_budget(rng, searching, sizes), config, seed).recipe()


class _Sketch:
    """A network under construction. x: the newest tensor's name."""

    def __init__(self, rng: np.random.Generator, budget: Budget, config: Config, seed: int):
        self.rng, self.budget, self.config, self.seed = rng, budget, config, seed
        self.shapes: dict[str, Shape] = {}
        self.inputs: dict[str, Shape] = {}
        self.layers: list[Layer] = []
        self.macs = self.traffic = self.weights = self.pieces = 0
        families = list(FAMILIES)
        self.family = str(rng.choice(families, p=[FAMILIES[name][0] for name in families]))
        self.style = str(rng.choice(["tflite", "uint8", "onnx"], p=[0.55, 0.1, 0.35]))
        self.batch = int(rng.choice([1, 2, 3, 4, 8], p=[0.85, 0.06, 0.04, 0.03, 0.02]))
        self.usual = bool(rng.random() < 0.6)  # channels that people choose: multiples of 8, doubled now and then
        self.x = ""
        self.edge = ""

    def recipe(self) -> Recipe:
        self.x = self._first()
        odds = FAMILIES[self.family][1]
        if self.family in ("residual", "mobile", "plain") and self.shapes[self.x][3] < 8 and self._happens(0.8):
            self._stem()
        wanted = 1 if self.family == "single" else log_uniform(self.rng, 1, self.budget.layers)
        for _ in range(4 * wanted):
            if len(self.layers) >= wanted:
                break
            self._block(odds)
            if self._happens(0.1) and self.layers:  # another reader for an earlier tensor
                self.x = self._pick([name for name in self.shapes if name != self.edge])
        if self.family in ("residual", "mobile", "plain") and self._happens(0.6):
            self._head()
        if all(layer.kind == "quantize" for layer in self.layers):  # nothing fitted the budget
            self._append(Layer("rescale", "rescale", (self.x,), {}))
        return self._finished()

    def _finished(self) -> Recipe:
        read = {name for layer in self.layers for name in layer.inputs}
        made = [layer.name for layer in self.layers if layer.kind != "quantize"]
        loose = [name for name in made if name not in read]
        outputs = loose if self._happens(0.5) else loose[-1:]
        for _ in range(int(self.rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1]))):
            outputs = [*outputs, self._pick(made)]
        outputs = list(dict.fromkeys(outputs))
        recipe = pruned(Recipe(self.seed, self.style, self.inputs, tuple(self.layers), tuple(outputs)), outputs)
        return self._with_edge(recipe) if self._happens(0.15) else recipe

    def _with_edge(self, recipe: Recipe) -> Recipe:
        """Softmax and Dequantize behind outputs, each alone or both."""
        layers, outputs = list(recipe.layers), []
        for name in recipe.outputs:
            kinds = ["dequantize"] if self._happens(0.7) else []
            if len(self.shapes[name]) == 2 and self.shapes[name][1] <= LARGEST_SOFTMAX and self._happens(0.6):
                kinds = ["softmax", *kinds]
            for kind in kinds:
                layers.append(Layer(f"{kind}_of_{name}", kind, (name,), {}))
                name = layers[-1].name
            outputs.append(name)
        return Recipe(recipe.seed, recipe.style, recipe.inputs, tuple(layers), tuple(outputs))

    # Blocks: each appends layers to x, or to another tensor, as far as the budget allows.

    def _block(self, odds: dict[str, float]) -> None:
        blocks: dict[str, Callable[[], Any]] = {
            "conv": self._conv,
            "grouped": self._grouped,
            "pool": self._pool,
            "add": self._add,
            "dense": self._dense,
            "rescale": lambda: self._add_layer("rescale", (self.x,), {}),
            "relu": lambda: self._add_layer("relu", (self.x,), {}),
            "reshape": self._reshape,
            "mean": self._mean,
            "input": self._further_input,
            "residual": self._residual,
            "bottleneck": self._bottleneck,
            "inverted": self._inverted,
            "separable": self._separable,
            "branches": self._branches,
            "split": self._split,
            "dense_block": self._dense_block,
            "shuffle": self._shuffle,
            "pad": self._pad,
            "twice": lambda: self._add_layer("twice", (self.x,), {"axis": self._pick([1, 2])}),
            "table": self._table,
        }
        names = list(odds)
        if len(self.shapes[self.x]) == 2:
            names = [name for name in names if name in ("dense", "add", "rescale", "relu", "reshape", "table")] or [
                "dense"
            ]
        weights = np.array([odds.get(name, 1.0) for name in names])
        blocks[str(self.rng.choice(names, p=weights / weights.sum()))]()

    def _stem(self) -> None:
        """From a picture's channels to a network's."""
        width = self._pick([8, 16, 16, 24, 32, 64])
        kernel = self._pick([(3, 3), (3, 3), (7, 7), (5, 5)])
        while width > 1 and not self._conv_of(self.x, width, kernel, self._pick([(1, 1), (2, 2)])):
            width //= 2

    def _residual(self) -> None:
        """Two convolutions and an Add; at a stride or a new width with a 1x1 (or pooled) shortcut."""
        begin, shape = self.x, self.shapes[self.x]
        stride = self._pick([(1, 1), (1, 1), (1, 1), (2, 2)]) if min(shape[1:3]) > 1 else (1, 1)
        width = shape[3] if stride == (1, 1) and self._happens(0.7) else self._width(shape[3])
        kernel = self._pick([(3, 3), (3, 3), (3, 3), (5, 5), (1, 1)])
        y = self._conv_of(begin, width, kernel, stride)
        y = y and self._conv_of(y, width, kernel, (1, 1))
        self._join(begin, y, width, stride)

    def _bottleneck(self) -> None:
        begin, shape = self.x, self.shapes[self.x]
        stride = self._pick([(1, 1), (1, 1), (2, 2)]) if min(shape[1:3]) > 1 else (1, 1)
        width = shape[3] if stride == (1, 1) and self._happens(0.7) else self._width(shape[3])
        inner = max(min(width, 4), width // 4)
        y = self._conv_of(begin, inner, (1, 1), (1, 1))
        y = y and self._conv_of(y, inner, (3, 3), stride)
        y = y and self._conv_of(y, width, (1, 1), (1, 1))
        self._join(begin, y, width, stride)

    def _join(self, begin: str, y: str, width: int, stride: tuple[int, int]) -> None:
        """The Add of a block and its shortcut."""
        if not y:
            self._conv()
            return
        shortcut = begin
        if self.shapes[begin] != self.shapes[y]:
            if stride != (1, 1) and self._happens(0.2):
                shortcut = self._window("average", begin, stride, stride, "SAME") or begin
                shortcut = self._conv_of(shortcut, width, (1, 1), (1, 1))
            else:
                shortcut = self._conv_of(begin, width, (1, 1), stride)
        if shortcut and self.shapes[shortcut] == self.shapes[y]:
            operands = (y, shortcut) if self._happens(0.5) else (shortcut, y)
            self._add_layer("add", operands, {})
            if self._happens(0.1):
                self._add_layer("relu", (self.x,), {})

    def _inverted(self) -> None:
        """Expansion, depthwise, projection; an Add where the shape stays."""
        begin, shape = self.x, self.shapes[self.x]
        stride = self._pick([(1, 1), (1, 1), (2, 2)]) if min(shape[1:3]) > 1 else (1, 1)
        expand = self._pick([1, 2, 3, 6])
        width = shape[3] if stride == (1, 1) and self._happens(0.7) else self._width(shape[3])
        y = self._conv_of(begin, min(LARGEST_CHANNELS, shape[3] * expand), (1, 1), (1, 1)) if expand > 1 else begin
        y = y and self._depthwise(y, self._pick([(3, 3), (3, 3), (5, 5)]), stride)
        y = y and self._conv_of(y, width, (1, 1), (1, 1))
        if y and self.shapes[y] == shape and y != begin:
            self._add_layer("add", (begin, y) if self._happens(0.5) else (y, begin), {})

    def _separable(self) -> None:
        stride = self._pick([(1, 1), (1, 1), (2, 2)])
        y = self._depthwise(self.x, (3, 3), stride)
        if y:
            self._conv_of(y, self._width(self.shapes[y][3]), (1, 1), (1, 1))

    def _branches(self) -> None:
        """Two to four readers of one tensor, their results added in turn where their shapes agree."""
        begin, shape = self.x, self.shapes[self.x]
        ends = []
        for _ in range(int(self.rng.integers(2, 5))):
            kind = self._pick(["conv", "depthwise", "pool", "rescale", "nothing"])
            made: str = begin
            if kind == "conv":
                made = self._conv_of(begin, shape[3], self._pick([(1, 1), (3, 3)]), (1, 1))
            elif kind == "depthwise":
                made = self._depthwise(begin, (3, 3), (1, 1))
            elif kind == "pool":
                made = self._window(self._pick(["average", "maximum"]), begin, (3, 3), (1, 1), "SAME")
            elif kind == "rescale":
                made = self._add_layer("rescale", (begin,), {})
            if made:
                ends.append(made)
        while len(ends) > 1 and self.shapes[ends[0]] == self.shapes[ends[1]]:
            total = self._add_layer("add", (ends[0], ends[1]), {})
            if not total:
                break
            ends = [total, *ends[2:]]

    def _split(self) -> None:
        """Two parts along an axis, the second through a convolution, put together again, as ShuffleNet and CSP blocks have it."""
        begin, shape = self.x, self.shapes[self.x]
        axis = self._pick([3, 3, 3, 1, 2])
        if shape[axis] < 2:
            return
        cut = self._pick([shape[axis] // 2, int(self.rng.integers(1, shape[axis]))])
        first = self._add_layer("slice", (begin,), {"axis": axis, "first": 0, "count": cut, "step": 1})
        rest = {"axis": axis, "first": cut, "count": shape[axis] - cut, "step": 1}
        second = self._add_layer("slice", (begin,), rest)
        made = second and self._conv_of(second, self.shapes[second][3], self._pick([(1, 1), (3, 3)]), (1, 1), begin)
        if first and made:
            self._add_layer("concat", (first, made) if self._happens(0.7) else (made, first), {"axis": axis})

    def _dense_block(self) -> None:
        """Convolutions that each read all before them."""
        begin = self.x
        for _ in range(int(self.rng.integers(1, 4))):
            before = self.x
            made = self._conv_of(before, self._pick([4, 8, 12, 16]), self._pick([(1, 1), (3, 3)]), (1, 1), begin)
            if not made or not self._add_layer("concat", (before, made), {"axis": 3}):
                return

    def _shuffle(self) -> None:
        channels = self.shapes[self.x][3]
        self._add_layer("shuffle", (self.x,), {"groups": self._pick([g for g in (2, 3, 4, 1) if channels % g == 0])})

    def _pad(self) -> None:
        before, after = self.rng.integers(0, 3, 2).tolist()
        self._add_layer("pad", (self.x,), {"axis": self._pick([1, 2, 3]), "before": before, "after": after})

    def _table(self) -> None:
        if self.config.tables:
            self._add_layer("table", (self.x,), {"function": self._pick(FUNCTIONS)})

    def _conv(self) -> None:
        """A convolution with anything in it; where that is too much, a 1x1 or nothing."""
        shape = self.shapes[self.x]
        kernel = self._pair((1, 2, 3, 4, 5, 7, 11), (5, 1, 8, 1, 2, 1, 0.3))
        stride = self._pair((1, 2, 3, 4, 5), (6, 4, 1, 0.5, 0.2))
        dilation = self._pair((1, 2, 3, 6), (8, 1, 0.5, 0.3))
        width = self._width(shape[3])
        if not self._general(self.x, kernel, stride, dilation, width, 1):
            while width > 1 and not self._conv_of(self.x, width, (1, 1), stride):
                width //= 8

    def _grouped(self) -> None:
        """Depthwise, with a channel multiplier, or groups."""
        channels = self.shapes[self.x][3]
        kernel = self._pair((1, 2, 3, 4, 5, 7), (1, 1, 8, 1, 3, 1))
        stride = self._pair((1, 2, 3, 4), (6, 4, 1, 0.5))
        dilation = self._pair((1, 2, 3, 5), (7, 1, 0.5, 0.2))
        if self._happens(0.75):
            groups, multiplier = channels, self._pick([1, 1, 1, 1, 2, 3, 8])
        else:
            groups = self._pick([n for n in range(1, min(channels, 64) + 1) if channels % n == 0])
            multiplier = log_uniform(self.rng, 1, 16)
        self._general(
            self.x, kernel, stride, dilation, min(groups * multiplier, LARGEST_CHANNELS // groups * groups), groups
        )

    def _general(
        self,
        source: str,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
        width: int,
        groups: int,
    ) -> str:
        """Any padding that leaves an output."""
        shape = self.shapes[source]
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        padding: Any = "SAME"
        if self._happens(0.35) and all(span <= n for span, n in zip(spans, shape[1:3], strict=True)):
            padding = "VALID"
        elif self._happens(0.25):
            padding = tuple(int(self.rng.integers(0, span)) for span in (spans[0], spans[0], spans[1], spans[1]))
        options = {
            "outputs": width,
            "kernel": kernel,
            "stride": stride,
            "dilation": dilation,
            "padding": padding,
            "groups": groups,
        }
        return self._add_layer("conv", (source,), options)

    def _conv_of(
        self, source: str, width: int, kernel: tuple[int, int], stride: tuple[int, int], like: str = ""
    ) -> str:
        """One of SAME padding; "" where the budget does not allow it. like: a tensor of the same scale."""
        options = {
            "outputs": width,
            "kernel": kernel,
            "stride": stride,
            "dilation": (1, 1),
            "padding": "SAME",
            "groups": 1,
            **({"like": like} if like else {}),
        }
        return self._add_layer("conv", (source,), options)

    def _depthwise(self, source: str, kernel: tuple[int, int], stride: tuple[int, int]) -> str:
        channels = self.shapes[source][3]
        options = {
            "outputs": channels,
            "kernel": kernel,
            "stride": stride,
            "dilation": (1, 1),
            "padding": "SAME",
            "groups": channels,
        }
        return self._add_layer("conv", (source,), options)

    def _pool(self) -> None:
        shape = self.shapes[self.x]
        kernel = self._pair((1, 2, 3, 4, 5, 7), (0.5, 5, 4, 1, 1, 1))
        if self._happens(0.15):
            kernel = (shape[1], shape[2])
        stride = self._pair((1, 2, 3, 4), (3, 6, 1, 0.5)) if self._happens(0.8) else kernel
        padding: Any = "SAME" if self._happens(0.5) else "VALID"
        if padding == "VALID":
            kernel = (min(kernel[0], shape[1]), min(kernel[1], shape[2]))
        elif self._happens(0.2):
            padding = tuple(
                int(self.rng.integers(0, (k + 1) // 2)) for k in (kernel[0], kernel[0], kernel[1], kernel[1])
            )
        kind = self._pick(["average", "maximum"])
        dilation = (
            self._pick([(1, 1), (1, 1), (1, 1), (2, 1), (2, 2)])
            if kind == "maximum" and self.style == "onnx"
            else (1, 1)
        )
        self._window(kind, self.x, kernel, stride, padding, dilation)

    def _window(
        self,
        kind: str,
        source: str,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: Any,
        dilation: tuple[int, int] = (1, 1),
    ) -> str:
        options = {"kernel": kernel, "stride": stride, "padding": padding}
        return self._add_layer(kind, (source,), options | ({"dilation": dilation} if kind == "maximum" else {}))

    def _add(self) -> None:
        """With an earlier tensor of the same shape, itself now and then; else a rescaled one."""
        shape = self.shapes[self.x]
        others = [name for name in self.shapes if name != self.x and self.shapes[name] == shape and name != self.edge]
        if self._happens(0.08):
            others = [self.x]
        other = self._pick(others) if others else self._add_layer("rescale", (self.x,), {})
        first = next(reversed([name for name in self.shapes if self.shapes[name] == shape]))
        if other:
            self._add_layer("add", (first, other) if self._happens(0.5) else (other, first), {})

    def _dense(self) -> None:
        pixels = len(self.shapes[self.x]) == 4 and self._happens(0.15)
        units = self._width(self.shapes[self.x][-1])
        while units and not self._add_layer("dense", (self.x,), {"outputs": units, "pixels": pixels}):
            units //= 4

    def _mean(self) -> None:
        self._add_layer("mean", (self.x,), {"keep": bool(self.rng.integers(2))})

    def _reshape(self) -> None:
        kinds = ["flat", "row", "column", "pixel"] if len(self.shapes[self.x]) == 4 else ["flat", "pixel"]
        self._add_layer("reshape", (self.x,), {"to": self._pick(kinds)})

    def _head(self) -> None:
        kind = self._pick(["mean", "pool", "flat", "direct"])
        if kind == "mean":
            self._mean()
        elif kind == "pool":
            size = self.shapes[self.x][1:3]
            self._window("average", self.x, size, (1, 1), "VALID")
        elif kind == "flat":
            self._add_layer("reshape", (self.x,), {"to": "flat"})
        for _ in range(int(self.rng.integers(1, 3))):
            self._dense()

    # Inputs.

    def _first(self) -> str:
        name = self._input()
        if self._happens(0.12):  # a float input before a Quantize
            self.edge = name
            return self._append(Layer("quantized", "quantize", (name,), {}))
        return name

    def _further_input(self) -> None:
        """Another picture, or one of the newest tensor's shape to add to it."""
        if self._happens(0.5):
            name = self._named("in", self.shapes[self.x])
            self._add_layer("add", (self.x, name), {})
        else:
            self.x = self._input()

    def _input(self) -> str:
        if self.family == "dense":
            return self._named("in", (self.batch, self._channels(self.budget.tensor // self.batch)))
        tensor = min(self.budget.tensor, self.budget.pieces * self.config.activation_bytes // 8)
        room = max(1, tensor // self.batch)
        if self._happens(0.35):  # a picture
            channels = self._pick([1, 3, 3, 3, 4])
            rows = log_uniform(self.rng, 1, max(1, min(LARGEST_SIDE, room // channels)))
            cols = log_uniform(self.rng, 1, max(1, min(LARGEST_SIDE, room // channels // rows)))
            if self._happens(0.5):  # of an aspect that pictures have
                rows = max(1, min(rows, round(math.sqrt(room // channels))))
                cols = max(
                    1,
                    min(
                        round(rows * self.rng.choice([1, 4 / 3, 16 / 9, 0.75])), room // channels // rows, LARGEST_SIDE
                    ),
                )
        else:  # from somewhere inside a network
            channels = self._channels(room)
            side = max(1, min(LARGEST_SIDE, int(math.sqrt(room // channels)) * 2))
            rows = log_uniform(self.rng, 1, min(side, max(1, room // channels)))
            cols = rows if self._happens(0.6) else log_uniform(self.rng, 1, side)
            cols = max(1, min(cols, room // channels // rows))
        return self._named("in", (self.batch, rows, cols, channels))

    def _named(self, kind: str, shape: Shape) -> str:
        name = f"{kind}{len(self.inputs)}"
        self.inputs[name] = self.shapes[name] = shape
        return name

    def _channels(self, room: int) -> int:
        count = log_uniform(self.rng, 1, max(1, min(LARGEST_CHANNELS, room)))
        return max(8, count // 8 * 8) if self.usual and room >= 8 else count

    def _width(self, before: int) -> int:
        """The next layer's channels."""
        if self._happens(0.5):
            factor = float(self.rng.choice([0.5, 1, 1, 2, 4]))
            return int(min(LARGEST_CHANNELS, max(1, before * factor)))
        return self._channels(min(LARGEST_CHANNELS, 8 * before + 16) if self._happens(0.9) else LARGEST_CHANNELS)

    # The budget.

    def _add_layer(self, kind: str, inputs: Sequence[str], options: dict[str, Any]) -> str:
        """Appends it and makes it x; "" where it does not fit its inputs or the budget."""
        layer = Layer(f"{kind}{len(self.layers)}", kind, tuple(inputs), options)
        sources = [self.shapes[name] for name in inputs]
        try:
            shape = output_shape(layer, sources)
        except BadRecipe:
            return ""
        macs, weights = macs_of(layer, sources, shape), weight_count(layer, sources[0])
        traffic = sum(padded_bytes(self.config, s) for s in (*sources, shape))
        pieces = pieces_of(self.config, layer, sources, shape)
        if (
            len(self.layers) >= MOST_LAYERS
            or padded_bytes(self.config, shape) > 2 * self.budget.tensor
            or self.macs + macs > self.budget.macs
            or self.weights + weights > self.budget.weights
            or self.traffic + traffic > self.budget.traffic
            or self.pieces + pieces > self.budget.pieces
        ):
            return ""
        self.macs, self.weights = self.macs + macs, self.weights + weights
        self.traffic, self.pieces = self.traffic + traffic, self.pieces + pieces
        return self._append(layer)

    def _append(self, layer: Layer) -> str:
        self.layers.append(layer)
        self.shapes[layer.name] = output_shape(layer, [self.shapes[name] for name in layer.inputs])
        self.x = layer.name
        return layer.name

    # Odds.

    def _happens(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def _pick(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def _pair(self, values: Sequence[int], odds: Sequence[float]) -> tuple[int, int]:
        """Two of values, equal four times in five."""
        p = np.array(odds) / sum(odds)
        first, second = self.rng.choice(values, 2, p=p).tolist()
        return first, (first if self._happens(0.8) else second)
