"""The good files that are spoiled: small networks, data, configurations, mappings, programs. Made in a process of its own, for
onnxruntime leaves threads behind that a forked process does not have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

NETWORKS = 6


def make(folder: Path) -> None:
    """Fills the folder with the good files."""
    subprocess.run([sys.executable, "-m", "tests.fuzz_files.bases", str(folder)], check=True, stdout=subprocess.DEVNULL)


def _make(folder: Path) -> None:
    import onnx

    from intaglio import random_inputs
    from intaglio.cli import status
    from intaglio.machine.config_files import load_config, shipped_names
    from intaglio.network import load
    from intaglio.npz import npz_bytes
    from tests.networks import random_network
    from tests.onnx_networks import random_onnx_network
    from tests.quantize.onnx_models import residual, samples, save

    networks = []
    for seed in range(NETWORKS):
        networks.append(folder / f"net{seed}.tflite")
        random_network(seed, networks[-1], edges=seed % 2 == 1)
        networks.append(folder / f"net{seed}.onnx")
        random_onnx_network(seed, networks[-1])
    for path in networks:
        path.with_name(path.stem + "_float.onnx").unlink(missing_ok=True)
        graph = load(path)
        (folder / f"{path.name}.in.npz").write_bytes(npz_bytes(random_inputs(graph, 0)))
        many = {name: np.concatenate([value] * 3) for name, value in random_inputs(graph, 0).items()}
        labels = {"labels": np.zeros(3, np.int64)}
        (folder / f"{path.name}.data.npz").write_bytes(npz_bytes(many | labels))
        status(
            ["map", str(path), "--config", "tiny16", "--json", f"{path}.map.json", "--program", f"{path}.program.npz"]
        )
    save(residual(), folder / "float.onnx")
    external = residual()
    onnx.save(external, folder / "apart.onnx", save_as_external_data=True, location="apart.data", size_threshold=0)
    np.savez(folder / "float.data.npz", inputs=samples(), labels=np.zeros(12, np.int64))
    for name in shipped_names():
        (folder / f"{name}.yaml").write_text(load_config(name).to_yaml())
    table = Path(load_config.__code__.co_filename).parents[1] / "power_model" / "tables" / "horowitz45.yaml"
    (folder / "table.yml").write_bytes(table.read_bytes())


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
