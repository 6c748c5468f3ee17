"""Layers that run together, piece by piece, as chains."""
