"""Tests that the crop refuses what is no body by name, whatever the pixels are.

Fifty of the mutations that `spoil` makes; 5 000 of them were tried the same way.
"""

import dataclasses

import numpy as np
import pytest

from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.thorax import CropError, crop_thorax

SPACINGS = (None, (2.4, 2.4), (2.3, 2.35), (0.5, 0.5), (20.0, 20.0))


@pytest.fixture(scope="module")
def scan(hospital):
    return read_bone_scans(min(hospital.rglob("*.dcm")))[0]


def shift(counts, by, axis):
    """Counts moved along an axis; nothing comes in at the other end."""
    moved = np.roll(counts, by, axis)
    gone = slice(None, by) if by >= 0 else slice(by, None)
    moved[(gone,) if axis == 0 else (slice(None), gone)] = 0
    return moved


def spoil(counts, rng):
    """Counts cut, moved, blanked, coarsened, turned, scaled or with hot blocks."""
    for _ in range(rng.integers(1, 4)):
        height, width = counts.shape
        row, column = int(rng.integers(height)), int(rng.integers(width))
        match rng.integers(12):
            case 0:
                counts = counts[row:] if rng.random() < 0.5 else counts[: row + 1]
            case 1:
                counts = counts[:, column:]
            case 2:
                counts = shift(counts, column - width // 2, axis=1)
            case 3:
                counts = shift(counts, row - height // 2, axis=0)
            case 4:
                counts = np.where(np.arange(width) < column, 0, counts)
            case 5:
                counts = np.where(np.arange(height)[:, None] > row, 0, counts)
            case 6:
                counts = counts * np.float32(10.0 ** rng.integers(-6, 7))
            case 7:
                counts = counts.copy()
                counts[row : row + 150, column : column + 60] = 10.0 ** rng.integers(8)
            case 8:
                counts = counts.T if rng.random() < 0.3 else counts[::-1]
            case 9:
                counts = counts[:: rng.integers(1, 12), :: rng.integers(1, 12)]
            case 10:
                counts = np.full_like(counts, rng.integers(5))
                counts[row % len(counts), column] += 1
            case _:
                counts = counts.copy()
                counts[row, column] = 10.0 ** rng.integers(1, 38)
    return np.ascontiguousarray(counts, np.float32)


@pytest.mark.parametrize("seed", range(50))
def test_crop_of_a_spoilt_view_is_a_thorax_or_a_crop_error(scan, seed):
    rng = np.random.default_rng([16, seed])
    counts = spoil(scan.counts, rng)
    spoilt = dataclasses.replace(
        scan, counts=counts, spacing_mm=SPACINGS[rng.integers(len(SPACINGS))]
    )
    try:
        thorax = crop_thorax(spoilt)
    except CropError as error:
        assert str(error).startswith(f"{scan.path} (frame ")
        return
    y0, x0, y1, x1 = thorax.transform.box
    assert 0 <= y0 < y1 <= counts.shape[0] and 0 <= x0 < x1 <= counts.shape[1]
    assert np.isfinite(thorax.counts).all()


def refuse(scan, match, **changes):
    with pytest.raises(CropError, match=match):
        crop_thorax(dataclasses.replace(scan, **changes))


@pytest.mark.parametrize("side", [slice(None, 128), slice(128, None)])
def test_crop_refuses_half_a_body_and_says_so(scan, side):
    half = scan.counts[:, side]
    refuse(scan, "expected a whole-body view .* cut by the frame's side", counts=half)


def test_crop_refuses_a_spacing_that_no_camera_has(scan):
    for spacing in (5e-324, 1e-4, 0.49, 21.0):
        refuse(scan, "pixels of .* mm, not of 0.5 to 20", spacing_mm=(spacing,) * 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_crop_refuses_values_that_are_no_counts(scan, value):
    counts = scan.counts.copy()
    counts[500, 100] = value
    refuse(scan, "counts in a pixel, more than can be", counts=counts)


@pytest.mark.parametrize("hw", [(1, 1), (7, 200), (64, 16), (100, 30)])
def test_crop_refuses_a_frame_too_small_for_a_body(scan, hw):
    counts = np.ones(hw, np.float32)
    refuse(scan, "a frame of|a body of|pixels of", counts=counts, spacing_mm=None)
