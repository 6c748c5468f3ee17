"""The package's version, of programs, documents and exports too."""

__version__ = "0.1.0"
