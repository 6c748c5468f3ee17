"""The graph while it is built from an .onnx file: its tensors and operators, and what rules share."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np

from intaglio.network.advice import advice
from intaglio.network.graph import Dequantize, FileForm, Move, Operator, Quantization, Quantize, Reshape, Tensor
from intaglio.network.moves import CONSTANT, by_axis, permuted
from intaglio.network.onnx.file import LONGEST, MAX_ELEMENTS, Node, OnnxFile
from intaglio.network.onnx.host import host_operator
from intaglio.network.onnx.scale import SMALLEST
from intaglio.network.onnx.values import (
    INT8,
    UINT8,
    Constant,
    Edge,
    Function,
    Pending,
    Real,
    Stored,
    Unknown,
    Unsupported,
    Value,
    Weights,
    channels_last,
    form_of,
    graph_shape,
    identity,
    image_shape,
    refines,
)

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Never left to the host: they are the network."""


@dataclasses.dataclass
class Scope:
    """images: entries (8-bit tensors that the host makes) that the graph holds as NHWC, None for all; entries: all of rank 4
    that were met. readers: how often each value of the file is read, as an output too."""

    file: OnnxFile
    images: frozenset[str] | None
    readers: dict[str, int]
    values: dict[str, Value] = dataclasses.field(default_factory=dict)
    tensors: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    operators: list[Operator] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    inexact: list[str] = dataclasses.field(default_factory=list)
    entries: list[str] = dataclasses.field(default_factory=list)
    origin: dict[str, int] = dataclasses.field(default_factory=dict)
    """Operator of the graph -> number of the file's node that it is, where that is not the one that writes its output."""
    tables: dict[str, tuple[Function, Node]] = dataclasses.field(default_factory=dict)
    """Tensor that a Table makes -> the function and the QuantizeLinear that it is."""
    arrangements: dict[tuple[object, ...], Stored] = dataclasses.field(default_factory=dict)
    """Copies of tensors in another order, or padded, by what they were made from."""
    rearranged: int = 0
    """Elements that such copies move."""
    makers: dict[str, Node] = dataclasses.field(default_factory=dict)
    """Each value of the file -> its node."""
    gaps: dict[str, Unknown] = dataclasses.field(default_factory=dict)
    """Float results of refused nodes that no Refused operator stands for yet."""

    def value(self, name: str) -> Value:
        if name in self.file.constants:
            return Constant(name)
        return self.values.get(name, Unknown())

    def constant(self, node: Node, position: int) -> np.ndarray:
        """The constant at an input that must be one."""
        name = node.inputs[position] if position < len(node.inputs) else ""
        if name not in self.file.constants:
            raise Unsupported(f"its input {position} {name!r} is not a constant", "store it as an initializer")
        return self.file.constants[name]

    def integers(self, node: Node, attribute: str, position: int | None = None) -> tuple[int, ...] | None:
        """Axes and the like: an attribute, or a constant input in later opsets; None where absent."""
        if attribute in node.attributes:
            return tuple(int(v) for v in np.atleast_1d(node.attributes[attribute]))
        if position is None or position >= len(node.inputs) or not node.inputs[position]:
            return None
        values = self.constant(node, position)
        if values.dtype.kind != "i" or values.size > 64:
            raise Unsupported(f"its input {node.inputs[position]!r} is no short list of integers", "export it again")
        return tuple(int(v) for v in values.reshape(-1))

    def emit(self, op: Operator, *tensors: Tensor) -> None:
        for tensor in tensors:
            if math.prod(tensor.shape) > MAX_ELEMENTS or 0 in tensor.shape:
                raise Unsupported(f"its output has shape {list(tensor.shape)}", f"use 1 to {MAX_ELEMENTS} elements")
            self.tensors[tensor.name] = tensor
        self.operators.append(op)

    def quantization(self, node: Node, dtype: np.dtype | None) -> tuple[np.float32, int, np.dtype]:
        """Scale, zero point (the file's integers) and type of a QuantizeLinear or DequantizeLinear of a tensor."""
        scale, zero_point = self.parameters(node, dtype)
        if scale.size != 1 or zero_point.size != 1:
            raise Unsupported(f"it has {scale.size} scales for an activation", "quantize activations per tensor")
        return np.float32(scale.reshape(-1)[0]), int(zero_point.reshape(-1)[0]), zero_point.dtype

    def parameters(self, node: Node, dtype: np.dtype | None) -> tuple[np.ndarray, np.ndarray]:
        """Checked float32 scales and zero points, both flat. dtype: the integers', None where the node says."""
        if node.attributes.get("block_size", 0):
            raise Unsupported("it has scales for blocks of elements", "quantize per tensor or per channel")
        scale = self.constant(node, 1)
        if scale.dtype != np.float32:
            raise Unsupported(f"its scale is {scale.dtype}", "use float32 scales")
        if len(node.inputs) > 2 and node.inputs[2]:
            zero_point = self.constant(node, 2)
            dtype = dtype or zero_point.dtype
        else:
            if dtype is None:
                onnx_type = int(node.attributes.get("output_dtype", 0) or 2)
                dtype = {2: UINT8, 3: INT8}.get(onnx_type, np.dtype(np.int16))
            zero_point = np.zeros(scale.shape, dtype)
        if zero_point.dtype != dtype:
            raise Unsupported(f"its zero point is {zero_point.dtype}, its integers {dtype}", "export the model again")
        if not (np.isfinite(scale).all() and (scale >= SMALLEST).all()):
            worst = scale.reshape(-1)[~(np.isfinite(scale) & (scale >= SMALLEST)).reshape(-1)][0]
            raise Unsupported(
                f"its scale {node.inputs[1]!r} is {worst:g}, not a positive normal float32",
                "quantize the network again",
            )
        if zero_point.size not in (1, scale.size) or scale.ndim > 1 or scale.size < 1:
            raise Unsupported(f"it has {scale.size} scales and {zero_point.size} zero points", "export the model again")
        return scale.reshape(-1), np.broadcast_to(zero_point.reshape(-1), (scale.size,))

    def know(self, stored: Stored, scale: np.float32, zero_point: int) -> None:
        """Puts scale and zero point on a graph tensor that has none yet."""
        tensor = self.tensors[stored.tensor]
        if tensor.quantization is None:
            moved = zero_point - 128 * (stored.form.dtype == UINT8 and tensor.dtype == INT8)
            found = Quantization(np.array([scale], np.float32), np.array([moved], np.int64))
            self.tensors[stored.tensor] = dataclasses.replace(tensor, quantization=found)

    def entry(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Stored:
        """An 8-bit tensor that the host makes, laid out as `images` says; its Tensor is set."""
        form = identity(shape, dtype)
        if len(shape) == 4:
            self.entries.append(name)
            if self.images is None or name in self.images:
                form = channels_last(shape, dtype)
        self.tensors[name] = int8_tensor(name, form.unfolded or (1,), form)
        return Stored(name, form)

    def result(
        self, name: str, form: FileForm, shape: tuple[int, ...], scale: np.float32, zero_point: int
    ) -> tuple[Tensor, Stored]:
        """An 8-bit tensor of the graph in `shape`; the file sees it through form."""
        expected = self.file.shapes.get(name)
        if expected is not None and expected != form.shape:
            raise Unsupported(
                f"its output has shape {list(form.shape)}, the file says {list(expected)}", "export it again"
            )
        moved = zero_point - 128 * (form.dtype == UINT8)
        quantization = Quantization(np.array([scale], np.float32), np.array([moved], np.int64))
        return int8_tensor(name, shape, form, quantization), Stored(name, form)

    def reshaped(self, stored: Stored, shape: tuple[int, ...]) -> str:
        """The graph tensor with another shape, the same elements in the same order: itself or a Reshape of it."""
        tensor = self.tensors[stored.tensor]
        if tensor.shape == shape:
            return tensor.name
        name = f"{tensor.name} as {'x'.join(map(str, shape))}"
        if name not in self.tensors:
            self.emit(Reshape(name, (tensor.name,), (name,)), Tensor(name, shape, INT8, tensor.quantization))
        return name

    def unused(self, name: str) -> str:
        """A name that no tensor of the graph or the file has."""
        known = self.tensors.keys() | self.makers.keys()
        return next(n for n in itertools.chain([name], (f"{name} {i}" for i in itertools.count(2))) if n not in known)

    def arranged(self, stored: Stored, form: FileForm) -> Stored:
        """The same value of the file in another order in the graph: a Move of its elements, made once."""
        self.accelerated(stored)
        key = (stored.tensor, stored.form, form)
        if key not in self.arrangements:
            folded = stored.order().reshape(tuple(form.unfolded[axis] for axis in form.permutation))
            order = folded.transpose(np.argsort(form.permutation)).reshape(form.unfolded or (1,))
            parts = form_of(order, stored.form.dtype)
            source = self.tensors[stored.tensor]
            held = stored.tensor if refines(parts.unfolded, source.shape) else self.reshaped(stored, parts.unfolded)
            name = self.unused(f"{stored.tensor} in another order")
            boxes = permuted(parts.unfolded, parts.permutation)
            self.rearranged += order.size
            self.emit(
                Move(name, (held,), (name,), boxes, "Transpose"),
                int8_tensor(name, form.unfolded or (1,), form, source.quantization),
            )
            self.arrangements[key] = Stored(name, form)
        return self.arrangements[key]

    def solid(self, value: Stored | Real) -> Stored:
        """The 8-bit tensor of a value with the zero points around it, where it has such, as elements: a Move."""
        stored = value if isinstance(value, Stored) else value.stored
        self.accelerated(stored)
        if not stored.pad:
            return stored
        source, shape = self.tensors[stored.tensor], image_shape(stored.form)
        assert shape is not None and source.quantization is not None
        if max(shape) > LONGEST:
            raise Unsupported(f"its input is padded by {stored.pad}", "pad directly before a convolution")
        zero = int(source.quantization.zero_point[0])
        if isinstance(value, Real):
            zero = value.zero_point - 128 * (stored.form.dtype == UINT8)
        key = (stored.tensor, stored.form, stored.padding, zero)
        if key not in self.arrangements:
            p, (n, h, w, c) = stored.padding, shape
            indices = {
                1: [CONSTANT] * p.top + list(range(h)) + [CONSTANT] * p.bottom,
                2: [CONSTANT] * p.left + list(range(w)) + [CONSTANT] * p.right,
            }
            form = channels_last((n, c, len(indices[1]), len(indices[2])), stored.form.dtype)
            name = self.unused(f"{stored.tensor} padded")
            move = Move(name, (self.reshaped(stored, shape),), (name,), by_axis(shape, indices, zero), "Pad")
            self.emit(move, int8_tensor(name, form.unfolded, form, source.quantization))
            self.arrangements[key] = Stored(name, form)
        return self.arrangements[key]

    def copy(self, stored: Stored, name: str) -> Stored:
        """The same elements under the name of the file's next tensor: a Reshape."""
        self.accelerated(stored)
        shape = graph_shape(stored.form)
        tensor = int8_tensor(name, shape, stored.form, self.tensors[stored.tensor].quantization)
        self.emit(Reshape(name, (stored.tensor,), (name,)), tensor)
        return Stored(name, stored.form, stored.padding, stored.pad)

    def accelerated(self, stored: Stored) -> None:
        """Refuses a tensor that the host makes after the accelerator has begun."""
        if stored.late:
            raise Unsupported(
                f"its input comes from {stored.late}, which runs on the host in the middle of the network",
                "only the network's first and last operators may; remove or replace it",
            )

    def image(self, value: Real | Stored) -> str:
        """The graph's tensor [N, H, W, C] behind a value that the file sees as [N, C, H, W]."""
        stored = value if isinstance(value, Stored) else value.stored
        self.accelerated(stored)
        if len(stored.shape) != 4:
            raise Unsupported(f"its input has shape {list(stored.shape)}", "use two-dimensional images [N, C, H, W]")
        shape = image_shape(stored.form)
        if shape is None:
            form = channels_last(stored.shape, stored.form.dtype)
            return self.arranged(stored, form).tensor
        return self.reshaped(stored, shape)

    def may_differ(self, node: Node, tensor: str, why: str) -> None:
        """Notes that an 8-bit tensor, computed by node, may differ by 1 from onnxruntime's."""
        self.notes.append(f"{node.label}: {why}")
        self.inexact.append(tensor)

    def in_float(self, node: Node, tensor: str, why: str) -> None:
        """Notes that onnxruntime does not use an integer kernel here."""
        self.may_differ(node, tensor, f"onnxruntime computes it in float32 ({why}), so that an output may differ by 1")

    # Float values on the host.

    def to_host(self, value: Value) -> str:
        """The name of the host's tensor that holds a value; makes it where it is not yet."""
        match value:
            case Edge():
                return value.name
            case Stored():
                return self.solid(value).tensor if value.pad else value.tensor
            case Real():
                return self._real_to_host(value)
            case Function():
                return self._function_to_host(value)
            case Pending():
                return self._pending_to_host(value)
        raise Unsupported("its input cannot be computed on the host", "export the model again")

    def _real_to_host(self, real: Real) -> str:
        if real.stored.pad:
            stored = self.solid(real)
            real = dataclasses.replace(real, stored=stored, origin=stored)
        if real.name not in self.tensors:
            self.values.setdefault(real.name, real)
            tensor = Tensor(real.name, real.origin.shape or (1,), np.dtype(np.float32))
            if real.origin.shape == ():
                tensor = dataclasses.replace(tensor, shape=())
            self.emit(Dequantize(real.name, (real.origin.tensor,), (real.name,)), tensor)
        name = real.name
        for node in real.moves:
            self.run_on_host([node], [name])
            name = node.outputs[0]
        return name

    def _function_to_host(self, function: Function) -> str:
        for real in function.sources:
            self._real_to_host(dataclasses.replace(real, stored=real.origin, moves=()))
        for node in function.nodes:
            self.run_on_host([node], [n for n in node.inputs if n and n not in self.file.constants])
        return function.nodes[-1].outputs[0]

    def _pending_to_host(self, pending: Pending) -> str:
        first = pending.nodes[0]
        if first.op in PRODUCTS:
            raise Unsupported(
                "its float result is never quantized: no QuantizeLinear stands behind it",
                "let the quantizer put one there (at the network's outputs too)",
                first,
            )
        for node in pending.nodes:
            for name in node.inputs:
                if name and name not in self.file.constants and name not in self.tensors:
                    self.to_host(self.value(name))
            self.run_on_host([node], [n for n in node.inputs if n and n not in self.file.constants])
        return pending.nodes[-1].outputs[0]

    def run_on_host(self, nodes: list[Node], inputs: list[str]) -> None:
        """An OnnxHost of the nodes, once."""
        outputs = [name for name in nodes[-1].outputs if name]
        if all(name in self.tensors for name in outputs):
            return
        inputs = list(dict.fromkeys(inputs))
        op = host_operator(self.file, nodes, inputs, outputs)
        self.emit(op, *(Tensor(n, self.file.shapes[n], self.file.types[n]) for n in outputs))

    def quantize_on_host(self, edge: Edge, node: Node, scale: np.float32, zero_point: int, dtype: np.dtype) -> Stored:
        """float32 at the network's input as the accelerator's int8."""
        name = node.outputs[0]
        stored = self.entry(name, self.file.shapes[edge.name], dtype)
        self.know(stored, scale, zero_point)
        self.operators.append(Quantize(name, (edge.name,), (name,), half_even=True))
        return stored

    def constant_weights(self, value: Value) -> Weights:
        """Refuses a product by anything but quantized constants."""
        if isinstance(value, Weights):
            return value
        if isinstance(value, Constant):
            raise Unsupported(
                "its weights are float", "quantize them to int8 too (leave no operator out when quantizing)"
            )
        raise Unsupported(
            "its weights are computed: it multiplies two computed tensors",
            advice("attention", "store them as constants"),
        )

    def weights(self, value: Value, axis: int, channels: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Constant weights as int8, their scales [1] or [channels] along `axis`, and their one zero point."""
        value = self.constant_weights(value)
        raw, zero_points = value.raw, value.zero_point
        if raw.dtype not in (INT8, UINT8):
            raise Unsupported(f"its weights are {raw.dtype}", "quantize its weights to int8")
        if raw.size == 0:
            raise Unsupported(f"its weights have shape {list(raw.shape)}", "export the model again")
        if len(value.scale) > 1 and (value.axis % raw.ndim != axis or len(value.scale) != channels):
            raise Unsupported(
                f"its weights have {len(value.scale)} scales along axis {value.axis}",
                "quantize per output channel or per tensor",
            )
        if (zero_points != zero_points[0]).any():
            raise Unsupported(
                "its weights' zero points differ from channel to channel",
                "quantize weights symmetrically, or per tensor",
            )
        if raw.dtype == UINT8:
            return (raw ^ np.uint8(128)).view(np.int8), value.scale, int(zero_points[0]) - 128
        return raw, value.scale, int(zero_points[0])


def int8_tensor(name: str, shape: tuple[int, ...], form: FileForm, quantization: Quantization | None = None) -> Tensor:
    """An 8-bit tensor of the graph; its form is None where the graph's array is the file's."""
    plain = form == identity(shape, INT8)
    return Tensor(name, shape, INT8, quantization, None, None if plain else form)
