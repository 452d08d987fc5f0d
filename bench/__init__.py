"""Benchmarks with bars: `scripts/bench NAME`."""
