"""Normal chests of the phantom look as hot, place by place, as those of real people."""

import numpy as np
import pytest
from scipy import ndimage

from spectjax.phantom import simulate_patient

PATIENTS = 36
# Contrast of the hottest place of a region: the image smoothed by 1.5 px over the mean
# of the ring 6 to 12 px around it. Quartiles and the 95th percentile, measured on the
# right halves of 400 normal chests from each side (BS-80K, 2.3 mm pixels). A region is
# (first and last share of the height from the top, of the width from the spine).
REAL_CONTRASTS = {
    ("anterior", "sternoclavicular"): (
        (0.05, 0.25, 0.0, 0.4),
        (1.72, 1.87, 2.05, 2.44),
    ),
    ("anterior", "costochondral"): ((0.25, 0.6, 0.2, 0.65), (1.59, 1.77, 2.00, 2.47)),
    ("anterior", "flank"): ((0.35, 0.9, 0.6, 1.0), (1.73, 1.90, 2.13, 2.69)),
    ("posterior", "scapula"): ((0.15, 0.42, 0.45, 1.0), (1.79, 1.96, 2.14, 2.54)),
    ("posterior", "ribs"): ((0.2, 0.6, 0.0, 0.45), (1.55, 1.69, 1.86, 2.25)),
    ("posterior", "flank"): ((0.42, 0.9, 0.6, 1.0), (1.63, 1.76, 1.91, 2.32)),
    ("posterior", "kidney"): ((0.65, 1.0, 0.0, 0.5), (1.65, 1.81, 2.07, 2.61)),
}
# 95th percentile of the neck, smoothed by 1 px, over the median of the chest: least,
# median and most of real anterior views (the phantom had a median of 1.9).
REAL_NECK = (2.4, 4.0, 5.1)
_ROW, _COLUMN = np.mgrid[-12:13, -12:13]
_RING = (np.hypot(_ROW, _COLUMN) >= 6) & (np.hypot(_ROW, _COLUMN) <= 12)


@pytest.fixture(scope="module")
def views():
    return [
        view
        for seed in range(300, 300 + PATIENTS)
        for view in simulate_patient(seed, diagnosis="normal").views.values()
    ]


def find_bone(view, name):
    """Mean row and column of a bone."""
    return np.mean(np.nonzero(view.bone_masks[view.bone_names.index(name)]), axis=1)


def cut_halves(view):
    """Both halves of a chest, each with its spine, arms and shoulder cut away to 0.

    The spine's side is on the left, as in the real halves of the posterior view.
    """
    y0, x0, y1, x1 = view.thorax_box
    top, bottom = find_bone(view, "T2"), find_bone(view, "T10")
    rows = np.arange(y0, y0 + round(1.13 * (y1 - y0)))
    middle = np.interp(rows, [top[0], bottom[0]], [top[1], bottom[1]])
    share = (rows - y0) / len(rows)
    for sign, edge in ((1, x1), (-1, x0)):
        width = int(abs(edge - middle.mean())) + 11
        # A slope from the neck to the armpit takes the shoulder away.
        end = np.where(share < 0.2, 0.15 + 0.85 * share / 0.2, 1) * width
        half = np.zeros((len(rows), width), np.float32)
        for row, (y, x) in enumerate(zip(rows, middle, strict=True)):
            column = np.arange(11, int(end[row]))
            half[row, column] = view.counts[y, (x + sign * column).astype(int)]
        yield half[:, 11:]


def measure_contrast(half):
    """The smoothed image over the mean of the ring around, NaN near what was cut."""
    mask = ndimage.median_filter(half > 0, 7)
    mask = ndimage.binary_erosion(mask, iterations=2).astype(np.float32)
    smooth = ndimage.gaussian_filter(half * mask, 1.5)
    smooth /= np.maximum(ndimage.gaussian_filter(mask, 1.5), 1e-6)
    ring = ndimage.convolve(half * mask, _RING.astype(np.float32), mode="constant")
    seen = ndimage.convolve(mask, _RING.astype(np.float32), mode="constant")
    known = (mask > 0) & (seen > 0.35 * _RING.sum()) & (ring > 0)
    return np.where(known, smooth * seen / np.maximum(ring, 1e-6), np.nan)


@pytest.fixture(scope="module")
def contrasts(views):
    return [
        (view.view, measure_contrast(half))
        for view in views
        for half in cut_halves(view)
    ]


@pytest.mark.parametrize(("side", "region"), REAL_CONTRASTS)
def test_a_normal_chest_is_as_hot_as_a_real_one(contrasts, side, region):
    (top, bottom, inner, outer), real = REAL_CONTRASTS[side, region]
    hottest = []
    for view, contrast in contrasts:
        if view == side:
            height, width = contrast.shape
            part = contrast[
                int(top * height) : int(bottom * height),
                int(inner * width) : int(outer * width),
            ]
            hottest.append(np.nanmax(part))
    found = np.percentile(hottest, [25, 50, 75, 95])
    np.testing.assert_allclose(found[:3], real[:3], rtol=0.12)
    np.testing.assert_allclose(found[3], real[3], rtol=0.25)


def test_a_normal_neck_is_as_hot_as_a_real_one(views):
    ratios = []
    for view in views:
        if view.view == "anterior":
            y0, x0, y1, x1 = view.thorax_box
            row, column = find_bone(view, "T2").astype(int)
            neck = ndimage.gaussian_filter(view.counts.astype(np.float32), 1)
            neck = neck[row - 36 : row - 10, column - 16 : column + 17]
            chest = view.counts[row + 12 : y1, x0:x1]
            ratios.append(np.percentile(neck, 95) / np.median(chest))
    low, middle, high = REAL_NECK
    assert np.median(ratios) == pytest.approx(middle, rel=0.15)
    # Real necks lie inside of what the phantom shows, not at its edge.
    assert (
        np.percentile(ratios, 10) < low * 1.3 and np.percentile(ratios, 90) > high * 0.9
    )
