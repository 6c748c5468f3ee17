"""Operators that take elements elsewhere, with random parameters: imported, held against LiteRT, and mapped onto machines.

Concatenations, slices, splits, paddings, transpositions, blocks, nearest neighbours: every one is boxes of a Move.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from test_litert_operators import assert_equal
from tflite_files import FileBuilder

from intaglio.machine.config_files import load_config
from intaglio.network import load_tflite, random_inputs
from intaglio.network.graph import Move
from tests.mapper.mapper_check import check

SCALE, ZERO_POINT = 0.05, -11
SEEDS = range(6)
MACHINES = [
    ("tiny16", []),
    (
        "tiny16",
        [
            "rows=3",
            "cols=5",
            "activation_bytes=1024",
            "activation_banks=2",
            "bus_bytes=4",
            "requantizers=3",
            "memory.bytes_per_cycle=4",
        ],
    ),
    ("edge64", ["activation_bytes=2048", "activation_banks=2"]),
]


class Case:
    """A network of one operator under construction. shape: of its input."""

    def __init__(self, rng: np.random.Generator, rank: int = 4, least: int = 1):
        self.rng = rng
        self.file = FileBuilder()
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.shape = tuple(int(n) for n in rng.integers(least, [4, 8, 8, 12][-rank:], rank))

    def input(self, *shape: int) -> int:
        index = self.tensor(f"x{len(self.inputs)}", shape)
        self.inputs.append(index)
        return index

    def tensor(self, name: str, shape: tuple[int, ...]) -> int:
        return self.file.tensor(name, shape, scale=SCALE, zero_point=ZERO_POINT)

    def constant(self, name: str, values: Any, dtype: Any = np.int32) -> int:
        data = np.asarray(values, dtype)
        quantization = {"scale": SCALE, "zero_point": ZERO_POINT} if dtype == np.int8 else {}
        return self.file.tensor(name, data.shape, dtype, data=data, **quantization)

    def operator(self, code: str, inputs: list[int], shapes: list[Any], options: str = "", **values: Any) -> None:
        self.outputs = [self.tensor(f"y{i}", tuple(int(n) for n in s)) for i, s in enumerate(shapes)]
        self.file.operator(code, inputs, self.outputs, options, **values)

    def write(self, path: Path) -> Path:
        return self.file.write(path, self.inputs, self.outputs)


def concatenation(rng: np.random.Generator) -> Case:
    case = Case(rng, int(rng.integers(1, 5)))
    axis = int(rng.integers(-len(case.shape), len(case.shape)))
    shapes = []
    for _ in range(int(rng.integers(1, 4))):
        shape = list(case.shape)
        shape[axis] = int(rng.integers(1, 9))
        shapes.append(shape)
    sources = [case.input(*shape) for shape in shapes]
    if rng.integers(2):
        sources, shapes = [*sources, sources[0]], [*shapes, shapes[0]]
    whole = list(case.shape)
    whole[axis] = sum(shape[axis] for shape in shapes)
    case.operator("CONCATENATION", sources, [whole], "ConcatenationOptions", axis=axis)
    return case


def pack(rng: np.random.Generator) -> Case:
    case = Case(rng, int(rng.integers(1, 4)))
    axis, count = int(rng.integers(len(case.shape) + 1)), int(rng.integers(1, 4))
    sources = [case.input(*case.shape) for _ in range(count)]
    shape = (*case.shape[:axis], count, *case.shape[axis:])
    case.operator("PACK", sources, [shape], "PackOptions", axis=axis, valuesCount=count)
    return case


def split(rng: np.random.Generator) -> Case:
    case = Case(rng)
    axis, count = int(rng.integers(4)), int(rng.integers(1, 4))
    shape = list(case.shape)
    shape[axis] *= count
    x = case.input(*shape)
    given = case.constant("axis", axis - 4 * int(rng.integers(2)))
    case.operator("SPLIT", [given, x], [case.shape] * count, "SplitOptions", numSplits=count)
    return case


def split_v(rng: np.random.Generator) -> Case:
    case = Case(rng)
    axis = int(rng.integers(4))
    lengths = [int(n) for n in rng.integers(1, 5, 3)]
    shapes = []
    for n in lengths:
        shapes.append([n if a == axis else m for a, m in enumerate(case.shape)])
    x = case.input(*[sum(lengths) if a == axis else m for a, m in enumerate(case.shape)])
    if rng.integers(2):
        lengths[int(rng.integers(3))] = -1
    given = [case.constant("lengths", lengths), case.constant("axis", axis)]
    case.operator("SPLIT_V", [x, *given], shapes, "SplitVOptions", numSplits=3)
    return case


def unpack(rng: np.random.Generator) -> Case:
    case = Case(rng, int(rng.integers(2, 5)))
    axis = int(rng.integers(len(case.shape)))
    shape = case.shape[:axis] + case.shape[axis + 1 :]
    count = case.shape[axis]
    x = case.input(*case.shape)
    case.operator("UNPACK", [x], [shape] * count, "UnpackOptions", axis=axis, num=count)
    return case


def slice_(rng: np.random.Generator) -> Case:
    case = Case(rng, int(rng.integers(1, 5)))
    begins = [int(rng.integers(n)) for n in case.shape]
    sizes = [int(rng.integers(1, n - b + 1)) for n, b in zip(case.shape, begins, strict=True)]
    x = case.input(*case.shape)
    given = [n if rng.integers(3) or b + n != m else -1 for n, b, m in zip(sizes, begins, case.shape, strict=True)]
    case.operator("SLICE", [x, case.constant("begin", begins), case.constant("size", given)], [sizes])
    return case


def strided_slice(rng: np.random.Generator) -> Case:
    while True:
        case = Case(rng, int(rng.integers(1, 5)))
        rank = len(case.shape)
        begins = [int(rng.integers(-n, n)) for n in case.shape]
        ends = [int(rng.integers(-n, n + 1)) for n in case.shape]
        strides = [int(rng.choice([1, 1, 2, 3, -1, -2])) for _ in case.shape]
        masks = dict(
            zip(("beginMask", "endMask", "shrinkAxisMask"), rng.integers(0, 1 << rank, 3).tolist(), strict=True)
        )
        masks["shrinkAxisMask"] &= int(rng.integers(0, 1 << rank))
        strides = [1 if masks["shrinkAxisMask"] >> i & 1 else s for i, s in enumerate(strides)]
        masks["beginMask"] &= ~masks["shrinkAxisMask"]
        chosen: list[Any] = []
        for i, (b, e, s) in enumerate(zip(begins, ends, strides, strict=True)):
            if masks["shrinkAxisMask"] >> i & 1:
                chosen.append(b)
            else:
                chosen.append(
                    slice(None if masks["beginMask"] >> i & 1 else b, None if masks["endMask"] >> i & 1 else e, s)
                )
        shape = np.zeros(case.shape, np.int8)[tuple(chosen)].shape
        if shape and 0 not in shape:
            break
    x = case.input(*case.shape)
    given = [case.constant(n, v) for n, v in (("begin", begins), ("end", ends), ("strides", strides))]
    case.operator("STRIDED_SLICE", [x, *given], [shape], "StridedSliceOptions", **masks)
    return case


def strided_slice_new_axes(rng: np.random.Generator) -> Case:
    """x[:, newaxis, ..., 1:] and the like."""
    case = Case(rng, 3, least=2)
    a, b, c = case.shape
    x = case.input(a, b, c)
    given = [
        case.constant(n, v) for n, v in (("begin", [0, 0, 0, 1]), ("end", [a, 0, 0, c]), ("strides", [1, 1, 1, 1]))
    ]
    options = {"newAxisMask": 0b10, "ellipsisMask": 0b100, "endMask": 0b1000}
    case.operator("STRIDED_SLICE", [x, *given], [(a, 1, b, c - 1)], "StridedSliceOptions", **options)
    return case


def transpose(rng: np.random.Generator) -> Case:
    case = Case(rng, int(rng.integers(2, 5)))
    order = rng.permutation(len(case.shape))
    x = case.input(*case.shape)
    case.operator("TRANSPOSE", [x, case.constant("perm", order)], [[case.shape[i] for i in order]])
    return case


def pad(rng: np.random.Generator) -> Case:
    case = Case(rng, int(rng.integers(1, 5)))
    around = rng.integers(0, 4, (len(case.shape), 2)) * rng.integers(0, 2, (len(case.shape), 1))
    x, given = case.input(*case.shape), case.constant("around", around)
    shape = np.add(case.shape, around.sum(axis=1))
    if rng.integers(2):
        case.operator("PADV2", [x, given, case.constant("value", [int(rng.integers(-128, 128))], np.int8)], [shape])
    else:
        case.operator("PAD", [x, given], [shape])
    return case


def mirror_pad(rng: np.random.Generator) -> Case:
    case = Case(rng, int(rng.integers(1, 5)), least=3)
    around = rng.integers(0, 3, (len(case.shape), 2))
    mode = int(rng.integers(2))
    x, given = case.input(*case.shape), case.constant("around", around)
    case.operator("MIRROR_PAD", [x, given], [np.add(case.shape, around.sum(axis=1))], "MirrorPadOptions", mode=mode)
    return case


def space_to_depth(rng: np.random.Generator) -> Case:
    case = Case(rng)
    n, h, w, c = case.shape
    block = int(rng.integers(1, 4))
    x = case.input(n, h * block, w * block, c)
    case.operator("SPACE_TO_DEPTH", [x], [(n, h, w, c * block**2)], "SpaceToDepthOptions", blockSize=block)
    return case


def depth_to_space(rng: np.random.Generator) -> Case:
    case = Case(rng)
    n, h, w, c = case.shape
    block = int(rng.integers(1, 4))
    x = case.input(n, h, w, c * block**2)
    case.operator("DEPTH_TO_SPACE", [x], [(n, h * block, w * block, c)], "DepthToSpaceOptions", blockSize=block)
    return case


def space_to_batch(rng: np.random.Generator) -> Case:
    case = Case(rng)
    n, h, w, c = case.shape
    block = rng.integers(1, 4, 2)
    around = rng.integers(0, 3, (2, 2))
    around[:, 1] += -(np.array([h, w]) + around.sum(axis=1)) % block
    sizes = (np.array([h, w]) + around.sum(axis=1)) // block
    x = case.input(*case.shape)
    given = [case.constant("block", block), case.constant("around", around)]
    case.operator("SPACE_TO_BATCH_ND", [x, *given], [(n * block.prod(), *sizes, c)], "SpaceToBatchNDOptions")
    return case


def batch_to_space(rng: np.random.Generator) -> Case:
    case = Case(rng, least=2)
    n, h, w, c = case.shape
    block = rng.integers(1, 4, 2)
    crops = rng.integers(0, 2, (2, 2)) * (block[:, None] > 1)
    sizes = np.array([h, w]) * block - crops.sum(axis=1)
    x = case.input(n * int(block.prod()), h, w, c)
    given = [case.constant("block", block), case.constant("crops", crops)]
    case.operator("BATCH_TO_SPACE_ND", [x, *given], [(n, *sizes, c)], "BatchToSpaceNDOptions")
    return case


def resize_nearest(rng: np.random.Generator) -> Case:
    case = Case(rng)
    n, h, w, c = case.shape
    sizes = rng.integers(1, 20, 2) if rng.integers(2) else np.array([h, w]) * int(rng.integers(1, 4))
    corners, half = [(False, False), (True, False), (False, True)][int(rng.integers(3))]
    x = case.input(*case.shape)
    options = {"alignCorners": corners, "halfPixelCenters": half}
    given = case.constant("size", sizes)
    case.operator("RESIZE_NEAREST_NEIGHBOR", [x, given], [(n, *sizes, c)], "ResizeNearestNeighborOptions", **options)
    return case


def tile(rng: np.random.Generator) -> Case:
    case = Case(rng, int(rng.integers(1, 5)))
    times = rng.integers(1, 4, len(case.shape))
    x = case.input(*case.shape)
    case.operator("TILE", [x, case.constant("times", times)], [np.multiply(case.shape, times)], "TileOptions")
    return case


def gather(rng: np.random.Generator) -> Case:
    case = Case(rng)
    axis = int(rng.integers(4))
    indices = rng.integers(0, case.shape[axis], int(rng.integers(1, 6)))
    x = case.input(*case.shape)
    shape = (*case.shape[:axis], len(indices), *case.shape[axis + 1 :])
    case.operator("GATHER", [x, case.constant("indices", indices)], [shape], "GatherOptions", axis=axis)
    return case


def reverse(rng: np.random.Generator) -> Case:
    case = Case(rng)
    x = case.input(*case.shape)
    case.operator("REVERSE_V2", [x, case.constant("axes", [int(rng.integers(4))])], [case.shape], "ReverseV2Options")
    return case


CASES: list[Callable[[np.random.Generator], Case]] = [
    concatenation, pack, split, split_v, unpack, slice_, strided_slice, strided_slice_new_axes, transpose, pad,
    mirror_pad, space_to_depth, depth_to_space, space_to_batch, batch_to_space, resize_nearest, tile, gather, reverse,
]  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", CASES)
def test_against_litert_and_on_machines(tmp_path: Path, make: Callable[[np.random.Generator], Case], seed: int) -> None:
    rng = np.random.default_rng([zlib.crc32(make.__name__.encode()), seed])
    path = make(rng).write(tmp_path / "m.tflite")
    graph = load_tflite(path)
    assert all(isinstance(op, Move) for op in graph.operators)
    assert_equal(path, [random_inputs(graph, seed) for seed in range(2)])
    machine, settings = MACHINES[seed % len(MACHINES)]
    check(graph, load_config(machine, settings), seed=seed)
