"""The detector of the gamma camera: scatter, field of view and counting noise.

Letters: H rows, W columns of the frame.
"""

import numpy as np
from scipy import ndimage

from spectjax.imaging.scan import View
from spectjax.phantom.camera import ATTENUATION_PER_MM, Body, Camera

_SCATTER_SIGMA_MM = 45.0
_COARSE = 8  # the scatter is smooth: it is computed on blocks of 8x8 pixels


def detect(image: np.ndarray, body: Body, camera: Camera, view: View) -> np.ndarray:
    """Returns the image of a view with scatter, and nothing outside of the field.

    The image holds expected counts without scatter, as the view is shown, (H, W).
    """
    thickness = body.back_mm - body.front_mm
    if view == "posterior":
        thickness = thickness[:, ::-1]
    field = camera.find_field(view)
    seen = np.zeros_like(image)
    seen[field] = (image + _scatter(image, thickness, camera))[field]
    return seen


def count_photons(rng: np.random.Generator, expectation: np.ndarray) -> np.ndarray:
    """Returns the counts of an exposure, Poisson-distributed, uint16, (H, W)."""
    return rng.poisson(expectation).astype(np.uint16)


def _scatter(image: np.ndarray, thickness: np.ndarray, camera: Camera) -> np.ndarray:
    """Returns the scattered photons, which come from anywhere in the body near by.

    A parallel-hole collimator shows a scattered photon where it scattered, so scatter
    ends where the body ends: a broad kernel, weighted by how likely a photon scatters
    in the thickness of the body.
    """
    height, width = image.shape
    pad = (-height % _COARSE, -width % _COARSE)
    blocks = np.pad(image, ((0, pad[0]), (0, pad[1])))
    blocks = blocks.reshape(
        blocks.shape[0] // _COARSE, _COARSE, blocks.shape[1] // _COARSE, _COARSE
    ).sum(axis=(1, 3))
    sigma = _SCATTER_SIGMA_MM / camera.spacing_mm / _COARSE
    broad = ndimage.gaussian_filter(blocks, sigma)
    broad = ndimage.zoom(broad, _COARSE, order=1, grid_mode=True, mode="nearest")
    matter = 1 - np.exp(-ATTENUATION_PER_MM * thickness)
    scattered = broad[:height, :width] * ndimage.gaussian_filter(matter, 1.5)
    total = scattered.sum()
    if total > 0:
        scattered *= camera.scatter / (1 - camera.scatter) * image.sum() / total
    return scattered
