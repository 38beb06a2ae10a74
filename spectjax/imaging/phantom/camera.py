"""The gamma camera: from tracer in a body to the expected counts of a view.

Letters: H rows, W columns of the frame. Depths are distances in mm along z. Numbers
are for 140 keV and a low-energy high-resolution (LEHR) parallel-hole collimator.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from spectjax.imaging.scan import View

ATTENUATION_PER_MM = 0.012  # water, broad beam; 0.015 would be the narrow beam
INTRINSIC_FWHM_MM = 3.8
_HOLE_DIAMETER_MM = 1.11
_HOLE_LENGTH_MM = 24.05 - 2 / 2.64  # effective: lead at 140 keV has 2.64 per mm
_FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))
_SLAB_MM = 10.0
_SCATTER_SIGMA_MM = 45.0
_COARSE = 8  # the scatter is smooth: it is computed on blocks of 8x8 pixels


def fwhm_mm(distance_mm: np.ndarray | float) -> np.ndarray:
    """Returns the resolution at a distance from the face of the collimator.

    FWHM(z) = sqrt(R_int^2 + (d (l_e + z) / l_e)^2), in mm, with hole diameter d and
    effective hole length l_e.
    """
    spread = _HOLE_DIAMETER_MM * (1 + np.asarray(distance_mm) / _HOLE_LENGTH_MM)
    return np.hypot(INTRINSIC_FWHM_MM, spread)


@dataclass(frozen=True)
class Camera:
    """How a patient is scanned; the same for both views.

    Attributes:
        frame_hw: rows and columns of the image.
        spacing_mm: size of a pixel, the same in both directions.
        field: rows and columns that the detector sees, half-open (y0, x0, y1, x1) in
            pixels of the anterior view; there are no counts outside.
        gap_mm: distance of the collimators from the skin or the table.
        table: share of the photons that the table lets through to the posterior view.
        scatter: share of the detected counts that scattered in the body.
    """

    frame_hw: tuple[int, int] = (1024, 256)
    spacing_mm: float = 2.3
    field: tuple[int, int, int, int] = (0, 0, 1024, 256)
    gap_mm: float = 25.0
    table: float = 1.0
    scatter: float = 0.35

    def find_field(self, view: View) -> tuple[slice, slice]:
        """Returns the rows and columns of a view that the detector sees."""
        y0, x0, y1, x1 = self.field
        if view == "posterior":
            x0, x1 = self.frame_hw[1] - x1, self.frame_hw[1] - x0
        return slice(y0, y1), slice(x0, x1)


class Body(NamedTuple):
    """The soft tissue of a patient on the pixels of the anterior view.

    Attributes:
        front_mm: z of the skin in front, float32, (H, W).
        back_mm: z of the skin behind, equal to `front_mm` outside the body.
        tracer: uptake of the soft tissue per volume, float32, (H, W).
    """

    front_mm: np.ndarray
    back_mm: np.ndarray
    tracer: np.ndarray


class Sources(NamedTuple):
    """Points with tracer, in the frame of the anterior view.

    Attributes:
        row: rows, continuous pixel coordinates, float, (N,).
        column: columns, continuous pixel coordinates, float, (N,).
        depth_mm: z, float, (N,).
        weight: volume times uptake, float, (N,).
    """

    row: np.ndarray
    column: np.ndarray
    depth_mm: np.ndarray
    weight: np.ndarray


def attenuate(
    sources: Sources, body: Body, camera: Camera, view: View
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what is left of each point at the skin and how far the collimator is.

    A point at depth z below the skin keeps e^(-mu z), and what the table lets through
    of it in the posterior view.

    Returns:
        The weights, float32, (N,), and the distances from the collimator, mm, (N,).
    """
    near, face = _near_surface(body, camera, view)
    height, width = near.shape
    row = np.clip(sources.row, 0, height - 1).astype(np.intp)
    column = np.clip(sources.column, 0, width - 1).astype(np.intp)
    sign = 1 if view == "anterior" else -1
    along = (sign * sources.depth_mm).astype(np.float32)
    thickness = (body.back_mm - body.front_mm)[row, column]
    below = np.clip(along - near[row, column], 0, thickness)
    weight = sources.weight * np.exp(-ATTENUATION_PER_MM * below)
    if view == "posterior":
        weight *= camera.table
    return weight.astype(np.float32), np.maximum(along - face[row], 0)


def project(sources: Sources, body: Body, camera: Camera, view: View) -> np.ndarray:
    """Returns the expected image of points and soft tissue, scatter included.

    The patient is cut into slabs parallel to the collimator. Gaussian blurs compose,
    so the sum of the slabs is carried from the far side towards the camera and blurred
    on the way by what each centimetre adds to the variance.

    Returns:
        Expected counts up to one factor that both views share, float32, (H, W), as the
        view is shown: the patient's left is on the right of the anterior view and on
        the left of the posterior one.
    """
    near, face = _near_surface(body, camera, view)
    weight, distance = attenuate(sources, body, camera, view)
    height, width = near.shape
    slab = (distance / _SLAB_MM).astype(np.int16)
    order = np.argsort(slab, kind="stable")
    row, column, share = _share_pixels(sources.row[order], sources.column[order])
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    pixel = np.where(inside, row * width + column, 0)
    weight = np.where(inside, share * weight[order], 0)

    thickness = body.back_mm - body.front_mm
    skin = near - face[:, None]  # distance of the collimator from the skin
    last = int(max(distance.max(initial=0), (skin + thickness).max()) / _SLAB_MM)
    ends = np.searchsorted(slab[order], np.arange(last + 2))
    # Tracer per pixel that the soft tissue shows, but for the loss in depth.
    glow = body.tracer * (camera.spacing_mm**2 / ATTENUATION_PER_MM)
    if view == "posterior":
        glow = glow * camera.table

    image = np.zeros((height, width), np.float32)
    beyond = np.exp(-ATTENUATION_PER_MM * thickness)
    for index in range(last, -1, -1):
        variance = _variance_px(index + 1, camera) - _variance_px(index, camera)
        _diffuse(image, variance)
        first, end = ends[index], ends[index + 1]
        points = np.bincount(
            pixel[:, first:end].ravel(), weight[:, first:end].ravel(), height * width
        )
        image += points.reshape(height, width).astype(np.float32)
        above = np.exp(
            -ATTENUATION_PER_MM * np.clip(index * _SLAB_MM - skin, 0, thickness)
        )
        image += glow * (above - beyond)
        beyond = above
    sigma = np.sqrt(_variance_px(0, camera))
    # The small steps of the blur may leave a rounding error below zero.
    image = np.maximum(ndimage.gaussian_filter(image, sigma), 0)
    image += _scatter(image, thickness, camera)
    if view == "posterior":
        image = image[:, ::-1]
    field = camera.find_field(view)
    seen = np.zeros_like(image)
    seen[field] = image[field]
    return seen


def _share_pixels(
    row: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the four pixels nearest to each point and their bilinear shares.

    Whole points in single pixels would make the image of a thin line a staircase.

    Returns:
        Rows, columns (int) and shares (float32), (4, N) each.
    """
    top, left = np.floor(row - 0.5), np.floor(column - 0.5)
    down, right = row - 0.5 - top, column - 0.5 - left
    rows = top.astype(np.intp) + np.array([[0], [0], [1], [1]])
    columns = left.astype(np.intp) + np.array([[0], [1], [0], [1]])
    shares = np.stack(
        [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    )
    return rows, columns, shares.astype(np.float32)


def _near_surface(
    body: Body, camera: Camera, view: View
) -> tuple[np.ndarray, np.ndarray]:
    """Returns depth of the skin (H, W) and of the collimator (H,), away from it."""
    if view == "posterior":
        near = -body.back_mm
        # The patient lies on the table: the camera below it cannot come nearer.
        return near, np.full(len(near), near.min() - camera.gap_mm, np.float32)
    # The camera above follows the body, as flat and as long as a detector is.
    length = round(300 / camera.spacing_mm)
    highest = ndimage.minimum_filter1d(body.front_mm.min(axis=1), length)
    return body.front_mm, highest - camera.gap_mm


def _variance_px(slab: int, camera: Camera) -> float:
    """Returns the variance of the blur in the middle of a slab, in square pixels."""
    sigma_mm = fwhm_mm((slab + 0.5) * _SLAB_MM) / _FWHM_PER_SIGMA
    return float((sigma_mm / camera.spacing_mm) ** 2)


def _diffuse(image: np.ndarray, variance_px: float) -> None:
    """Blurs in place by a Gaussian of a small variance v (square pixels).

    Along each axis: 1 + v/2 D + v (3 v - 1)/24 D^2 with the second difference D. It
    has the second and the fourth moment of the Gaussian, so that many small steps add
    up to a Gaussian again; D alone would leave the tails too long.
    """
    first = np.float32(variance_px / 2)
    second = np.float32(variance_px * (3 * variance_px - 1) / 24)
    for axis in (image, image.T):
        bend = _second_difference(axis)
        axis += first * bend + second * _second_difference(bend)


def _second_difference(image: np.ndarray) -> np.ndarray:
    """Returns D image along the rows' axis; what would leave at the edges stays."""
    flow = np.diff(image, axis=0)
    bend = np.zeros_like(image)
    bend[:-1] += flow
    bend[1:] -= flow
    return bend


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


def project_spot(
    sources: Sources, body: Body, camera: Camera, view: View
) -> tuple[tuple[int, int], np.ndarray]:
    """Returns the expected image of a small spot alone, without scatter.

    Args:
        sources: points close enough to each other to share one blur.
        body: what attenuates them.
        camera: how the patient is scanned.
        view: the view that is wanted.

    Returns:
        Row and column of the first pixel of a patch of the view's frame, and the
        patch, float32, in the unit of `project`.
    """
    weight, distance = attenuate(sources, body, camera, view)
    height, width = camera.frame_hw
    column = sources.column if view == "anterior" else width - sources.column
    y, x, share = _share_pixels(sources.row, column)
    sigma = np.sqrt(_variance_px(int(distance.mean() / _SLAB_MM), camera))
    margin = int(np.ceil(4 * sigma))
    y0, x0 = y.min() - margin, x.min() - margin
    patch = np.zeros((y.max() + margin + 1 - y0, x.max() + margin + 1 - x0), np.float32)
    np.add.at(patch, (y - y0, x - x0), share * weight)
    patch = ndimage.gaussian_filter(patch, sigma)
    top, left = max(-y0, 0), max(-x0, 0)
    patch = patch[top : height - y0, left : width - x0]
    return (int(y0 + top), int(x0 + left)), patch
