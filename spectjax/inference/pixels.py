"""Images on the pixels that a model has learned from, and its answer on theirs.

Height, width and classes are H, W and K.
"""

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
