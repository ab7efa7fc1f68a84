"""The benchmarks: each dataflow beside a hand-written loop that does the same work."""
