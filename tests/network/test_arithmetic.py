"""Edge cases of the integer arithmetic, worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from intaglio.network import arithmetic
from intaglio.network.arithmetic import (
    INT32_MAX,
    INT32_MIN,
    requantize,
    rounding_divide_by_power_of_two,
    rounding_doubling_high_multiply,
    wrap32,
)
from intaglio.network.graph import (
    AveragePool2D,
    Conv2D,
    Dequantize,
    MaxPool2D,
    Padding,
    Requantize,
    Reshape,
    Rounding,
    Tensor,
)
from intaglio.network.quantized_multiplier import mean_multiplier, quantize_multiplier


def how(rounding: Rounding, multiplier: int, shift: int) -> Requantize:
    return Requantize(np.array([multiplier], np.int32), np.array([shift], np.int32), rounding)


def test_high_multiply_saturates_only_at_minimum_squared() -> None:
    low = np.array([INT32_MIN])
    assert rounding_doubling_high_multiply(low, low) == INT32_MAX
    assert rounding_doubling_high_multiply(low, INT32_MAX) == -INT32_MAX


def test_high_multiply_rounds_ties_up() -> None:
    """x * 2**30 / 2**31 = x / 2."""
    x = np.array([1, -1, 3, -3, 2, -2])
    assert rounding_doubling_high_multiply(x, 2**30).tolist() == [1, 0, 2, -1, 1, -1]


def test_divide_by_power_of_two_rounds_ties_away_from_zero() -> None:
    x = np.array([1, -1, 3, -3, 2, 5, -5, -6, -7])
    assert rounding_divide_by_power_of_two(x, 1).tolist() == [1, -1, 2, -2, 1, 3, -3, -3, -4]
    assert rounding_divide_by_power_of_two(x, 0).tolist() == x.tolist()
    assert rounding_divide_by_power_of_two(np.array([INT32_MIN, INT32_MAX]), 31).tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (Rounding.DOUBLE, [1, -1, 2, -2, 0, 0]),
        (Rounding.SINGLE, [1, 0, 2, -1, 0, 0]),
        (Rounding.AWAY, [1, -1, 2, -2, 0, 0]),
    ],
)
def test_ties_of_a_quarter(rounding: Rounding, expected: list[int]) -> None:
    """Scale 1/4: 2 -> 0.5, 6 -> 1.5. DOUBLE halves exactly first, then rounds half away from zero."""
    assert requantize(np.array([2, -2, 6, -6, 0, 0]), how(rounding, 2**30, -1)).tolist() == expected


def test_ties_of_a_half() -> None:
    """Scale 1/2: DOUBLE rounds in the high multiply alone, a tie upwards; AWAY differs for negative sums."""
    sums = np.array([1, -1, 3, -3])
    assert requantize(sums, how(Rounding.DOUBLE, 2**30, 0)).tolist() == [1, 0, 2, -1]
    assert requantize(sums, how(Rounding.AWAY, 2**30, 0)).tolist() == [1, -1, 2, -2]


def test_double_rounding_rounds_twice() -> None:
    """1/4 of 3: halved with rounding to 2 (1.5 -> 2), halved again to 1; a quarter of 1 gives 1 too."""
    sums = np.array([1, 3])
    assert requantize(sums, how(Rounding.DOUBLE, 2**30, -1)).tolist() == [1, 1]
    assert requantize(sums, how(Rounding.SINGLE, 2**30, -1)).tolist() == [0, 1]


def test_left_shift_wraps_in_double_and_not_in_single() -> None:
    sums = np.array([2**29, -(2**29), 2**30, 5])
    assert requantize(sums, how(Rounding.DOUBLE, 2**30, 2)).tolist() == [-(2**30), -(2**30), 0, 10]
    assert requantize(sums, how(Rounding.SINGLE, 2**30, 2)).tolist() == [2**30, -(2**30), 2**31, 10]


def test_parameters_broadcast_over_the_last_axis() -> None:
    per_channel = Requantize(np.array([2**30, 2**30]), np.array([1, 2]), Rounding.DOUBLE)
    assert requantize(np.array([[1, 1], [3, 3]]), per_channel).tolist() == [[1, 2], [3, 6]]


def test_extreme_shifts() -> None:
    """A scale just below 2**-31: the largest sums are just below 1, half of them just below 1/2."""
    sums = np.array([INT32_MAX, INT32_MIN, 2**30, -(2**30)])
    for rounding in Rounding:
        assert requantize(sums, how(rounding, INT32_MAX, -31)).tolist()[:2] == [1, -1]
    assert requantize(sums, how(Rounding.SINGLE, INT32_MAX, -31)).tolist()[2:] == [0, 0]
    assert requantize(sums, how(Rounding.DOUBLE, INT32_MAX, -31)).tolist()[2:] == [1, 0], "rounds twice"


def test_wrap32() -> None:
    assert wrap32(np.array([2**31, -(2**31) - 1, 2**32 + 5])).tolist() == [INT32_MIN, INT32_MAX, 5]


def test_quantize_multiplier() -> None:
    assert quantize_multiplier(0.0) == (0, 0)
    assert quantize_multiplier(1.0) == (2**30, 1)
    assert quantize_multiplier(0.75) == (3 * 2**29, 0)
    assert quantize_multiplier(1 - 2.0**-40) == (2**30, 1), "rounds up to the next power of two"
    assert quantize_multiplier(2.0**-32) == (2**30, -31)
    assert quantize_multiplier(2.0**-33) == (0, 0)


def test_mean_multiplier_truncates() -> None:
    """1/3: 2**30 << 1, divided by 3 and truncated; a power of two is a shift alone."""
    assert mean_multiplier(1.0, 3) == (2**31 // 3, 0)
    assert mean_multiplier(1.0, 64) == (2**30, -5)
    assert mean_multiplier(1.0, 1) == (2**30, 1)


def test_convolution_by_hand() -> None:
    """A 2x2 image, 3x3 ones, padding 1: each output sums the whole image; padding adds nothing."""
    op = Conv2D(
        "c",
        ("x",),
        ("y",),
        np.ones((1, 3, 3, 1), np.int8),
        np.array([10], np.int32),
        (1, 1),
        (1, 1),
        Padding(1, 1, 1, 1),
        -1,
        5,
        how(Rounding.DOUBLE, 2**30, 1),
        (-128, 22),
    )
    image = np.array([[1, 2], [3, -4]], np.int8).reshape(1, 2, 2, 1)
    assert arithmetic.conv2d(op, image).reshape(-1).tolist() == [21] * 4


@pytest.mark.parametrize(("groups", "depth", "outputs"), [(3, 1, 1), (2, 3, 2), (5, 1, 4)])
def test_grouped_convolution_is_one_of_each_group(groups: int, depth: int, outputs: int) -> None:
    random = np.random.default_rng(groups)
    weights = random.integers(-128, 128, (groups * outputs, 3, 2, depth), np.int8)
    bias = random.integers(-999, 999, groups * outputs).astype(np.int32)
    how = Requantize(np.array([1 << 30]), np.array([-7]), Rounding.DOUBLE)
    image = random.integers(-128, 128, (2, 6, 5, groups * depth), np.int8)

    def conv(n: slice, x: np.ndarray, groups: int) -> np.ndarray:
        op = Conv2D(
            "c",
            ("x",),
            ("y",),
            weights[n],
            bias[n],
            (1, 2),
            (2, 1),
            Padding(1, 0, 1, 1),
            3,
            -4,
            how,
            (-128, 127),
            5,
            groups,
        )
        return arithmetic.conv2d(op, x)

    parts = [
        conv(slice(g * outputs, (g + 1) * outputs), image[..., g * depth : (g + 1) * depth], 1) for g in range(groups)
    ]
    assert np.array_equal(conv(slice(None), image, groups), np.concatenate(parts, -1))


def test_average_pool_counts_only_the_inside_and_rounds_away_from_zero() -> None:
    op = AveragePool2D("p", ("x",), ("y",), (2, 2), (1, 1), Padding(0, 1, 0, 1), (-128, 127))
    image = np.array([[1, 2], [0, -3]], np.int8).reshape(1, 2, 2, 1)
    # 0/4 -> 0; (2 - 3)/2 = -0.5 -> -1; (0 - 3)/2 = -1.5 -> -2; -3/1
    assert arithmetic.average_pool2d(op, image).reshape(-1).tolist() == [0, -1, -2, -3]


def test_max_pool_ignores_padding_and_clamps() -> None:
    op = MaxPool2D("p", ("x",), ("y",), (2, 2), (1, 1), Padding(0, 1, 0, 1), (-100, 1))
    image = np.array([[1, -128], [-128, -128]], np.int8).reshape(1, 2, 2, 1)
    assert arithmetic.max_pool2d(op, image).reshape(-1).tolist() == [1, -100, -100, -100]
    op = MaxPool2D("p", ("x",), ("y",), (1, 2), (1, 1), Padding(0, 0, 0, 0), (-128, 127), (1, 2))
    row = np.array([5, 9, 3, 7], np.int8).reshape(1, 1, 4, 1)
    assert arithmetic.max_pool2d(op, row).reshape(-1).tolist() == [5, 9]


def test_elements_of_a_window_inside() -> None:
    for case in itertools.product(range(1, 6), range(1, 4), range(1, 4), range(4), range(1, 4), range(5)):
        length, window, stride, before, dilation, output = case
        places = (output * stride - before + i * dilation for i in range(window))
        inside = [place for place in places if 0 <= place < length]
        first, count = arithmetic.elements_inside(output, length, window, stride, before, dilation)
        assert (first, count) == (inside[0], len(inside)) if inside else count < 1, case


def test_windows_in_the_padding_alone() -> None:
    for window, before, dilation, empty in ((2, 1, 1, False), (2, 2, 1, True), (2, 1, 5, True), (2, 1, 4, False)):
        op = MaxPool2D("p", ("x",), ("y",), (1, window), (1, 1), Padding(0, 0, before, 1), (-128, 127), (1, dilation))
        assert arithmetic.has_empty_window(op, (1, 1, 4, 1)) == empty, (window, before, dilation)


def test_run_gives_the_tensor_its_shape_and_refuses_host_operators() -> None:
    y = Tensor("y", (2, 3), np.dtype(np.int8))
    x = np.arange(6, dtype=np.int8)
    (result,) = arithmetic.run(Reshape("r", ("x",), ("y",)), [x], [y])
    assert result.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(TypeError, match="Dequantize"):
        arithmetic.run(Dequantize("d", ("x",), ("y",)), [x], [y])
