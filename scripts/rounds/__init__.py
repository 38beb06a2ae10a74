"""What `scripts/correction_rounds.py` is made of."""
