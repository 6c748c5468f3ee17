"""Searches beyond the first schedule: whole programs timed, proofs, other objectives than cycles."""
