"""The operators that are supported: what `intaglio operators` and docs/operators.md show, and tests hold to the importers' rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from intaglio.network.onnx.functions import ACTIVATIONS, OF_ONE, OF_SEVERAL
from intaglio.network.tflite.tables import UNARY, WITH_CONSTANT

ARRAY, VECTOR, VIEW, TABLE, HOST = "array", "vector path", "views", "table", "host"


@dataclass(frozen=True)
class Known:
    """One kind of operator. tflite, onnx: its names in the files. where: the part of the machine that runs it. result: how near
    to the format's reference. limits: what of it is taken. tests: files below tests/ that hold it to the reference."""

    name: str
    tflite: tuple[str, ...]
    onnx: tuple[str, ...]
    where: str
    result: str
    limits: str
    tests: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        names = ("name", "where", "result", "limits")
        lists = ("tflite", "onnx", "tests")
        return {n: getattr(self, n) for n in names} | {n: list(getattr(self, n)) for n in lists}


EXACT = "exact"
_LITERT, _ONNX = "network/test_litert_operators.py", "network/test_onnx_operators.py"
_MOVES = ("network/test_litert_views.py", "network/test_onnx_moves.py", "mapper/test_moves.py")
_MOVED = "inputs and output of one scale and zero point; at most 16,384 copies"

OPERATORS: tuple[Known, ...] = (
    Known(
        "Conv2D",
        ("CONV_2D", "DEPTHWISE_CONV_2D"),
        ("Conv",),
        ARRAY,
        EXACT,
        "constant weights, scales per tensor or output channel; any stride, dilation, padding, groups",
        (_LITERT, _ONNX),
    ),
    Known(
        "TransposeConv",
        ("TRANSPOSE_CONV",),
        ("ConvTranspose",),
        ARRAY,
        "TFLite: exact; ONNX: within 1 of onnxruntime's float32, which a note tells",
        "constant weights (TFLite: int8); strides of up to 64 phases: each is a convolution whose outputs are written interleaved",
        ("network/test_litert_transpose_conv.py", "network/test_onnx_conv_transpose.py"),
    ),
    Known(
        "FullyConnected",
        ("FULLY_CONNECTED",),
        ("Gemm", "MatMul"),
        ARRAY,
        EXACT,
        "constant weights; any batch",
        (_LITERT, _ONNX),
    ),
    Known(
        "Add",
        ("ADD",),
        ("Add",),
        VECTOR,
        "TFLite: exact; ONNX: exact wherever integers give its 65,536 results, else within 1, which a note tells",
        "two computed tensors of one shape; a tensor and a constant of TFLite as below",
        (_LITERT, _ONNX),
    ),
    Known(
        "AveragePool2D, Mean",
        ("AVERAGE_POOL_2D", "MEAN"),
        ("AveragePool", "GlobalAveragePool", "ReduceMean"),
        VECTOR,
        "exact; ONNX's averages but for ties, which a note tells",
        "windows of up to 4,194,303 elements (uint8: 2,097,151); a Mean over rows and columns",
        (_LITERT, _ONNX),
    ),
    Known(
        "MaxPool2D",
        ("MAX_POOL_2D",),
        ("MaxPool",),
        VECTOR,
        EXACT,
        "input and output of one scale in TFLite; dilation in ONNX",
        (_LITERT, _ONNX),
    ),
    Known(
        "Rescale",
        ("QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1"),
        ("Relu", "Clip"),
        VECTOR,
        "exact; ONNX's within 1 where no integers give its 256 results, which a note tells",
        "8 bits to 8 bits; beside another operator in ONNX",
        (_LITERT, "network/test_litert_uint8.py", _ONNX),
    ),
    Known(
        "Reshape",
        ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
        ("Reshape", "Flatten", "Squeeze", "Unsqueeze"),
        VIEW,
        EXACT,
        "another name for the same bytes; a copy where the bus pads the rows of the two shapes differently",
        (_LITERT, _ONNX),
    ),
    Known(
        "Concat, Pack",
        ("CONCATENATION", "PACK"),
        ("Concat",),
        VIEW,
        EXACT,
        f"computed inputs; {_MOVED}; in ONNX inputs of another scale go through tables. Written in place by what makes its inputs, else copied",
        _MOVES,
    ),
    Known(
        "Slice, Split, Unpack, Gather, Reverse",
        ("SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "UNPACK", "GATHER", "REVERSE_V2"),
        (
            "Slice",
            "Split",
            "Gather",
        ),
        VIEW,
        EXACT,
        f"constant places; {_MOVED}. Read where the input lies if rows and pixels are equally far apart, else copied",
        _MOVES,
    ),
    Known(
        "Pad, MirrorPad, Tile",
        ("PAD", "PADV2", "MIRROR_PAD", "TILE"),
        (
            "Pad",
            "Tile",
            "Expand",
        ),
        VIEW,
        EXACT,
        f"constant amounts; {_MOVED}. A PAD in front of a VALID convolution alone is that one's padding",
        _MOVES,
    ),
    Known(
        "Transpose, SpaceToDepth, DepthToSpace, SpaceToBatch, BatchToSpace",
        ("TRANSPOSE", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"),
        (
            "Transpose",
            "SpaceToDepth",
            "DepthToSpace",
        ),
        VIEW,
        EXACT,
        f"{_MOVED}. ONNX: another name where the readers can take the order up",
        _MOVES,
    ),
    Known(
        "ResizeNearest",
        ("RESIZE_NEAREST_NEIGHBOR",),
        (
            "Resize",
            "Upsample",
        ),
        VIEW,
        EXACT,
        f"constant size, every form that LiteRT and onnxruntime have of nearest; {_MOVED}",
        _MOVES,
    ),
    Known(
        "functions of one element",
        tuple(UNARY),
        tuple(sorted(OF_ONE - {*ACTIVATIONS})),
        TABLE,
        "exact: LiteRT or onnxruntime itself tells all 256 results when the file is read",
        "8 bits to 8 bits; in ONNX any nodes of these kinds between DequantizeLinear and QuantizeLinear that depend on one tensor, such as SiLU; behind an operator that scales its results in no cycles but 3 a command",
        ("network/test_litert_tables.py", "network/test_onnx_tables.py"),
    ),
    Known(
        "a tensor and one constant element",
        tuple(WITH_CONSTANT),
        tuple(sorted(OF_SEVERAL - {"Add"})),
        TABLE,
        "exact, as functions of one element",
        "the constant has one element; of TFLite's MUL, ADD and SUB it may have one for each channel, as a convolution (ADD and SUB: where integers give LiteRT's results, as in 96 of 100 random files); two computed tensors, and other constants, are refused",
        ("network/test_litert_tables.py", "network/test_litert_by_channel.py", "network/test_onnx_tables.py"),
    ),
    Known(
        "Quantize, Dequantize, Softmax",
        ("DEQUANTIZE", "SOFTMAX"),
        ("QuantizeLinear", "DequantizeLinear"),
        HOST,
        EXACT,
        "at the network's edges; float32 QUANTIZE too",
        (_LITERT, "network/test_litert_uint8.py", _ONNX),
    ),
)
"""Every kind, in the order in which people meet them."""

PREFACE = """# Operators

Made by `python -m intaglio.network.operators > docs/operators.md`; `intaglio operators` prints the same, with
`--json -` as data. The reference of `.tflite` is LiteRT's BUILTIN_REF, of `.onnx` onnxruntime's integer kernels
([scope](scope.md)).

* **array**: rows x columns products a cycle. **vector path**: as many results a cycle as there are
  requantizers.
* **views**: no commands where the layout allows it, else copies on the vector path, which `check` and `run`
  show by layer.
* **table**: 256 bytes on chip, loaded like weights, behind the requantizers; the configuration field `tables`
  builds them in (0, 1, 2, 4 or 8; the shipped configurations have none: `--set tables=4`). Without them a table
  at the network's end runs on the host, one inside is refused.
* **host**: at the network's edges, by the reference's own arithmetic, on your machine. Whatever else LiteRT or
  onnxruntime has runs there behind the last operator of the array
  ([tflite](tflite.md#operators-at-the-networks-end), [onnx](onnx.md)).
"""
FAULTS = """
## Where the reference is at fault
* LiteRT 2.3.0's BUILTIN_REF reads int8 as uint8 in SUM; SUM is refused inside a network.
* LiteRT's RSQRT and SQRT end with an error for negative inputs; here these give what the nearest other value
  gives, with a note.
* LiteRT's BUILTIN_REF has no ELU of 8 bits; it is refused.
* LiteRT's softmax ends the process where more than 511 values lie near the largest; here the same formula goes
  on.
"""


def document() -> str:
    """docs/operators.md."""
    lines = [
        PREFACE,
        "| operator | TFLite | ONNX | runs on | result | what is taken | tests |",
        "|---|---|---|---|---|---|---|",
    ]
    for known in OPERATORS:
        names = (", ".join(f"`{n}`" for n in of) or "no" for of in (known.tflite, known.onnx))
        tests = ", ".join(f"`{test}`" for test in known.tests)
        lines.append(f"| {' | '.join((known.name, *names, known.where, known.result, known.limits, tests))} |")
    return "\n".join(lines) + "\n" + FAULTS


if __name__ == "__main__":
    print(document(), end="")
