"""A network and its accelerator as files for a hardware project: Verilog, memory image, C driver, README."""

from __future__ import annotations

from intaglio.export.bundle import Bundle, make_bundle
from intaglio.export.folder import check_folder, write_folder

__all__ = ["Bundle", "check_folder", "make_bundle", "write_folder"]
