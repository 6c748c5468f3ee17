"""`python -m intaglio` is the command `intaglio`."""

from intaglio.cli import main

main()
