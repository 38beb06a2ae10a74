"""Metastasis or none, image by image and patient by patient ([P2])."""
