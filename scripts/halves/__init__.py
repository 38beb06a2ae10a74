"""Pictures of half a chest for `scripts/score_chest_halves.py`."""
