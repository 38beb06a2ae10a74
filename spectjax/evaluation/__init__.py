"""Scores of trained models on held-out images: numbers, tables and pictures."""
