"""The papers' crop of the thorax out of a whole-body scan, exact and undoable."""

from spectjax.imaging.thorax.crop import CropError, ThoraxImage, crop_thorax
from spectjax.imaging.thorax.transform import Box, CropTransform

__all__ = ["Box", "CropError", "CropTransform", "ThoraxImage", "crop_thorax"]
