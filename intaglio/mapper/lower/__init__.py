"""A graph as tasks, or every reason why a configuration cannot run it."""
