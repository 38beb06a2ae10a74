"""Scores: pure functions from counts or arrays to numbers."""
