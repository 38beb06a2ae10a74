"""The papers' crop of the thorax out of a whole-body scan, exact and undoable."""

from typing import TYPE_CHECKING

from spectjax.system.lazy import export_lazily

if TYPE_CHECKING:
    from spectjax.imaging.thorax.crop import CropError, ThoraxImage, crop_thorax
    from spectjax.imaging.thorax.transform import Box, CropTransform

__all__ = ["Box", "CropError", "CropTransform", "ThoraxImage", "crop_thorax"]
__getattr__ = export_lazily(
    __name__,
    {
        "crop": ["CropError", "ThoraxImage", "crop_thorax"],
        "transform": ["Box", "CropTransform"],
    },
)
