"""Facts of the machine, each written once: RTL, clocks, mapper, verifier and power model read them here.

Imports no other part of intaglio but what reads and refuses files.
"""
