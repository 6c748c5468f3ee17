"""No option is taken and left unused, no stated value dropped, and no name makes lines of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from intaglio.cli import status
from intaglio.data import MODEL
from intaglio.errors import InputError
from intaglio.machine.config_files import load_config
from intaglio.network.tflite.write import TfliteBuilder

STATED = "rows: 8\ncols: 8\nfeed_bytes: 32\npartial_bytes: 4096\n"


@pytest.mark.parametrize(
    "option", [["--config", "tiny16"], ["--config", "none"], ["--objective", "cycles"], ["--prove"]]
)
def test_check_of_a_mapping_takes_no_other_option(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = tmp_path / "m.json"
    assert status(["map", str(MODEL), "--json", str(mapping)]) == 0
    assert status(["map", "--check", str(mapping)]) == 0
    capsys.readouterr()
    assert status(["map", "--check", str(mapping), *option]) == 2
    assert "--check takes no other option" in capsys.readouterr().err


def test_a_percentile_of_another_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["quantize", "f.onnx", "--data", "d.npz", "-o", str(tmp_path / "q.onnx"), "--percentile", "99"]
    assert status(given) == 2
    assert "--method percentile" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--outputs", "--trace", "--plot"])
def test_only_json_goes_to_standard_output(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["run", str(MODEL), option, "-"]) == 2
    assert "only --json writes to standard output" in capsys.readouterr().err
    assert not Path("-").exists()


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """As a user begins the command: Python 3.13.0 itself cannot import numpy there where the path begins with ""."""
    (tmp_path / "gone").mkdir()
    command = [sys.executable, "-m", "intaglio", "run", str(MODEL), "--json", "x.json"]
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$0"; exec "$@"', str(tmp_path / "gone"), *command],
        cwd=tmp_path / "gone",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 2 and "change to one that exists" in done.stderr


def test_what_a_file_states_stays(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(STATED)
    config = load_config(path, ["requantizers=2", "cols=4"])
    assert (config.feed_bytes, config.partial_bytes) == (32, 4096)
    assert load_config("edge64", ["cols=4"]).partial_bytes < load_config("edge64").partial_bytes


def test_a_field_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(STATED + "rows: 4\n")
    with pytest.raises(InputError, match="'rows' stands twice"):
        load_config(path)


@pytest.mark.parametrize(
    "options", ["check", "check --set rounding=[float]", "map", "run", "run --all-tensors --outputs o.npz"]
)
def test_a_name_begins_no_line(
    options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = options.split()
    monkeypatch.chdir(tmp_path)
    builder = TfliteBuilder("n\nFORGED")
    x = builder.input((1, 4, 4, 8), 0.02, -1, name="a\nFORGED")
    weights = np.ones((8, 1, 1, 8), np.int8)
    y = builder.conv2d(x, weights, np.zeros(8, np.int32), np.full(8, 0.01, np.float32), 0.02, -1, name="c\nFORGED")
    path = tmp_path / "f\nFORGED.tflite"
    builder.write(path, [y])
    status([command[0], str(path), *command[1:]])
    said = capsys.readouterr()
    assert not [line for line in (said.out + said.err).splitlines() if line.startswith("FORGED")]
