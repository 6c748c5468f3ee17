"""CMSIS-NN's test vectors: an independent implementation of TFLite's integer arithmetic.

Their multipliers and shifts are used as given. Fully connected uses double rounding in CMSIS-NN.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from network_data import SHARED, needs_shared

from intaglio.network import arithmetic, host_ops
from intaglio.network.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    FullyConnected,
    Padding,
    Requantize,
    Rounding,
)

pytestmark = [pytest.mark.conformance, needs_shared]


def vectors(name: str) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """The arrays and the integer parameters of a case."""
    with np.load(SHARED / "vectors" / "cmsis_nn" / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(str(arrays.pop("params")))


def double(multiplier: object, shift: object) -> Requantize:
    return Requantize(
        np.atleast_1d(np.asarray(multiplier, np.int32)),
        np.atleast_1d(np.asarray(shift, np.int32)),
        Rounding.DOUBLE,
    )


@pytest.mark.parametrize(
    "name",
    [
        "basic",
        "conv_1_x_n_1",
        "conv_1_x_n_4",
        "conv_2",
        "conv_2x2_dilation",
        "conv_4",
        "conv_out_activation",
        "kernel1x1",
        "kernel1x1_stride_x_y",
        "stride2pad1",
    ],
)
def test_convolution(name: str) -> None:
    a, p = vectors(name)
    stride, dilation = (p["stride_y"], p["stride_x"]), (p["dilation_y"], p["dilation_x"])
    after = [
        max((out - 1) * s + (k - 1) * d + 1 - size - before, 0)
        for out, s, k, d, size, before in zip(
            (p["output_h"], p["output_w"]),
            stride,
            (p["filter_y"], p["filter_x"]),
            dilation,
            (p["input_h"], p["input_w"]),
            (p["pad_y"], p["pad_x"]),
            strict=True,
        )
    ]
    op = Conv2D(
        name,
        ("x",),
        ("y",),
        a["weights"].reshape(p["out_ch"], p["filter_y"], p["filter_x"], p["in_ch"]),
        a["biases"],
        stride,
        dilation,
        Padding(p["pad_y"], after[0], p["pad_x"], after[1]),
        -p["input_offset"],
        p["output_offset"],
        double(a["output_mult"], a["output_shift"]),
        (p["out_activation_min"], p["out_activation_max"]),
    )
    image = a["input"].reshape(p["input_batches"], p["input_h"], p["input_w"], p["in_ch"])
    result = arithmetic.conv2d(op, image)
    assert result.shape[1:3] == (p["output_h"], p["output_w"])
    np.testing.assert_array_equal(result.reshape(-1), a["output_ref"])


def test_fully_connected() -> None:
    a, p = vectors("fully_connected_mve_0")
    op = FullyConnected(
        "fc",
        ("x",),
        ("y",),
        a["weights"].reshape(p["out_ch"], p["in_ch"]),
        a["biases"],
        -p["input_offset"],
        p["output_offset"],
        double(p["output_multiplier"], p["output_shift"]),
        (p["out_activation_min"], p["out_activation_max"]),
    )
    np.testing.assert_array_equal(arithmetic.fully_connected(op, a["input"]).reshape(-1), a["output_ref"])


def test_add() -> None:
    a, p = vectors("add")
    op = Add(
        "add",
        ("a", "b"),
        ("y",),
        (-p["input1_offset"], -p["input2_offset"]),
        p["left_shift"],
        (double(p["input1_mult"], p["input1_shift"]), double(p["input2_mult"], p["input2_shift"])),
        p["output_offset"],
        double(p["output_mult"], p["output_shift"]),
        (p["out_activation_min"], p["out_activation_max"]),
    )
    np.testing.assert_array_equal(arithmetic.add(op, a["input1"], a["input2"]), a["output_ref"])


def test_average_pool() -> None:
    a, p = vectors("avgpooling")
    size, stride = (p["filter_h"], p["filter_w"]), (p["stride_h"], p["stride_w"])
    image = a["input_tensor"].reshape(p["batch_size"], p["input_h"], p["input_w"], p["input_c"])
    after = [
        max((out - 1) * s + k - length - before, 0)
        for out, s, k, length, before in zip(
            (p["output_h"], p["output_w"]),
            stride,
            size,
            image.shape[1:3],
            (p["padding_h"], p["padding_w"]),
            strict=True,
        )
    ]
    padding = Padding(p["padding_h"], after[0], p["padding_w"], after[1])
    op = AveragePool2D("pool", ("x",), ("y",), size, stride, padding, (-128, 127))
    np.testing.assert_array_equal(arithmetic.average_pool2d(op, image).reshape(-1), a["output"])


def test_softmax() -> None:
    """The case's multiplier and shift are those of beta * scale = 1077952640 / 2**31 * 2**19 / 2**26."""
    a, p = vectors("softmax")
    scale = p["input_mult"] / 2**31 * 2.0 ** p["input_left_shift"] / 2**26
    assert host_ops.softmax_scaling(1.0, scale) == (p["input_mult"], p["input_left_shift"])
    rows = a["input"].reshape(p["num_rows"], p["row_size"])
    np.testing.assert_array_equal(host_ops.softmax(rows, 1.0, scale).reshape(-1), a["output_ref"])
