"""Layers as tasks of the accelerator: what each reads, needs and costs, and the commands that compute it. A file or two for each
operator, all behind `task.Task`."""
