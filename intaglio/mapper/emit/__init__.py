"""Schedules as commands, their order and tokens."""
