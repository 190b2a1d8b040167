"""Scripts that print a table of measured figures; run one as `python -m benchmarks.NAME`."""
