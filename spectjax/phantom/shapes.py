"""Solids as clouds of weighted points: tubes, ellipsoids and plates.

A cloud is `(xyz_mm, volume_mm3)`: positions, float64, (N, 3), and the volume that each
point stands for, float64, (N,). The points follow low-discrepancy sequences, so a
solid is the same in every run and smooth after a blur of a few millimetres.

Axes of the patient: x to the patient's left, y from head to toes, z from front to back.
"""

import numpy as np

Cloud = tuple[np.ndarray, np.ndarray]

# Distance between neighbouring points: well below the blur of the camera (FWHM 5 mm).
PITCH_MM = 3.2
_GOLDEN_ANGLE = np.pi * (3 - 5**0.5)
# Generalised golden ratios: additive recurrences with these steps fill the square.
_PLASTIC = np.array([0.7548776662466927, 0.5698402909980532])


def make_tube(
    path_mm: np.ndarray | list[tuple[float, float, float]],
    half_width_mm: float | list[float],
    half_depth_mm: float | list[float] | None = None,
    hollow: float = 0.0,
) -> Cloud:
    """Returns a tube of elliptical section along a smooth curve.

    Args:
        path_mm: points that the centre line passes through, (K, 3), K >= 2.
        half_width_mm: semi-axis of the section in the coronal plane, one value or K.
        half_depth_mm: semi-axis of the section across it; the half width by default.
        hollow: radius of the empty core as a fraction of the outer one, in [0, 1).
    """
    # Here, so that no command's --help need wait for scipy.interpolate.
    from scipy.interpolate import PchipInterpolator

    path = np.asarray(path_mm, float)
    half_depth_mm = half_width_mm if half_depth_mm is None else half_depth_mm
    chord = np.r_[0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
    steps = max(2, round(chord[-1] / PITCH_MM))
    along = (np.arange(steps) + 0.5) / steps * chord[-1]
    curve = PchipInterpolator(chord, path)
    centre, tangent = curve(along), curve(along, 1)
    width = np.interp(along, chord, np.broadcast_to(half_width_mm, chord.shape))
    depth = np.interp(along, chord, np.broadcast_to(half_depth_mm, chord.shape))

    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.cross(tangent, [0.0, 0.0, 1.0])
    # A tube that runs straight from front to back has its width along x.
    across[np.linalg.norm(across, axis=1) < 1e-6] = [1.0, 0.0, 0.0]
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    inward = np.cross(across, tangent)

    ring = max(5, round(np.pi * width.max() * depth.max() / PITCH_MM**2))
    radius = np.sqrt(hollow**2 + (1 - hollow**2) * (np.arange(ring) + 0.5) / ring)
    angle = _GOLDEN_ANGLE * (np.arange(ring) + np.arange(steps)[:, None] / 2)
    xyz = (
        centre[:, None]
        + (radius * np.cos(angle) * width[:, None])[..., None] * across[:, None]
        + (radius * np.sin(angle) * depth[:, None])[..., None] * inward[:, None]
    )
    area = np.pi * width * depth * (1 - hollow**2)
    volume = np.repeat(area * chord[-1] / steps / ring, ring)
    return xyz.reshape(-1, 3), volume


def make_ellipsoid(
    centre_mm: tuple[float, float, float],
    semi_axes_mm: tuple[float, float, float],
    hollow: float = 0.0,
) -> Cloud:
    """Returns an ellipsoid, or a shell where `hollow` is the inner radius in [0, 1)."""
    axes = np.asarray(semi_axes_mm, float)
    total = 4 / 3 * np.pi * axes.prod() * (1 - hollow**3)
    count = max(20, round(total / PITCH_MM**3))
    index = np.arange(count)
    radius = np.cbrt(hollow**3 + (1 - hollow**3) * ((0.5 + index * _PLASTIC[0]) % 1))
    height = 1 - (2 * index + 1) / count
    angle = _GOLDEN_ANGLE * index
    ring = np.sqrt(1 - height**2)
    sphere = np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], axis=-1)
    xyz = np.asarray(centre_mm) + sphere * radius[:, None] * axes
    return xyz, np.full(count, total / count)


def make_plate(
    outline_mm: list[tuple[float, float, float]], thickness_mm: float
) -> Cloud:
    """Returns a thin curved plate: the fan of triangles from the outline's mean.

    Args:
        outline_mm: corners in order, each with its own depth, (K, 3), K >= 3.
        thickness_mm: thickness of the plate, taken as the same everywhere.
    """
    corners = np.asarray(outline_mm, float)
    middle = corners.mean(axis=0)
    clouds = []
    for first, second in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edges = np.stack([first - middle, second - middle])
        area = np.linalg.norm(np.cross(edges[0], edges[1])) / 2
        count = max(4, round(2 * area / PITCH_MM**2))
        u = (0.5 + np.arange(count)[:, None] * _PLASTIC) % 1
        # Fold the unit square on its diagonal to fill the triangle evenly.
        u = np.where(u.sum(axis=1, keepdims=True) > 1, 1 - u, u)
        clouds.append((middle + u @ edges, np.full(count, area * thickness_mm / count)))
    return join(clouds)


def join(clouds: list[Cloud]) -> Cloud:
    """Returns several clouds as one."""
    return (
        np.concatenate([xyz for xyz, _ in clouds]),
        np.concatenate([volume for _, volume in clouds]),
    )


def mirror(cloud: Cloud) -> Cloud:
    """Returns the cloud on the other side of the body (x changes its sign)."""
    xyz, volume = cloud
    return xyz * [-1.0, 1.0, 1.0], volume
