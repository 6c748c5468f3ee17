"""A program on a network's inputs: outputs, counters and cycles, on the host and on the Verilog."""
