"""A program: its commands as numbers, its image and files, and the layout of tensors."""
