"""Post-training quantization of a float ONNX model to a QDQ one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx.checker
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import save_tensors_data
from onnxruntime.quantization.quant_utils import add_pre_process_metadata
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from intaglio.accuracy import Accuracy, fitting_labels
from intaglio.dataset import Dataset, read_dataset
from intaglio.errors import InputError
from intaglio.quantize.calibrate import RUNTIME_METHODS, calibrated
from intaglio.quantize.measure import CLASS_AXES, QuantizedTensor, accuracy, float_operators, tensor_errors
from intaglio.quantize.model_file import first_line, input_forms, read_float_model
from intaglio.quantize.prepare import OPSET, OPSET_16_BITS, prepare
from intaglio.quantize.runtime import quiet, try_out
from intaglio.quantize.weights import full_range
from intaglio.unfinished import temporary_folder

ACTIVATIONS = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8, "int16": QuantType.QInt16}
LEVELS = {"int8": 255, "uint8": 255, "int16": 65534}
"""Steps of an activation's range; int16 is symmetric, -32767..32767."""
LAST_IN_FLOAT = ("Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK")
"""At a network's end these stay float: they only rank or rescale the scores, on the host."""
MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")
FUNCTIONS = (
    "Abs",
    "Celu",
    "Div",
    "Elu",
    "Erf",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Mish",
    "Neg",
    "PRelu",
    "Selu",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Tanh",
)
"""Operators of which onnxruntime's quantizer knows nothing, quantized as any other: they become tables."""
MOVED = ("DepthToSpace", "SpaceToDepth", "Tile", "Expand")
OP_TYPES = sorted({*QDQRegistry, *QLinearOpsRegistry, *FUNCTIONS, *MOVED} - {"BatchNormalization"})

Bar = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """method: one of calibrate.METHODS. activations: a key of ACTIVATIONS; int8 and uint8 are asymmetric, int16 is
    symmetric. Weights are int8, symmetric, -127..127 with narrow_range, else -128..127; per_channel: a scale for each
    output channel. percentile: 50 < p <= 100, of the method of that name."""

    method: str = "minmax"
    activations: str = "int8"
    per_channel: bool = False
    narrow_range: bool = True
    percentile: float = 99.999


@dataclass(frozen=True)
class Quantized:
    """content: the file's bytes. tensors: every quantized tensor. stays_float: (name, type) of operators.
    accuracies: of the float and of the quantized model, in that order, None without labels. kernels: how
    onnxruntime computed the quantized model. samples: of the calibration data. notes: what was assumed of the float model."""

    content: bytes
    tensors: list[QuantizedTensor]
    stays_float: list[tuple[str, str]]
    accuracies: tuple[Accuracy, Accuracy] | None
    kernels: str
    samples: int
    notes: tuple[str, ...] = ()


def quantize(path: str | Path, data_file: str | Path, settings: Settings, bar: Bar = lambda *_: None) -> Quantized:
    """Quantizes a float ONNX file with the samples of an .npz, and measures the result on them. bar: is told what is done, how much
    of it, and of how much.

    InputError for everything that is wrong with either file.
    """
    path, data_file = Path(path), Path(data_file)
    if not 50.0 < settings.percentile <= 100.0:
        raise InputError(f"percentile {settings.percentile:g}: must be above 50 and at most 100")
    notes: list[str] = []
    model = read_float_model(path, notes)
    data = read_dataset(data_file, input_forms(model))
    try_out(model, path, data.sample(0))
    prepared = prepare(model, path, OPSET_16_BITS if settings.activations == "int16" else OPSET)
    excluded = float_tail(prepared)
    known = {*OP_TYPES} - {*FUNCTIONS, *MOVED}
    if not any(node.op_type in known and node.name not in excluded for node in prepared.graph.node):
        raise _nothing(path, prepared)
    if data.labels is not None:
        _check_labels(model, prepared, data_file, data)
    result = _quantized(prepared, path, data, settings, excluded, bar)
    if not any(node.op_type == "QuantizeLinear" for node in result.graph.node):
        raise _nothing(path, prepared)
    integer = settings.activations == "int8"
    kernels = "integer kernels" if integer else "float32 arithmetic on the quantized values"
    tensors = tensor_errors(prepared, result, path, integer, data, bar)
    accuracies = None
    if data.labels is not None:
        accuracies = (
            accuracy(model, path, "basic", "accuracy of the float model", data, bar),
            accuracy(result, path, "integer" if integer else "none", "accuracy of the quantized model", data, bar),
        )
    stays = float_operators(result, OP_TYPES)
    return Quantized(result.SerializeToString(), tensors, stays, accuracies, kernels, len(data), tuple(notes))


def _quantized(
    prepared: onnx.ModelProto, path: Path, data: Dataset, settings: Settings, excluded: list[str], bar: Bar
) -> onnx.ModelProto:
    overrides = {} if settings.narrow_range else full_range(prepared, settings.per_channel)
    options: dict[str, Any] = {
        "ActivationSymmetric": settings.activations == "int16",
        "WeightSymmetric": True,
        "TensorQuantOverrides": overrides,
        "ForceQuantizeNoInputCheck": True,  # a Reshape or MaxPool of the network's input too
    }
    with quiet(), temporary_folder() as folder:
        source, target, cache = folder / "float.onnx", folder / "quantized.onnx", folder / "ranges.json"
        add_pre_process_metadata(prepared)
        onnx.save(prepared, source)
        try:
            ranges = calibrated(
                source, data, settings.method, settings.percentile, LEVELS[settings.activations], OP_TYPES, bar
            )
            save_tensors_data(ranges, cache)
            quantize_static(
                source,
                target,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=OP_TYPES,
                per_channel=settings.per_channel,
                activation_type=ACTIVATIONS[settings.activations],
                weight_type=QuantType.QInt8,
                nodes_to_exclude=excluded,
                calibrate_method=RUNTIME_METHODS.get(settings.method, CalibrationMethod.MinMax),
                extra_options=options,
                calibration_cache_path=cache,
            )
            result = onnx.load(target)
            onnx.checker.check_model(result)
        except InputError:
            raise
        except Exception as error:  # its quantizer raises anything, AssertionError among it
            raise InputError(
                f"{path}: onnxruntime's quantizer ends with {type(error).__name__} ({first_line(error)}); simplify the model "
                "(onnxsim), or leave out what is unusual in it"
            ) from None
    del result.metadata_props[:]
    return result


def _nothing(path: Path, prepared: onnx.ModelProto) -> InputError:
    kinds = ", ".join(sorted({node.op_type for node in prepared.graph.node}))
    return InputError(f"{path}: has no operator that can be quantized (only {kinds}); give a network with weights")


def float_tail(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes at the network's end that stay float: LAST_IN_FLOAT, and what only moves their results."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    tail: set[str] = set()
    for node in reversed(model.graph.node):
        if node.op_type in (*LAST_IN_FLOAT, *MOVES) and all(
            reader.name in tail for output in node.output for reader in readers.get(output, [])
        ):
            tail.add(node.name)
    found: list[str] = []
    real: set[str] = set()
    for node in model.graph.node:
        if node.name in tail and (node.op_type in LAST_IN_FLOAT or real & set(node.input)):
            found.append(node.name)
            real.update(node.output)
    return found


def _check_labels(model: onnx.ModelProto, prepared: onnx.ModelProto, data_file: Path, data: Dataset) -> None:
    """Refuses labels that do not fit before any work is done, where the output's shape is known."""
    name = model.graph.output[0].name
    shape = next((v.type.tensor_type.shape for v in prepared.graph.output if v.name == name), None)
    if shape is not None and shape.dim and all(d.HasField("dim_value") for d in shape.dim):
        try:
            fitting_labels(data.labels, tuple(d.dim_value for d in shape.dim), name, CLASS_AXES)
        except InputError as error:
            raise error.at(data_file) from None
