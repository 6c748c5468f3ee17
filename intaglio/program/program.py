"""The Program: a network scheduled onto one configuration, as the simulators, the RTL and a board run it.

Plain data that can be printed, saved, loaded and checked (`validate`). All offsets are bytes from the
base register.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.files import LARGEST, write_bytes
from intaglio.machine import isa
from intaglio.machine.config import INSTRUCTION_SET
from intaglio.machine.config_files import config_from_dict
from intaglio.machine.formats import FORMATS, INT8, format_named
from intaglio.npz import Header, read_npz
from intaglio.program.layout import Layout
from intaglio.program.table import table_of, words_of
from intaglio.text import shown

VERSION = 1
"""Version of the saved form; docs/versions.md says when it is raised."""
LARGEST_HEAD = 64 * 2**20
"""Bytes of a saved program's JSON: names and numbers of layers and tensors."""
BASE_ALIGNMENT = 4096
"""Alignment of every base in external memory: bursts then split alike wherever the program is placed."""
PROGRAM_OFFSET = 0
"""Offset of the commands in the image."""


@dataclass(frozen=True)
class Place:
    """A tensor in external memory: row r is row_bytes bytes from offset + r * row_stride.

    An image [N, H, W, C] has N * H rows of W * C elements; a rank-2 tensor [N, I] has N rows of I. format: of an element, by name; every
    `pixel` elements begin at a byte, `pitch` bytes from the ones to the next: with int8 as many bytes as elements.
    """

    offset: int
    rows: int
    row_bytes: int
    row_stride: int
    format: str = INT8.name
    pixel: int = 1
    pitch: int = 1

    @staticmethod
    def of(layout: Layout, base: int) -> Place:
        """The place of a tensor of which the value begins at `base`. Images of one value with a gap between them have
        none."""
        assert not layout.image_gap, "a part of a tensor of several images has no place of its own"
        return Place(
            base + layout.start + layout.first,
            layout.rows,
            layout.row_bytes,
            layout.stride,
            layout.format.name,
            layout.pixel,
            layout.pitch,
        )

    def fault(self) -> str | None:
        """Reason why no tensor lies so; None if one may."""
        if min(self.rows, self.row_bytes, self.pixel, self.pitch) < 1 or self.offset < 0:
            return "a number is not positive"
        if self.row_stride < max(self.row_bytes, self.pitch):
            return f"rows of {self.row_bytes} bytes every {self.row_stride} overlap"
        try:
            size = format_named(self.format).bytes_of(self.pixel)
        except ValueError as error:
            return " ".join(str(error).split())[:200]
        if self.pitch < size:
            return f"pixels of {size} bytes every {self.pitch} overlap"
        if self.row_bytes < size or (self.row_bytes - size) % self.pitch:
            return f"rows of {self.row_bytes} bytes do not hold whole pixels of {size} bytes every {self.pitch}"
        return None

    @property
    def layout(self) -> Layout:
        """Its elements as they lie from `offset` on. ValueError for a format that is not known."""
        form = format_named(self.format)
        pixels = (self.row_bytes - form.bytes_of(self.pixel)) // self.pitch + 1
        return Layout(self.rows, pixels * self.pixel, self.row_stride, form, self.pixel, self.pitch)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; without those that every int8 tensor has."""
        given = dataclasses.asdict(self)
        return {f.name: given[f.name] for f in dataclasses.fields(self) if given[f.name] != f.default}

    @property
    def span(self) -> int:
        """Bytes from offset to the end of the last row's padding."""
        return self.rows * self.row_stride


@dataclass(frozen=True)
class Layer:
    """One operator of the network and what limits it. A layer's tag is its index in Program.layers.

    name: its output tensor or the file's name. kind: the operator's class. where: 'accelerator' or 'host'.
    macs: multiply-accumulates as usually counted (each output element times the whole kernel).
    compute_cycles: fewest cycles of the array, every element busy and kernel rows in the padding left out, or of the vector path, for
        what the network's outputs need of the layer.
    external_bytes: bytes that any schedule must move (weights but those of kernel rows always in the padding, records, what the layer
        needs of the network's inputs, of several readers the one that needs most, and the network's outputs).
    memory_cycles: external_bytes at the external memory's rate.
    """

    name: str
    kind: str
    where: str
    macs: int
    compute_cycles: int
    external_bytes: int
    memory_cycles: int

    @property
    def bound_cycles(self) -> int:
        """No schedule of this layer alone takes fewer cycles on the accelerator."""
        return max(self.compute_cycles, self.memory_cycles)

    @property
    def bound_by(self) -> str:
        """'compute', 'memory', or 'nothing' where there is no work (host layers, free reshapes)."""
        if self.bound_cycles == 0:
            return "nothing"
        return "compute" if self.compute_cycles >= self.memory_cycles else "memory"


@dataclass(frozen=True)
class Program:
    """commands: in program order. image: external memory's first bytes: the commands' words from
    PROGRAM_OFFSET, then weights and channel records. memory_bytes: external bytes that the program uses,
    tensors included. places: every tensor that has a place outside (inputs, outputs, spilled ones; all of the
    accelerator's with keep_all). inputs: tensors that the host writes before the start; outputs: those that
    it reads after the end. config: the configuration as plain values; config_hash: its hardware_hash.
    """

    network: str
    config: dict[str, Any]
    config_hash: int
    commands: tuple[isa.Command, ...] = field(repr=False)
    image: bytes = field(repr=False)
    memory_bytes: int
    places: dict[str, Place]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    version: int = VERSION

    def words(self) -> np.ndarray:
        """The commands as the hardware reads them, uint32."""
        return words_of(table_of(self.commands))

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    # Files.

    def save(self, path: str | Path) -> None:
        """Writes one .npz file, atomically: an existing file stays whole until the new one is complete."""
        path = Path(path)
        head = {
            "format": "intaglio program",
            "version": self.version,
            "instruction_set": INSTRUCTION_SET,
            "network": self.network,
            "config": self.config,
            "config_hash": self.config_hash,
            "program_words": sum(isa.WORDS_OF[c.opcode] for c in self.commands),
            "memory_bytes": self.memory_bytes,
            "places": {name: place.to_dict() for name, place in self.places.items()},
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
        }
        data = io.BytesIO()
        np.savez_compressed(
            data,
            head=np.frombuffer(json.dumps(head).encode(), np.uint8),
            image=np.frombuffer(self.image, np.uint8),
        )
        write_bytes(path, data.getvalue())

    @staticmethod
    def load(path: str | Path) -> Program:
        """Reads what `save` wrote. A file that is missing, broken, of another version or for another instruction set
        raises InputError."""
        path = Path(path)
        try:
            arrays = read_npz(
                path, lambda headers: _accept(path, headers), "give a file that `intaglio map --program` wrote"
            )
        except InputError as error:
            raise InputError(f"program {error}") from None
        try:
            return _from_parts(json.loads(arrays["head"].tobytes()), arrays["image"].tobytes())
        except InputError as error:
            raise InputError(f"program {path}: {error}; map the network again") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"program {path}: broken ({reason}); map the network again") from None

    # Reading by people.

    def listing(self) -> str:
        """The program as text: layers, places, then each command with its tokens and its nonzero fields."""
        lines = [
            f"program for {shown(self.network)} on {shown(str(self.config.get('name', '?')))} (hash {self.config_hash:016x}): "
            f"{len(self.commands)} commands, {len(self.image)} bytes of image, "
            f"{self.memory_bytes} bytes of external memory, {self.macs} MACs"
        ]
        for index, layer in enumerate(self.layers):
            lines.append(
                f"layer {index}: {shown(layer.name)} {layer.kind} on {layer.where}, {layer.macs} MACs, at least "
                f"{layer.bound_cycles} cycles ({layer.bound_by})"
            )
        for name, place in self.places.items():
            role = "input" if name in self.inputs else "output" if name in self.outputs else "kept outside"
            lines.append(
                f"tensor {shown(name)} ({role}): offset {place.offset}, {place.rows} rows of "
                f"{place.row_bytes} bytes every {place.row_stride}{_told(place)}"
            )
        tag = -1
        for index, command in enumerate(self.commands):
            if command["tag"] != tag:
                tag = command["tag"]
                name = shown(self.layers[tag].name) if tag < len(self.layers) else "?"
                lines.append(f"-- layer {tag}: {name}")
            lines.append(f"{index:5d} {describe_command(command)}")
        return "\n".join(lines) + "\n"


def _told(place: Place) -> str:
    """The format of a tensor's elements, where it is not int8."""
    if (place.format, place.pixel, place.pitch) == (INT8.name, 1, 1):
        return ""
    return f", {place.layout.row_elements} {place.format} in pixels of {place.pixel} every {place.pitch}"


def describe_command(command: isa.Command) -> str:
    """One command on one line: its tokens, then its fields except those that are 0."""
    others = [e for e in isa.Engine if e != command.engine]
    tokens = []
    for verb in ("wait", "signal"):
        names = [e.name for bit, e in enumerate(others) if command[verb] >> bit & 1]
        tokens.append(f"{verb} {'+'.join(names)}" if names else "")
    values = [
        f"{f.name}={FORMATS[command[f.name]].name if f.name in isa.ELEMENTS else command[f.name]}"
        for f in isa.FIELDS[command.opcode]
        if f.name not in ("opcode", "wait", "signal", "tag") and command[f.name]
    ]
    return f"{command.opcode.name:5s} {tokens[0]:18s} {tokens[1]:21s} {' '.join(values)}"


def _accept(path: Path, headers: Mapping[str, Header]) -> None:
    """InputError unless the file's arrays are a program's."""
    for name, most in (("head", LARGEST_HEAD), ("image", LARGEST)):
        header = headers.get(name)
        if header is None or header.dtype != np.uint8 or len(header.shape) != 1 or header.nbytes > most:
            raise InputError(
                f"{path}: not a program: no run of at most {most} bytes {name!r} in it; map the network again"
            )
    if len(headers) != 2:
        raise InputError(f"{path}: not a program: it holds other arrays too; map the network again")


def _from_parts(head: Any, image: bytes) -> Program:
    if not isinstance(head, dict) or head.get("format") != "intaglio program":
        raise InputError("not a program of intaglio")
    if head["version"] != VERSION:
        raise InputError(f"version {head['version']!r}, this intaglio reads {VERSION}")
    if head.get("instruction_set", INSTRUCTION_SET) != INSTRUCTION_SET:  # absent in files written before it was kept
        raise InputError(f"for instruction set {head['instruction_set']!r}, this intaglio has {INSTRUCTION_SET}")
    config, config_hash = config_from_dict(head["config"], "its configuration"), _whole(head["config_hash"])
    if config.hardware_hash() != config_hash:
        raise InputError(
            f"for another instruction set, or a machine with other fields: its configuration's hash is {config_hash:016x}, "
            f"here {config.hardware_hash():016x} (instruction set {INSTRUCTION_SET})"
        )
    words = _whole(head["program_words"])
    code = image[PROGRAM_OFFSET : PROGRAM_OFFSET + 4 * words]
    if len(code) < 4 * words:
        raise InputError("the image ends before the commands do")
    commands = isa.decode([int(w) for w in np.frombuffer(code, "<u4")])
    places = {str(name): _place(str(name), place) for name, place in head["places"].items()}
    layers = []
    for layer in head["layers"]:
        numbers = [_whole(layer[k]) for k in ("macs", "compute_cycles", "external_bytes", "memory_cycles")]
        layers.append(Layer(str(layer["name"]), str(layer["kind"]), str(layer["where"]), *numbers))
    return Program(
        network=str(head["network"]),
        config=head["config"],
        config_hash=config_hash,
        commands=tuple(commands),
        image=image,
        memory_bytes=_whole(head["memory_bytes"]),
        places=places,
        inputs=tuple(str(name) for name in head["inputs"]),
        outputs=tuple(str(name) for name in head["outputs"]),
        layers=tuple(layers),
    )


def _place(name: str, given: Any) -> Place:
    """A tensor's place. Keys that are not known are left unread."""
    if not isinstance(given, dict):
        raise InputError(f"broken (the place of tensor {shown(name)} is no mapping)")
    values = {f.name: given[f.name] for f in dataclasses.fields(Place) if f.name in given}
    numbers = {key: value for key, value in values.items() if key != "format"}
    wrong = [
        key for key, value in numbers.items() if not isinstance(value, int) or isinstance(value, bool) or value < 0
    ]
    wrong += [f.name for f in dataclasses.fields(Place) if f.name not in given and f.default is dataclasses.MISSING]
    if wrong or not isinstance(values.get("format", ""), str):
        what = wrong[0] if wrong else "format"
        raise InputError(f"broken (the place of tensor {shown(name)}: {what} = {shown(str(given.get(what)))[:40]})")
    place = Place(**values)
    if fault := place.fault():
        raise InputError(f"broken (the place of tensor {shown(name)}: {fault})")
    return place


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a whole number")
    return value
