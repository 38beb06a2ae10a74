"""What `scripts/benchmark.py` measures, counts and writes."""
