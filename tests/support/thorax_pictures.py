"""Pictures that show a thorax, or half of one, and nothing else."""

import numpy as np

from tests.support.nm_files import start_angles, write_nm

HW = (120, 90)


def draw_thorax(height=HW[0], width=HW[1]):
    """Grey values, uint8: 0 around an upright trunk; not its own mirror image."""
    y, x = np.mgrid[:height, :width]
    inside = (np.abs(x - (width - 1) / 2) < 0.4 * width) & (y >= 6) & (y < height - 9)
    shade = 40 + (y * 7 + x * 13) % 60  # no two neighbours alike
    return np.where(inside, shade, 0).astype(np.uint8)


def draw_half(height=163, width=71):
    """The same of half a chest: all of it lies at the picture's right."""
    y, x = np.mgrid[:height, :width]
    inside = (x > 0.35 * width) & (y >= 2) & (y < height - 3)
    return np.where(inside, 20 + (y * 5 + x * 11) % 40, 0).astype(np.uint8)


def write_weak_view(path):
    """A static NM image of a thorax whose view nothing but a start angle tells."""
    return write_nm(
        path,
        draw_thorax()[np.newaxis].astype(np.uint16),
        ImageType=["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"],
        DetectorInformationSequence=start_angles(0),
        PixelSpacing=[4.8, 4.8],
    )
