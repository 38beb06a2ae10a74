"""What `scripts/measure_burden.py` is made of."""
