"""Moved to intaglio.machine.counters; this name goes with the next release."""

import warnings

from intaglio.machine.counters import *  # noqa: F403

warnings.warn("intaglio.hw.counters is intaglio.machine.counters now", DeprecationWarning, stacklevel=2)
