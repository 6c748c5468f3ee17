"""What cannot be mapped is refused at once, with layer, reason and remedy."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from mapper_graphs import Builder

from intaglio.errors import InputError
from intaglio.machine.config_files import load_config
from intaglio.mapper import map_network
from intaglio.network.graph import Graph, Operator, Padding, Quantize, Requantize, Rounding, Softmax, Tensor
from tests.onnx_arithmetic import in_onnx_arithmetic

FLOAT = Requantize(np.array([1 << 30]), np.array([0]), Rounding.FLOAT)


def refusal(graph: Graph, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        map_network(graph, load_config("tiny16", overrides))
    return str(caught.value)


def test_everything_at_once() -> None:
    b = Builder(1)
    x = b.conv(b.input(1, 4, 4, 4), 4, (1, 1))
    y = b.add(x, b.average(x, (1, 1), (1, 1)))
    b.operators[-1] = replace(b.operators[-1], left_shift=19)  # type: ignore[call-arg]
    z = b.tensor((1, 4, 4, 4))
    b.operators.append(Operator("odd", (y,), (z,)))
    text = refusal(b.graph(z), "rounding=[double]")
    for part in ("'op1' (AveragePool2D): needs rounding 'away'", "left_shift is 19", "'odd' (Operator): not supported"):
        assert part in text


def test_operators_that_are_refused_and_others_that_do_not_fit() -> None:
    b = Builder(1)
    x = b.conv(b.input(1, 4, 4, 4), 512, (1, 1))
    z = b.tensor((1, 4, 4, 4))
    b.operators.append(Operator("odd", (x,), (z,)))
    small = "activation_bytes=256", "activation_banks=1"
    text = refusal(b.graph(b.conv(z, 512, (1, 1))), *small)
    assert "'odd' (Operator): not supported" in text
    for layer in ("op0", "op2"):
        assert f"'{layer}' (Conv2D): configuration field activation_bytes = 256 is too small" in text


def test_a_network_beyond_the_addresses_is_not_cut_into_pieces() -> None:
    b = Builder(1)
    graph = b.graph(b.reshape(b.input(1, 65_535, 65_533, 1), 1, 65_533, 65_535, 1))
    assert "bytes of external memory, of which 't0' has" in refusal(graph)


def test_windows_in_too_many_parts() -> None:
    """Programs of millions of commands; by a rule, so that `check` and mapping agree without a schedule."""
    b = Builder(1)
    graph = b.graph(b.maximum(b.input(1, 120, 120, 8), (119, 119), (1, 1), Padding(59, 59, 59, 59)))
    text = refusal(graph, "activation_bytes=4096")
    assert (
        "its windows of 119 x 119 pixels of 8 bytes do not fit on chip" in text and "at most 131072 are mapped" in text
    )
    assert "raise activation_bytes above 113288" in text


def test_arithmetic_that_is_not_built_in() -> None:
    b = Builder(1)
    x = b.conv(b.input(1, 4, 4, 4), 4, (1, 1))
    graph = in_onnx_arithmetic(b.graph(b.average(b.add(x, b.rescale(x)), (2, 2), (1, 1))), 1)
    graph.operators[0] = replace(graph.operators[0], weight_zero_point=3)  # type: ignore[call-arg]
    text = refusal(graph, "rounding=[double, single, away]", "weight_zero_points=false")
    reason = "needs rounding 'float', configuration field rounding has double, single, away; add it there"
    for layer in ("'op0' (Conv2D)", "'op1' (Rescale)", "'op3' (AveragePool2D)"):
        assert f"layer {layer}: {reason}" in text
    assert "'op2'" not in text  # an Add that ends in 'single'
    assert (
        "'op0' (Conv2D): the weights' zero point is 3 (of uint8 131), configuration field weight_zero_points is false; quantize the "
        in text
    )
    assert "symmetrically, or set weight_zero_points: true" in text
    assert map_network(graph, load_config("tiny16")).commands


@pytest.mark.parametrize(
    "index, change, message",
    [
        (0, {"weight_zero_point": 128}, "the weights' zero point is 128, beyond int8; requantize it"),
        (2, {"bias": 1 << 31}, "bias = 2147483648 does not fit 32 bits; requantize it"),
        (
            2,
            {"operand_requantize": (FLOAT, FLOAT)},
            "an operand's rounding is 'float', the hardware has 'double'; requantize",
        ),
        (
            2,
            {"requantize": replace(FLOAT, multiplier=np.array([(1 << 30) + 1]))},
            "by a scale that is no binary32 number",
        ),
        (2, {"requantize": replace(FLOAT, multiplier=np.array([1 << 29]))}, "by a scale that is no binary32 number"),
        (3, {"rescale": float("nan")}, "rescale = nan, beyond 0 to 2..29; quantize the network anew"),
        (3, {"rescale": 1e300}, "rescale = 1e.300, beyond 0"),
        (3, {"rescale": -1.0}, "rescale = -1.0, beyond 0"),
    ],
)
def test_onnx_arithmetic_out_of_range(index: int, change: dict[str, object], message: str) -> None:
    b = Builder(1)
    x = b.conv(b.input(1, 4, 4, 4), 4, (1, 1))
    graph = in_onnx_arithmetic(b.graph(b.average(b.add(x, b.rescale(x)), (2, 2), (1, 1))), 1)
    graph.operators[index] = replace(graph.operators[index], **change)  # type: ignore[arg-type]
    assert re.search(message, refusal(graph))


def test_max_pooling_that_does_not_fit() -> None:
    b = Builder(1)
    y = b.maximum(b.input(1, 4, 4, 4), (2, 2), (1, 1))
    assert map_network(b.graph(y), load_config("tiny16")).commands
    b = Builder(1)
    y = b.maximum(b.input(1, 4, 4, 4), (2, 2), (1, 1), Padding(2, 0, 0, 0))
    assert "a window lies in the padding alone; reduce the padding" in refusal(b.graph(y))
    b = Builder(1)
    b.maximum(b.input(1, 4, 4, 4), (2, 2), (1, 1))
    b.operators[0] = replace(b.operators[0], dilation=(2, 1))  # type: ignore[call-arg]
    assert "window does not fit input [1, 4, 4, 4] and output [1, 3, 3, 4]" in refusal(
        b.graph(b.operators[0].outputs[0])
    )


def test_host_operator_in_the_middle() -> None:
    b = Builder(1)
    x = b.dense(b.input(1, 8), 8)
    y = b.tensor((1, 8))
    b.operators.append(Softmax("soft", (x,), (y,), 1.0))
    text = refusal(b.graph(b.dense(y, 4)))
    assert "layer 'soft' (Softmax): runs on the host in the middle of the network, before 'op2'" in text


def test_host_operators_at_the_edges() -> None:
    b = Builder(1)
    b.tensors["image"] = Tensor("image", (1, 8), np.dtype(np.float32))
    x = b.tensor((1, 8))
    b.operators.append(Quantize("q", ("image",), (x,)))
    y = b.dense(x, 8)
    z = b.tensor((1, 8))
    b.operators.append(Softmax("soft", (y,), (z,), 1.0))
    graph = replace(b.graph(z), inputs=("image",))
    program = map_network(graph, load_config("tiny16"))
    assert [layer.where for layer in program.layers] == ["host", "accelerator", "host"]
    assert (program.inputs, program.outputs) == ((x,), (y,))


def test_nothing_to_run() -> None:
    b = Builder(1)
    x = b.input(1, 8)
    y = b.tensor((1, 8))
    b.operators.append(Softmax("soft", (x,), (y,), 1.0))
    assert "no operator runs on the accelerator" in refusal(b.graph(y))


def test_float_tensor() -> None:
    b = Builder(1)
    y = b.dense(b.input(1, 8), 4)
    b.tensors[y] = replace(b.tensors[y], dtype=np.dtype(np.float32))
    assert "is float32; quantize the network to int8" in refusal(b.graph(y))


def test_output_pixel_beyond_the_memory() -> None:
    b = Builder(1)
    text = refusal(b.graph(b.mean(b.input(1, 2, 2, 16400))))
    assert "'op0'" in text and "activation_bytes = 16384 is too small" in text
    assert "an output pixel and what it is computed from need 16416 bytes; raise activation_bytes" in text
