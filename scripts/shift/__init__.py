"""What `scripts/measure_shift.py` is made of."""
