"""Which tensors stay on chip, and which layers run together: the search by estimates."""
