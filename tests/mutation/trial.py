"""What runs on a changed hardware."""

from __future__ import annotations

from pathlib import Path

from tests.changed_tree import VERIFY
from tests.mutation.blocks import BLOCKS
from tests.mutation.mutants import Mutant


def stages_of(mutant: Mutant) -> list[str]:
    """Checks of tests.changed_tree.Tree, in order."""
    return [*BLOCKS[Path(mutant.file).stem], VERIFY]
