"""Exit statuses; docs/exit-status.md is their table."""

DONE, DIFFERENCE, BAD_INPUT, FAULT, NOT_WRITTEN, INTERRUPTED = 0, 1, 2, 3, 4, 130
