"""The gamma camera: from tracer in a body to the photons that reach the collimator.

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
_HOLE_LENGTH_MM = 24.05 - 2 / 2.64  # effective: lead at 140 keV has 2.64 per mm
_FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))
_SLAB_MM = 20.0
_MARGIN_PX = 16  # more than three times the widest blur


def fwhm_mm(
    distance_mm: np.ndarray | float, hole_diameter_mm: float = 1.11
) -> np.ndarray:
    """Returns the resolution at a distance from the face of the collimator.

    FWHM(z) = sqrt(R_int^2 + (d (l_e + z) / l_e)^2), in mm, with hole diameter d and
    effective hole length l_e.
    """
    spread = hole_diameter_mm * (1 + np.asarray(distance_mm) / _HOLE_LENGTH_MM)
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
        hole_diameter_mm: of the collimator.
    """

    frame_hw: tuple[int, int] = (1024, 256)
    spacing_mm: float = 2.3
    field: tuple[int, int, int, int] = (0, 0, 1024, 256)
    gap_mm: float = 25.0
    table: float = 1.0
    scatter: float = 0.35
    hole_diameter_mm: float = 1.11

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
        cover_mm: thickness of what lies on the front and holds no tracer, as water,
            float32, (H, W).
    """

    front_mm: np.ndarray
    back_mm: np.ndarray
    tracer: np.ndarray
    cover_mm: np.ndarray


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

    A point at depth z below the skin keeps e^(-mu z), and what covers or the table let
    through of it.

    Returns:
        The weights, float32, (N,), and the distances from the collimator, mm, (N,).
    """
    near, face = _near_surface(body, camera, view)
    height, width = near.shape
    row = np.clip(sources.row.astype(np.intp), 0, height - 1)
    column = np.clip(sources.column.astype(np.intp), 0, width - 1)
    pixel = row * width + column
    along = sources.depth_mm.astype(np.float32)
    if view == "posterior":
        along = -along
    thickness = (body.back_mm - body.front_mm).ravel()[pixel]
    below = np.clip(along - near.ravel()[pixel], 0, thickness)
    weight = sources.weight.astype(np.float32) * np.exp(-ATTENUATION_PER_MM * below)
    weight *= _let_through(body, camera, view).ravel()[pixel]
    return weight, np.maximum(along - face[row], 0)


def project(sources: Sources, body: Body, camera: Camera, view: View) -> np.ndarray:
    """Returns the expected image of points and soft tissue, without scatter.

    The patient is cut by planes parallel to the collimator, and each point is shared
    between the two next to it. Gaussian blurs compose, so the sum of the planes is
    carried from the far side towards the camera and blurred on the way by what each
    step adds to the variance.

    Returns:
        Expected counts up to one factor that both views share, float32, (H, W), as the
        view is shown: the patient's left is on the right of the anterior view and on
        the left of the posterior one.
    """
    rows, columns = _bound(sources, body, camera)
    near, face = _near_surface(body, camera, view)
    weight, distance = attenuate(sources, body, camera, view)
    thickness = (body.back_mm - body.front_mm)[rows, columns]
    # Distance of the skin from the collimator.
    skin = near[rows, columns] - face[rows, None]
    last = max(distance.max(initial=0), (skin + thickness).max())
    count = int(last / _SLAB_MM) + 2
    hw = (rows.stop - rows.start, columns.stop - columns.start)
    planes = _collect(
        sources, weight, distance / np.float32(_SLAB_MM), count, rows, columns
    )

    # Tracer per pixel that the soft tissue shows, but for the loss in depth.
    glow = body.tracer[rows, columns] * (camera.spacing_mm**2 / ATTENUATION_PER_MM)
    glow *= _let_through(body, camera, view)[rows, columns]
    beyond = glow * np.exp(-ATTENUATION_PER_MM * thickness)
    image = np.zeros(hw, np.float32)
    for index in range(count - 1, -1, -1):
        if index < count - 1:
            _diffuse(
                image, _variance_px(index + 1, camera) - _variance_px(index, camera)
            )
        image += planes[index]
        depth = np.clip((index - 0.5) * _SLAB_MM - skin, 0, thickness)
        above = glow * np.exp(-ATTENUATION_PER_MM * depth)
        image += above - beyond
        beyond = above
    sigma = np.sqrt(_variance_px(0, camera))
    whole = np.zeros(camera.frame_hw, np.float32)
    # The small steps of the blur may leave a rounding error below zero.
    whole[rows, columns] = np.maximum(ndimage.gaussian_filter(image, sigma), 0)
    return whole if view == "anterior" else whole[:, ::-1]


def _bound(sources: Sources, body: Body, camera: Camera) -> tuple[slice, slice]:
    """Returns rows and columns around the body and the points, wide enough to blur."""
    solid = body.back_mm > body.front_mm
    bounds = []
    for length, points, axis in zip(
        camera.frame_hw, (sources.row, sources.column), (1, 0), strict=True
    ):
        inside = np.flatnonzero(solid.any(axis=axis))
        ends = [*inside[[0, -1]]] if len(inside) else []
        if len(points):
            ends += [int(points.min()), int(points.max())]
        low, high = min(ends, default=0), max(ends, default=0)
        low, high = (int(np.clip(end, 0, length - 1)) for end in (low, high))
        bounds.append(
            slice(max(low - _MARGIN_PX, 0), min(high + 1 + _MARGIN_PX, length))
        )
    return bounds[0], bounds[1]


def _collect(
    sources: Sources,
    weight: np.ndarray,
    plane: np.ndarray,
    count: int,
    rows: slice,
    columns: slice,
) -> np.ndarray:
    """Returns the points' weights on planes of pixels, (count, h, w).

    Each point is shared between the eight nearest pixels, four on either plane.
    """
    h, w = rows.stop - rows.start, columns.stop - columns.start
    y, x, share = _share_pixels(sources.row, sources.column)
    y, x = y - rows.start, x - columns.start
    inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
    share *= np.where(inside, weight, 0)
    first = plane.astype(np.intp)
    pixel = np.where(inside, y * w + x, 0) + first * (h * w)
    beyond = share * (plane - first)
    share -= beyond
    near, far = (
        np.bincount(pixel.ravel(), part.ravel(), count * h * w)
        for part in (share, beyond)
    )
    planes = near.reshape(count, h, w)
    planes[1:] += far.reshape(count, h, w)[:-1]
    return planes.astype(np.float32)


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


def _let_through(body: Body, camera: Camera, view: View) -> np.ndarray:
    """Returns the share that passes what lies between skin and collimator, (H, W)."""
    if view == "posterior":
        return np.full(body.cover_mm.shape, camera.table, np.float32)
    return np.exp(-ATTENUATION_PER_MM * body.cover_mm)


def _variance_px(plane: float, camera: Camera) -> float:
    """Returns the variance of the blur on a plane, in square pixels."""
    fwhm = fwhm_mm(plane * _SLAB_MM, camera.hole_diameter_mm)
    return float((fwhm / _FWHM_PER_SIGMA / camera.spacing_mm) ** 2)


def _diffuse(image: np.ndarray, variance_px: float) -> None:
    """Blurs in place by a Gaussian of a small variance v (square pixels).

    Along each axis: 1 + v/2 D + v (3 v - 1)/24 D^2 with the second difference D. It
    has the second and the fourth moment of the Gaussian, so that many small steps add
    up to a Gaussian again; D alone would leave the tails too long.
    """
    first, second = variance_px / 2, variance_px * (3 * variance_px - 1) / 24
    middle = np.float32(1 - 2 * first + 6 * second)
    neighbours = (1, np.float32(first - 4 * second)), (2, np.float32(second))
    for axis in (image, image.T):
        blurred = middle * axis
        for step, share in neighbours:
            part = share * axis
            blurred[step:] += part[:-step]
            blurred[:-step] += part[step:]
        axis[...] = blurred


def project_spot(
    sources: Sources, body: Body, camera: Camera, view: View
) -> tuple[tuple[int, int], np.ndarray]:
    """Returns the expected image of a small spot alone, without scatter.

    The points are close enough to each other to share one blur.

    Returns:
        Row and column of the first pixel of a patch of the view's frame, and the
        patch, float32, in the unit of `project`; empty for a spot out of the frame.
    """
    weight, distance = attenuate(sources, body, camera, view)
    height, width = camera.frame_hw
    column = sources.column if view == "anterior" else width - sources.column
    y, x, share = _share_pixels(sources.row, column)
    sigma = np.sqrt(_variance_px(float(distance.mean()) / _SLAB_MM, camera))
    margin = int(np.ceil(4 * sigma))
    y0, x0 = y.min() - margin, x.min() - margin
    patch = np.zeros((y.max() + margin + 1 - y0, x.max() + margin + 1 - x0), np.float32)
    np.add.at(patch, (y - y0, x - x0), share * weight)
    patch = ndimage.gaussian_filter(patch, sigma)
    top, left = max(-y0, 0), max(-x0, 0)
    patch = patch[top : max(height - y0, 0), left : max(width - x0, 0)]
    return (int(y0 + top), int(x0 + left)), patch
