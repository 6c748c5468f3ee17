"""Advice about an operator that is not supported: its replacement by name, where there is one. For every format."""

from __future__ import annotations

_RELU = "replace it by Relu6, LeakyRelu or HardSwish and train on (it is not supported yet)"
_FACTOR = (
    "fold a constant by channel into the convolution or matrix before or behind it, as BatchNorm is folded; products of two "
    "computed tensors are not supported yet"
)
_NORM = "put BatchNorm directly behind a convolution, before its activation: then exporters fold it (it is not supported by itself)"
_OTHER_NORM = "not supported yet: use BatchNorm directly behind a convolution in its place, which exporters fold"
_WHOLE = "replace it by MaxPool over the whole image"
_PART = "not supported yet: make the parts inputs or outputs of the network, or split the network there"
_RESIZE = "not supported yet: at the network's ends do it outside, inside split the network there"
_STATE = (
    "state that lasts between inferences is not supported yet: export the network with its state as inputs and outputs"
)
_RECURRENT = "recurrent layers are not supported yet: use convolutions over time"
_CONTROL = "export the model without control flow"
_SHAPES = "export the model with fixed shapes, so that the converter folds it"
_LAST = "leave it out and compute it from the network's outputs yourself"
_STATIC = "quantize the float model statically (intaglio quantize)"
_LOW_BITS = "give 8-bit weights; fewer bits are not supported yet"
_QDQ = "export it in QDQ form with 8 bits, with ONNX's own operators (Brevitas: export_onnx_qcdq; QONNX: its QCDQ conversion)"
_ATTENTION = "attention, and products of two computed tensors, are not supported yet: split the network there"
_OPTIMIZED = "give the file from before onnxruntime's optimizer wrote it"

_BY_KIND: dict[str, tuple[str, ...]] = {
    _RELU: ("prelu", "elu", "fastgelu", "biasgelu", "quickgelu"),
    _FACTOR: ("mul", "sub", "div", "qlinearmul"),
    _NORM: ("batchnormalization",),
    _OTHER_NORM: (
        "instancenormalization",
        "layernormalization",
        "groupnormalization",
        "rmsnormalization",
        "lrn",
        "l2normalization",
        "localresponsenormalization",
        "lpnormalization",
        "meanvariancenormalization",
        "skiplayernormalization",
    ),
    _WHOLE: ("globalmaxpool",),
    _PART: ("gather", "gathernd"),
    _RESIZE: ("resize", "resizebilinear", "convtranspose", "transposeconv"),
    _STATE: ("varhandle", "readvariable", "assignvariable", "callonce"),
    _RECURRENT: (
        "lstm",
        "gru",
        "rnn",
        "svdf",
        "unidirectionalsequencelstm",
        "bidirectionalsequencelstm",
        "unidirectionalsequencernn",
        "bidirectionalsequencernn",
    ),
    _CONTROL: ("if", "loop", "scan", "while", "call", "sequencemap"),
    _SHAPES: ("shape", "size", "range", "nonzero", "constantofshape", "rank"),
    _LAST: ("argmax", "argmin", "topk", "topkv2", "nonmaxsuppression", "nonmaxsuppressionv4", "nonmaxsuppressionv5"),
    _STATIC: ("convinteger", "matmulinteger", "dynamicquantizelinear", "dynamicquantizematmul", "matmulintegertofloat"),
    _LOW_BITS: ("matmulnbits", "matmulbnb4", "gatherblockquantized"),
    _QDQ: ("quant", "bipolarquant", "trunc", "intquant", "floatquant", "multithreshold"),
    _ATTENTION: ("attention", "multiheadattention", "qattention", "batchmatmul", "einsum", "groupqueryattention"),
    _OPTIMIZED: ("fusedconv", "fusedgemm", "fusedmatmul", "nchwcconv", "reorderinput", "reorderoutput"),
}
_REMEDIES = {kind: remedy for remedy, kinds in _BY_KIND.items() for kind in kinds}


def advice(kind: str, otherwise: str) -> str:
    """The remedy for an operator that is not supported. kind: as the file calls it, HARD_SWISH or
    com.microsoft.FusedConv. otherwise: the remedy where there is no special one."""
    return _REMEDIES.get(kind.split(".")[-1].replace("_", "").lower(), otherwise)
