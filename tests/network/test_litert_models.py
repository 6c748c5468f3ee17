"""Real networks: every tensor equals LiteRT BUILTIN_REF on 20 random and 5 extreme inputs."""

from __future__ import annotations

import pytest

pytest.importorskip("ai_edge_litert")

import numpy as np
from network_data import SHARED, needs_shared

from intaglio.errors import InputError, RefusedError
from intaglio.network import execute, extreme_inputs, load, random_inputs, survey
from intaglio.network.survey import CONSTANT
from intaglio.network.tflite.oracle import LiteRTOracle

pytestmark = [pytest.mark.conformance, needs_shared]


@pytest.mark.parametrize(
    "name",
    [
        "mlptiny_ic_resnet8_int8",
        "mlptiny_ad_int8",
        "mlptiny_kws_int8",
        "mlptiny_vww_int8",
        "mltk_anomaly_detection",
        "mltk_autoencoder",
        "tflm_micro_speech_quantized",
        "tflm_person_detect_int8_patched",
        "tinymaix_mnist_dw_q",
        "tinymaix_mnist_resnet_q",
        "tinymaix_mnist_valid_q",
        "coral_mobilenet_v1_025_128_uint8",
        "cfu_mobilenetv2_160_035",
    ],
)
def test_every_tensor_equals_litert(name: str) -> None:
    path = SHARED / "models" / f"{name}.tflite"
    graph = load(path)
    oracle = LiteRTOracle(path)
    assert graph.notes == []
    for inputs in [random_inputs(graph, seed) for seed in range(20)] + list(extreme_inputs(graph).values()):
        ours, theirs = execute(graph, inputs), oracle.run(inputs)
        folded = {step.name for step in survey(path).steps if step.why == CONSTANT}
        assert ours.keys() == theirs.keys() - folded
        differences = {name: int((ours[name] != theirs[name]).sum()) for name in ours}
        assert not any(differences.values()), differences
        assert all(ours[name].dtype == theirs[name].dtype for name in ours)


def test_resnet_is_what_its_file_says() -> None:
    graph = load(SHARED / "models" / "mlptiny_ic_resnet8_int8.tflite")
    kinds = [op.kind for op in graph.operators]
    assert kinds.count("Conv2D") == 9 and kinds.count("Add") == 3 and len(kinds) == 16
    assert graph.inputs == ("input_1_int8",) and graph.outputs == ("Identity_int8",)
    assert graph.tensors["input_1_int8"].shape == (1, 32, 32, 3)
    assert graph.tensors["input_1_int8"].dtype == np.int8


@pytest.mark.parametrize(
    ("name", "operator", "reason"),
    [
        ("mlptiny_ic_resnet8_float", "CONV_2D", "quantize the network to int8 first"),
        ("mlptiny_vww_float", "DEPTHWISE_CONV_2D", "quantize the network to int8 first"),
    ],
)
def test_what_is_not_supported_is_listed(name: str, operator: str, reason: str) -> None:
    with pytest.raises(InputError) as error:
        load(SHARED / "models" / f"{name}.tflite")
    lines = str(error.value).splitlines()
    assert name in lines[0] and any(operator in line and reason in line for line in lines[1:])


@pytest.mark.parametrize(
    ("name", "kinds", "words"),
    [
        (
            "microwakeword_vad",
            {
                "CALL_ONCE",
                "VAR_HANDLE",
                "READ_VARIABLE",
                "ASSIGN_VARIABLE",
            },
            ["state that lasts between inferences"],
        ),
        (
            "tflm_keyword_scrambled_8bit",
            {"SVDF", "QUANTIZE", "input"},
            ["recurrent layers", "only the network's inputs or outputs are int16"],
        ),
    ],
)
def test_valid_files_are_named_for_what_they_are(name: str, kinds: set[str], words: list[str]) -> None:
    with pytest.raises(RefusedError) as error:
        load(SHARED / "models" / f"{name}.tflite")
    assert {refusal.operator for refusal in error.value.refusals} == kinds
    assert all(word in str(error.value) for word in words)
