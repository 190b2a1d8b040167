"""Benchmarks: each script prints a table of measurements; run one as `python -m benchmarks.NAME`."""
