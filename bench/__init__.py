"""Benchmarks: ratios within one run, on one machine, against what a user would pick instead."""
