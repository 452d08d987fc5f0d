"""Benchmarks with bars: `python -m bench.NAME` from the repository root."""
