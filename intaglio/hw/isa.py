"""Moved to intaglio.machine.isa; this name goes with the next release."""

import warnings

from intaglio.machine.isa import *  # noqa: F403
from intaglio.machine.isa import zero_bits

unnamed_bits = zero_bits

warnings.warn("intaglio.hw.isa is intaglio.machine.isa now", DeprecationWarning, stacklevel=2)
