"""Trained models that answer, whoever runs them."""
