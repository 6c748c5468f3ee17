"""Results drawn from runs and programs: figures of layers, bounds, where an element came from, what differs, whether a
document is true."""
