"""The search by estimates: which tensors stay on chip, which layers run together."""
