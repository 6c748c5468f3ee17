"""All files of an export, in memory: the same bytes for the same model, configuration and version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from intaglio.analysis.layers import layer_figures, totals
from intaglio.export import c_example, c_known, c_network, c_registers, manual, templates, testbench
from intaglio.export.constraints import constraints
from intaglio.export.edges import edges_of
from intaglio.export.folder import MANIFEST
from intaglio.export.image import hex_words
from intaglio.export.known_answer import known_answer
from intaglio.export.manifest import manifest_of
from intaglio.files import json_text
from intaglio.hw.verilog import TOP
from intaglio.session import Session

FIXED = ("intaglio.h", "intaglio.c", "intaglio_host.h", "intaglio_host.c", "testbench.sv", "Makefile")
"""Files that are the same in every export."""


@dataclass(frozen=True)
class Bundle:
    """files: content by name, the manifest included. manifest: as data."""

    files: dict[str, bytes]
    manifest: dict[str, Any]


def make_bundle(
    model: str,
    model_bytes: bytes,
    session: Session,
    verilog: str,
    inputs: Mapping[str, np.ndarray] | None = None,
) -> Bundle:
    """model: the model file's name without folders, model_bytes: its content. verilog: that of session.config. inputs: those
    that the example and the testbench run with, by name, as the model file has them; random if None."""
    config, program = session.config, session.program
    clock = session.clock()
    layers = layer_figures(config, program, clock.retire_cycles, clock.cycles)
    summary = totals(config, program, layers, clock.cycles)
    edges = edges_of(session)
    answer = known_answer(session, inputs)
    tested = c_example.compared(edges)
    texts = {
        "README.md": manual.readme(model, session, edges, layers, summary, verilog),
        f"{TOP}.v": verilog,
        f"{TOP}.yaml": config.to_yaml(),
        "image.hex": hex_words(program.image, config.bus_bytes),
        "intaglio_regs.h": c_registers.registers_header(config),
        "intaglio_network.h": c_network.network_header(model, session, edges, clock.cycles),
        "intaglio_network.c": c_network.network_tables(session, edges),
        **{name: templates.text(name) for name in FIXED},
        "intaglio_test.h": c_known.known_header(program.network, tested, answer),
        "intaglio_test.c": c_known.known_arrays(tested, answer),
        **constraints(config),
        "testbench.vh": testbench.constants(session, edges, clock.cycles),
        "test_inputs.hex": testbench.rows_text(edges.inputs, answer),
        "test_outputs.hex": testbench.rows_text(edges.outputs, answer),
        "main.c": c_example.example(program.network, edges),
    }
    files = {"image.bin": program.image, **{name: text.encode() for name, text in texts.items()}}
    files = dict(sorted(files.items()))
    digest = hashlib.sha256(model_bytes).hexdigest()
    manifest = manifest_of(model, digest, session, edges, layers, summary, answer, files)
    return Bundle({**files, MANIFEST: json_text(manifest).encode()}, manifest)
