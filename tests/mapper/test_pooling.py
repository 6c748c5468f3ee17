"""The multiplier that stands for a division, against the division."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.mapper.pooling import Span, average_scale, division, spans
from intaglio.network.arithmetic import requantize
from intaglio.network.graph import AveragePool2D, Padding, Requantize, Rounding


def exact(sums: np.ndarray, count: int) -> np.ndarray:
    return np.sign(sums) * ((np.abs(sums) + count // 2) // count)


def by_multiplier(sums: np.ndarray, count: int) -> np.ndarray:
    multiplier, shift = division(count)
    assert 1 << 30 <= multiplier < 1 << 31
    return requantize(sums, Requantize(np.array([multiplier]), np.array([shift]), Rounding.AWAY))


@pytest.mark.parametrize("counts", [range(1, 300), [7 * 7, 14 * 14, 32 * 32, 3 * 1023]])
def test_every_sum(counts: list[int]) -> None:
    for count in counts:
        sums = np.arange(-128 * count, 128 * count + 1)
        assert np.array_equal(by_multiplier(sums, count), exact(sums, count)), count


def test_large_counts_at_every_step() -> None:
    """Results change only at half steps, so the sums on both sides of each tell all."""
    for count in (2**22 - 1, 2**21, 3_000_001, 1_234_566):
        steps = np.arange(-128, 128)
        around = (steps[:, None] * 2 + 1) * count // 2 + np.arange(-2, 3)
        sums = np.clip(around, -128 * count, 128 * count).ravel()
        assert np.array_equal(by_multiplier(sums, count), exact(sums, count)), count


def test_the_scale_of_an_average_is_a_binary32_quotient() -> None:
    random = np.random.default_rng(3)
    for count in (1, 2, 3, 9, 49, 12345, 2**22 - 1):
        for rescale in (*np.exp(random.uniform(-30, 20, 200)), 1.0, 0.0, 2.0**29, 1e-45):
            op = AveragePool2D("", (), (), (1, count), (1, 1), Padding(), (-128, 127), rescale, count_padding=bool(count % 2))
            how = average_scale(op, 1 if op.count_padding else count)
            scale = np.float32(rescale) / np.float32(count)
            sums = np.array([255 * count, -255 * count, 1, count])
            assert -31 <= how.shift[0] <= 30
            assert np.array_equal(requantize(sums, how), np.rint(sums.astype(np.float32) * scale))


def test_spans_of_a_padded_axis() -> None:
    assert spans(range(5), 9, 3, 2, 1) == [Span(0, 1, 0, 2), Span(1, 3, 1, 3), Span(4, 1, 7, 2)]
    assert spans(range(4), 4, 2, 1, 2, 3) == [Span(0, 2, 1, 1), Span(2, 1, 0, 2), Span(3, 1, 1, 1)]
    assert spans(range(3), 3, 3, 1, 1) == [Span(0, 1, 0, 2), Span(1, 1, 0, 3), Span(2, 1, 1, 2)]
