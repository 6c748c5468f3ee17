"""Old models in a newer opset, by onnx's converter in a process of its own: on some models it ends the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx

from intaglio.errors import InputError
from intaglio.network.onnx.model import opset_of
from intaglio.unfinished import run_program

SECONDS = 600
CONVERT = """
import sys
import onnx, onnx.version_converter
model = onnx.ModelProto.FromString(sys.stdin.buffer.read())
try:
    content = onnx.version_converter.convert_version(model, int(sys.argv[1])).SerializeToString()
except Exception as error:
    sys.exit(" ".join(str(error).split())[:200] or type(error).__name__)
sys.stdout.buffer.write(content)
"""


def converted(model: onnx.ModelProto, path: Path, opset: int) -> onnx.ModelProto:
    """The model in this opset, which is newer than its own. path: for the message of the InputError where onnx cannot."""
    try:
        command, pipe = [sys.executable, "-c", CONVERT, str(opset)], subprocess.PIPE
        done = run_program(command, model.SerializeToString(), SECONDS, stdout=pipe, stderr=pipe)
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [
            f"it ended with {done.returncode}"
        ]
        if done.returncode == 0:
            newer: onnx.ModelProto = onnx.ModelProto.FromString(done.stdout)
            return newer
    except (OSError, subprocess.SubprocessError) as error:
        reason = [str(error)]
    raise InputError(
        f"{path}: onnx's version converter cannot bring it from opset {opset_of(model)} to {opset} ({reason[0][:200]}); export it "
        f"with opset {opset} or later"
    )
