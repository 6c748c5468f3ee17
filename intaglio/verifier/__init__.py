"""The proof that a program is safe on a machine, by an account of its own: nothing here is what the mapper used to make it, but
the machine's facts."""
