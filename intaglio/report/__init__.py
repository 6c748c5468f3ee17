"""Reports of a run: layers and their bounds, tables, JSON, and files written whole or not at all."""
