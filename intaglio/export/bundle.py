"""All files of an export, in memory: the same bytes for the same model, configuration and version."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from intaglio.analysis.layers import layer_figures, totals
from intaglio.export import c_example, c_network, c_registers, manual, templates
from intaglio.export.edges import edges_of
from intaglio.export.folder import MANIFEST
from intaglio.export.image import hex_words
from intaglio.export.manifest import manifest_of
from intaglio.files import json_text
from intaglio.hw.verilog import TOP
from intaglio.session import Session

DRIVER = ("intaglio.h", "intaglio.c", "intaglio_host.h", "intaglio_host.c")
"""Files that are the same in every export."""


@dataclass(frozen=True)
class Bundle:
    """files: content by name, the manifest included. manifest: as data."""

    files: dict[str, bytes]
    manifest: dict[str, Any]


def make_bundle(model: str, model_bytes: bytes, session: Session, verilog: str) -> Bundle:
    """model: the model file's name without folders, model_bytes: its content. verilog: that of session.config."""
    config, program = session.config, session.program
    clock = session.clock()
    layers = layer_figures(config, program, clock.retire_cycles, clock.cycles)
    summary = totals(config, program, layers, clock.cycles)
    edges = edges_of(session)
    texts = {
        "README.md": manual.readme(model, session, edges, layers, summary, verilog),
        f"{TOP}.v": verilog,
        f"{TOP}.yaml": config.to_yaml(),
        "image.hex": hex_words(program.image, config.bus_bytes),
        "intaglio_regs.h": c_registers.registers_header(),
        "intaglio_network.h": c_network.network_header(model, session, edges, clock.cycles),
        "intaglio_network.c": c_network.network_tables(session, edges),
        **{name: templates.text(name) for name in DRIVER},
        "main.c": c_example.example(program.network, edges),
    }
    files = {"image.bin": program.image, **{name: text.encode() for name, text in texts.items()}}
    files = dict(sorted(files.items()))
    digest = hashlib.sha256(model_bytes).hexdigest()
    manifest = manifest_of(model, digest, session, edges, layers, summary, files)
    return Bundle({**files, MANIFEST: json_text(manifest).encode()}, manifest)
