"""Rules of functions of one element: LiteRT's own kernel tells the result of every value, which become a table.

The operator runs alone, on a row of all 256 values, in its file's quantization (`single.py`); so the table is the reference's
arithmetic whatever it is: sigmoids, activations, operators of a tensor and one constant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from intaglio.network.graph import Operator, Table
from intaglio.network.tflite.by_channel import CODES_TAKEN, FOLD, by_channel, is_by_channel
from intaglio.network.tflite.file import OPTIONS, FileOperator
from intaglio.network.tflite.kernel import CODES, computed, runner
from intaglio.network.tflite.prepare import options_of, result
from intaglio.network.tflite.single import alone, run_time_inputs
from intaglio.network.tflite.tensors import OFFSETS, Scope, Unsupported, activation, expect_shape, inputs_and_outputs

UNARY = {
    "LOGISTIC": "Logistic",
    "TANH": "Tanh",
    "HARD_SWISH": "HardSwish",
    "LEAKY_RELU": "LeakyRelu",
    "GELU": "Gelu",
    "EXP": "Exp",
    "LOG": "Log",
    "ABS": "Abs",
    "NEG": "Neg",
    "SQRT": "Sqrt",
    "RSQRT": "Rsqrt",
    "RELU_0_TO_1": "Relu0To1",
}
"""Functions of an element that LiteRT's reference has in 8 bits, and their names in reports."""
WITH_CONSTANT = {
    "MUL": "Mul",
    "SUB": "Sub",
    "DIV": "Div",
    "MAXIMUM": "Maximum",
    "MINIMUM": "Minimum",
    "SQUARED_DIFFERENCE": "SquaredDifference",
    "PRELU": "PRelu",
}
"""Operators of two tensors that are functions of an element where one of them is one constant."""


def table(what: str) -> Callable[[Scope, FileOperator], Operator | list[Operator]]:
    """The rule of an operator with one tensor that is computed; others must be constants of one element, or
    of a product or sum one for each channel."""

    def rule(scope: Scope, op: FileOperator) -> Operator | list[Operator]:
        inputs_and_outputs(op, (1, 2))
        if op.code in OPTIONS:
            options_of(op)
        read = run_time_inputs(scope.model, [op])
        if len(read) != 1 or read[0].index not in op.inputs or op.inputs.count(read[0].index) != 1:
            raise Unsupported("", "it has two tensors that are computed", "use an ADD, or a convolution")
        x = activation(read[0])
        y = result(scope, op, x)
        expect_shape(y, x.shape)
        for i in op.inputs:
            constant = scope.model.tensors[i]
            if constant is not read[0] and constant.data is not None and constant.data.size != 1:
                if op.code in CODES_TAKEN and is_by_channel(x, constant):
                    return by_channel(scope, op, x, y, constant)
                reason = f"a constant of shape {list(constant.shape)}; it must be one element"
                raise Unsupported(constant.name, reason, FOLD)
        with computed(y.name):
            values, undefined = _values(alone(scope.model, [op]), len(x.shape), OFFSETS[x.type])
        if undefined:
            scope.notes.append(
                f"{op.code} {y.name!r}: LiteRT ends with an error for {undefined} of the 256 values of {x.name!r}, such as "
                "negative ones; here they give what the nearest other value gives"
            )
        return Table(y.name, (x.name,), (y.name,), values, what)

    return rule


@functools.lru_cache(maxsize=256)
def _values(content: bytes, rank: int, offset: int) -> tuple[np.ndarray, int]:
    """int8 [256]: LiteRT's results of the graph's values -128 to 127; and how many of these it has none for. content: a file of
    the operator alone. offset: of the file's values."""
    run = runner(content, [1] * (rank - 1) + [256], offset)
    try:
        return run(CODES), 0
    except RuntimeError as error:
        last = error
    known: dict[int, int] = {}
    for value in CODES:
        try:
            known[int(value)] = int(run(np.full(256, value))[0])
        except RuntimeError as error:
            last = error
    if not known:
        raise last
    nearest = [min(known, key=lambda other: abs(other - int(value))) for value in CODES]
    return np.array([known[value] for value in nearest], np.int8), 256 - len(known)


RULES = {code: table(what) for code, what in {**UNARY, **WITH_CONSTANT}.items()}
