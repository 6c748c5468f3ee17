"""External memory: what a model of it is (model.py), the state at its port (port.py), and the models, a file each."""

from intaglio.sim.memory import channel
from intaglio.sim.memory.model import MemoryModel, model_of, register, step_for_c

__all__ = ["MemoryModel", "channel", "model_of", "register", "step_for_c"]
