"""What runs and programs tell: figures of layers, bounds, where an element came from, what differs, whether a document is true."""
