"""onnxruntime's QLinearAdd in integers: multipliers and a bias that give its result for all 65,536 pairs.

onnxruntime adds in float32 (`core/mlas/lib/intrinsics/avx2/qladd_avx2.cpp`):
    fixed = zc - fma(sa/sc, za, sb/sc * zb);  r = fma(a, sa/sc, fma(b, sb/sc, fixed));  c = saturate(rint(r))
with a and b as the file holds them. Its result is a function of 256 x 256 pairs, so it is tabulated, and the
integers of `graph.Add` are searched until they agree with the table everywhere. The output's zero point goes into
the bias, so that a tie rounds to the same even number as there.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np

from intaglio.network.arithmetic import requantize
from intaglio.network.graph import Requantize, Rounding
from intaglio.network.quantized_multiplier import requantize_by

LEFT_SHIFT = 20
"""The left shift of both operands, as in TFLite and in hardware."""
FRACTION_BITS = 21
"""At most: the output's 8 bits and these fit into 32 beside the operands."""
NEAR = 2.0**-10
"""Distance from a tie, in output steps, below which a pair is watched during the search."""
ROUNDS = 6


@dataclass(frozen=True)
class Scaling:
    """Parameters of QLinearAdd: float32 scales and zero points in the file's integers. unsigned: uint8."""

    a_scale: float
    a_zero_point: int
    b_scale: float
    b_zero_point: int
    scale: float
    zero_point: int
    unsigned: bool

    @property
    def lowest(self) -> int:
        return 0 if self.unsigned else -128


@dataclass(frozen=True)
class IntegerAdd:
    """The constants of graph.Add, output zero point 0, and how many of the 65,536 pairs they get wrong."""

    operands: tuple[Requantize, Requantize]
    result: Requantize
    bias: int
    wrong: int


def onnxruntime_add(s: Scaling) -> np.ndarray:
    """The sum for every pair, in the graph's int8: int64 [a + 128, b + 128]."""
    f = np.float32
    integers = np.arange(256) + s.lowest
    with np.errstate(all="ignore"):
        ra, rb = f(s.a_scale) / f(s.scale), f(s.b_scale) / f(s.scale)
        fixed = f(f(s.zero_point) - _fma(np.float64(s.a_zero_point), ra, rb * f(s.b_zero_point)))
        inner = _fma(integers, rb, fixed)
        total = _fma(integers[:, None], ra, inner[None, :])
    rounded = np.clip(np.rint(np.nan_to_num(total.astype(np.float64))), s.lowest, s.lowest + 255)
    return rounded.astype(np.int64) - s.lowest - 128


def _fma(a: np.ndarray | np.float64, b: np.float32, c: np.ndarray | np.float32) -> np.ndarray:
    """a * b + c, rounded to float32; the product of 8 and 24 bits is exact in float64."""
    return (np.asarray(a, np.float64) * np.float64(b) + np.asarray(c, np.float64)).astype(np.float32)


@functools.lru_cache(maxsize=256)
def integer_add(s: Scaling) -> IntegerAdd | None:
    """The constants, exact where the search finds such; None where the ratios of scales are beyond the hardware.

    The operands' multipliers stay within 2**-31 .. 1 of 2**FRACTION_BITS and the larger ratio below 2**16.
    """
    ratios = (float(np.float32(s.a_scale) / np.float32(s.scale)), float(np.float32(s.b_scale) / np.float32(s.scale)))
    if not all(math.isfinite(r) and r > 0 for r in ratios) or max(ratios) >= 2**16:
        return None
    table = onnxruntime_add(s)
    bits = min(LEFT_SHIFT - max(math.frexp(r)[1] for r in ratios), FRACTION_BITS)
    best: IntegerAdd | None = None
    for rounding in (Rounding.FLOAT, Rounding.SINGLE, Rounding.AWAY):
        found = _Search(s, table, ratios, bits, rounding).run()
        if best is None or found.wrong < best.wrong:
            best = found
        if best.wrong == 0:
            break
    return best


class _Search:
    """Small changes of both multipliers and of the bias, judged on the pairs that lie near a tie."""

    def __init__(self, s: Scaling, table: np.ndarray, ratios: tuple[float, float], bits: int, rounding: Rounding):
        self.table, self.bits = table, bits
        scaled = [math.ldexp(r, bits - LEFT_SHIFT) for r in ratios]
        self.base = [requantize_by([r], Rounding.DOUBLE) for r in scaled]
        self.result = Requantize(np.array([2**30], np.int32), np.array([1 - bits], np.int32), rounding)
        self.bias = (s.zero_point - s.lowest - 128) << bits
        integers = np.arange(256, dtype=np.int64) + s.lowest
        self.centred = (integers - s.a_zero_point, integers - s.b_zero_point)
        real = self.centred[0][:, None] * ratios[0] + self.centred[1][None, :] * ratios[1] + self.bias / 2.0**bits
        self.near = (np.abs(real - np.floor(real) - 0.5) < NEAR) & (np.abs(real) < 129)

    def operand(self, which: int, moved: int, points: np.ndarray) -> tuple[Requantize, np.ndarray]:
        """An operand's Requantize with its multiplier moved, and its scaled values at points."""
        base = self.base[which]
        multiplier = np.clip(base.multiplier.astype(np.int64) + moved, 0, 2**31 - 1).astype(np.int32)
        how = Requantize(multiplier, base.shift, Rounding.DOUBLE)
        return how, requantize(self.centred[which][points] << LEFT_SHIFT, how)

    def outputs(self, totals: np.ndarray) -> np.ndarray:
        clamped: np.ndarray = np.clip(requantize(totals, self.result), -128, 127)
        return clamped

    def wrong(self, moves: tuple[int, int, int]) -> np.ndarray:
        every = np.arange(256)
        a, b = (self.operand(which, moves[which], every)[1] for which in (0, 1))
        differs: np.ndarray = self.outputs(a[:, None] + b[None, :] + self.bias + moves[2]) != self.table
        return differs

    def run(self) -> IntegerAdd:
        moves = (0, 0, 0)
        wrong = self.wrong(moves)
        best = (int(wrong.sum()), moves)
        watched = self.near | wrong
        step = 64
        for _ in range(ROUNDS):
            if best[0] == 0 or best[0] > 2000:
                break
            moves = self.improve(best[1], watched, step)
            wrong = self.wrong(moves)
            best = min(best, (int(wrong.sum()), moves))
            if not (wrong & ~watched).any():
                step = max(step // 4, 1)
            watched = watched | wrong
        a, b = (self.operand(which, best[1][which], np.arange(1))[0] for which in (0, 1))
        return IntegerAdd((a, b), self.result, self.bias + best[1][2], best[0])

    def improve(self, around: tuple[int, int, int], watched: np.ndarray, step: int) -> tuple[int, int, int]:
        """The best of a grid of moves around the present one, on at most 256 watched pairs."""
        at_a, at_b = np.nonzero(watched)
        if len(at_a) > 256:
            chosen = np.linspace(0, len(at_a) - 1, 256).astype(np.int64)
            at_a, at_b = at_a[chosen], at_b[chosen]
        offsets = step * np.arange(-4, 5)
        scaled = [
            np.array([self.operand(which, around[which] + int(o), at)[1] for o in offsets])
            for which, at in ((0, at_a), (1, at_b))
        ]
        shifts = max(1, step >> max(FRACTION_BITS - self.bits, 0)) * np.arange(-8, 9) + around[2]
        wanted = self.table[at_a, at_b]
        best = (len(wanted) + 1, around)
        for i, j in itertools.product(range(9), range(9)):
            totals = (scaled[0][i] + scaled[1][j] + self.bias)[None, :] + shifts[:, None]
            counts = (self.outputs(totals) != wanted).sum(axis=1)
            k = int(counts.argmin())
            if counts[k] < best[0]:
                moves = (around[0] + int(offsets[i]), around[1] + int(offsets[j]), int(shifts[k]))
                best = (int(counts[k]), moves)
        return best[1]
