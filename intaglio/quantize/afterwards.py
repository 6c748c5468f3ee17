"""The accelerator's refusals of a network that was just quantized."""

from __future__ import annotations

from intaglio.check import check
from intaglio.errors import InputError, Refusal, RefusedError
from intaglio.machine.config import Config
from intaglio.unfinished import temporary_folder


def refused_afterwards(content: bytes, name: str, config: Config) -> tuple[Refusal, ...]:
    """Everything that `intaglio check` refuses of a quantized ONNX file on a configuration. content: its bytes; name:
    its stem."""
    with temporary_folder() as folder:
        path = folder / f"{name}.onnx"
        path.write_bytes(content)
        try:
            return check(path, config).refusals
        except RefusedError as error:
            return error.refusals
        except InputError as error:
            return (Refusal(name, "network", str(error).removeprefix(f"{path}: "), "quantize it with other settings"),)
