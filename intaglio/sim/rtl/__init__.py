"""The emitted Verilog as a program, built by Verilator."""
