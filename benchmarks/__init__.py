"""Figures that are ratios to a bound or to a rival, measured in one run; never tests."""
