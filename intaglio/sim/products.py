"""Matrix products of small integers, compiled: exact, and for matrices of any shape as fast as for large ones.

Operands have 16 bits, sums wrap at 32. Two steps are taken at once: x86's PMADDWD multiplies pairs of 16-bit numbers and
adds the two products (Intel, "64 and IA-32 Architectures Software Developer's Manual", volume 2B), and other processors get
the same as plain arithmetic. A block of ROWS x WIDTH sums stays in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from intaglio.compiled import compiled

WIDTH = 16
"""Columns of a panel of weights."""
ROWS = 6
"""Rows of a block: its sums, a row of weights and an input fill the 16 registers of AVX2."""
LEAST_ROWS = 2
"""Rows come in multiples of it."""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_SUMS = ir.VectorType(_I32, WIDTH)
_PAIRS = ir.VectorType(_I16, 2 * WIDTH)


def _choose(builder: Any, vector: Any, lanes: Any) -> Any:
    mask = ir.Constant(ir.VectorType(_I32, len(lanes)), list(lanes))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _add_pairs(context: Any, builder: Any, a: Any, b: Any) -> Any:
    """a[2i] * b[2i] + a[2i + 1] * b[2i + 1], 32 bits, of vectors of 2 * WIDTH numbers of 16 bits."""
    if "+avx2" in context.codegen().magic_tuple()[2].split(","):
        half, eight = ir.VectorType(_I16, 16), ir.VectorType(_I32, 8)
        madd = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(eight, [half, half]), "llvm.x86.avx2.pmadd.wd"
        )
        low, high = (builder.call(madd, [_choose(builder, v, range(at, at + 16)) for v in (a, b)]) for at in (0, 16))
        return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(_I32, 16), list(range(16))))
    even, odd = (
        builder.mul(*(builder.sext(_choose(builder, v, range(at, 2 * WIDTH, 2)), _SUMS) for v in (a, b)))
        for at in (0, 1)
    )
    return builder.add(even, odd)


def _block(rows: int) -> Any:
    """sums[r, c] += the products of `pairs` pairs of steps, for `rows` rows and WIDTH columns. All but the last argument are
    addresses, and strides in elements."""

    @intrinsic
    def block(typing: Any, inputs: Any, stride: Any, weights: Any, sums: Any, sums_stride: Any, pairs: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            inputs, stride, weights, sums, sums_stride, pairs = arguments

            def row(base: Any, stride: Any, r: int, bytes_each: int, kind: Any) -> Any:
                at = builder.add(base, builder.mul(stride, ir.Constant(_I64, r * bytes_each)))
                return builder.inttoptr(at, kind.as_pointer())

            input_rows = [row(inputs, stride, r, 2, _I32) for r in range(rows)]  # a pair is 32 bits
            panel = builder.inttoptr(weights, _PAIRS.as_pointer())
            entry = builder.block
            loop, end = builder.append_basic_block("pairs"), builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            step = builder.phi(_I64)
            held = [builder.phi(_SUMS) for _ in range(rows)]
            weight = builder.load(builder.gep(panel, [step]), align=2)
            next_held = []
            for pointer, total in zip(input_rows, held, strict=True):
                pair = builder.load(builder.gep(pointer, [step]), align=2)
                one = builder.insert_element(ir.Constant(_SUMS, ir.Undefined), pair, ir.Constant(_I32, 0))
                everywhere = builder.bitcast(_choose(builder, one, [0] * WIDTH), _PAIRS)
                next_held.append(builder.add(total, _add_pairs(context, builder, everywhere, weight)))
            next_step = builder.add(step, ir.Constant(_I64, 1))
            step.add_incoming(ir.Constant(_I64, 0), entry)
            step.add_incoming(next_step, loop)
            for total, next_total in zip(held, next_held, strict=True):
                total.add_incoming(ir.Constant(_SUMS, None), entry)
                total.add_incoming(next_total, loop)
            builder.cbranch(builder.icmp_signed("<", next_step, pairs), loop, end)
            builder.position_at_end(end)
            for r, total in enumerate(next_held):
                pointer = row(sums, sums_stride, r, 4, _SUMS)
                builder.store(builder.add(builder.load(pointer, align=4), total), pointer, align=4)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 6), generate

    return block


_rows, _least_rows = _block(ROWS), _block(LEAST_ROWS)


@intrinsic
def _interleave(typing: Any, target: Any, even: Any, odd: Any, minus: Any) -> Any:
    """target int16 [WIDTH, 2] of even and odd int8 [WIDTH], each less `minus`. All but the last argument are addresses."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, even, odd, minus = arguments
        narrow, wide = ir.VectorType(ir.IntType(8), WIDTH), ir.VectorType(_I16, WIDTH)
        one = builder.insert_element(ir.Constant(wide, ir.Undefined), builder.trunc(minus, _I16), ir.Constant(_I32, 0))
        less = _choose(builder, one, [0] * WIDTH)
        a, b = (
            builder.sub(builder.sext(builder.load(builder.inttoptr(at, narrow.as_pointer()), align=1), wide), less)
            for at in (even, odd)
        )
        order = [i // 2 + WIDTH * (i % 2) for i in range(2 * WIDTH)]
        both = builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, 2 * WIDTH), order))
        builder.store(both, builder.inttoptr(target, _PAIRS.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.int64), generate


@compiled(error_model="numpy")
def pack(words: np.ndarray, count: int, minus: int, target: np.ndarray) -> None:
    """Writes `count` <= WIDTH columns of a panel of weights.

    words: int8 [steps, bytes of a word], of which the first `count` columns are taken, each less minus (-128 to 127).
    target: int16 [pairs, count or more, 2], zeros, as multiply's weights; a last odd step is left alone.
    """
    steps = words.shape[0]
    for pair in range(steps // 2):
        if count == WIDTH:
            _interleave(target[pair].ctypes.data, words[2 * pair].ctypes.data, words[2 * pair + 1].ctypes.data, minus)
        else:
            for i in range(count):
                target[pair, i, 0] = words[2 * pair, i] - minus
                target[pair, i, 1] = words[2 * pair + 1, i] - minus
    if steps % 2:
        for i in range(count):
            target[steps // 2, i, 0] = words[steps - 1, i] - minus


@compiled(error_model="numpy", nogil=True)
def multiply(inputs: np.ndarray, weights: np.ndarray, sums: np.ndarray) -> None:
    """sums += inputs x weights. All are contiguous.

    inputs: int16 [rows, 2 * pairs]; rows a multiple of LEAST_ROWS, pairs at least 1. weights: int16 [panels, pairs, WIDTH, 2],
    element [p, s, c, i] for step 2 * s + i and column p * WIDTH + c. sums: int32 [rows, panels * WIDTH].
    """
    rows, steps = inputs.shape
    whole = rows - rows % ROWS
    for panel in range(weights.shape[0]):
        column = panel * WIDTH
        start = weights[panel].ctypes.data
        for row in range(0, whole, ROWS):
            _rows(inputs[row].ctypes.data, steps, start, sums[row, column:].ctypes.data, sums.shape[1], steps // 2)
        for row in range(whole, rows, LEAST_ROWS):
            _least_rows(
                inputs[row].ctypes.data, steps, start, sums[row, column:].ctypes.data, sums.shape[1], steps // 2
            )
