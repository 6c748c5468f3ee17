"""The notebook of examples/ runs from top to bottom and draws its pictures; it is committed without outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert")
nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "roofline.ipynb"


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    pictures = [o for cell in code for o in cell.outputs if "image/png" in o.get("data", {})]
    text = "".join(o.text for cell in code for o in cell.outputs if o.output_type == "stream")
    assert len(pictures) == 4 and "Ankle boot" in text and "FP32" in text
