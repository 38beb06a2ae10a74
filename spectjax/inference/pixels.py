"""Images on the pixels that a model has learned from, and its answer on theirs.

Height, width and classes are H, W and K.
"""

from dataclasses import dataclass

import numpy as np
import scipy

from spectjax.imaging.geometry import SIZES


def choose_zoom(
    spacing_mm: tuple[float, float] | None, pixel_mm: float | None
) -> float:
    """Returns how often an image has to be enlarged for a model; 1 if it fits as it is.

    Args:
        spacing_mm: height and width of the image's pixels; None if unknown.
        pixel_mm: of the images that the model learned from; None: it takes any.
    """
    if spacing_mm is None or pixel_mm is None:
        return 1.0
    zoom = float(np.mean(spacing_mm)) / pixel_mm
    return 1.0 if SIZES[0] <= 1 / zoom <= SIZES[1] else zoom


def enlarge(image: np.ndarray, zoom: float, outside: float = 0.0) -> np.ndarray:
    """Returns an image (H, W) enlarged about its middle, on as many pixels, float32.

    Pixels are interpolated linearly; what enters has the value `outside`.
    """
    middle = (np.array(image.shape) - 1) / 2
    enlarged: np.ndarray = scipy.ndimage.affine_transform(
        image.astype(np.float32),
        np.full(2, 1 / zoom),
        middle - middle / zoom,
        order=1,
        mode="grid-constant",
        cval=outside,
    )
    return enlarged


def carry_back(probabilities: np.ndarray, zoom: float) -> np.ndarray:
    """Returns probabilities (H, W, K) on the image's own pixels, see `enlarge`.

    Where the model saw nothing of the image, it is background, class 0.
    """
    planes = [
        enlarge(plane, 1 / zoom, outside=float(number == 0))
        for number, plane in enumerate(np.moveaxis(probabilities, -1, 0))
    ]
    return np.stack(planes, axis=-1)


@dataclass(frozen=True)
class PixelFit:
    """Shows a model images on its own pixels, see `spectjax.evaluation.batches.Fit`.

    Attributes:
        zooms: how often each of N images is enlarged, (N,).
    """

    zooms: np.ndarray

    @classmethod
    def create(
        cls, spacing_mm: np.ndarray, pixel_mm: float | None
    ) -> "PixelFit | None":
        """Returns it for images of pixels (N, 2), NaN if unknown; None if all fit."""
        sizes = [
            None if np.isnan(each).any() else (float(each[0]), float(each[1]))
            for each in spacing_mm
        ]
        zooms = np.array([choose_zoom(each, pixel_mm) for each in sizes])
        return cls(zooms) if np.any(zooms != 1) else None

    def enter(self, rows: slice, images: np.ndarray) -> np.ndarray:
        """Returns images (B, H, W, 1), float32, as the model takes them."""
        shown = images.astype(np.float32)
        for place, zoom in enumerate(self.zooms[rows]):
            if zoom != 1:
                shown[place, :, :, 0] = enlarge(images[place, :, :, 0], zoom)
        return shown

    def leave(self, rows: slice, answer: np.ndarray) -> np.ndarray:
        """Returns probabilities (B, H, W, K) on the images' own pixels."""
        answer = np.array(answer)
        for place, zoom in enumerate(self.zooms[rows]):
            if zoom != 1:
                answer[place] = carry_back(answer[place], zoom)
        return answer
