"""Benchmarks: each compares ours with a limit or a peer in one run and ends with one JSON line."""
