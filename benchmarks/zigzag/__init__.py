"""ZigZag, a mapper for arrays of multipliers, beside ours: `python -m benchmarks.zigzag`."""
