"""What readers outline depends on what they are asked for."""

import numpy as np
import pytest
from scipy import ndimage

from spectjax.phantom.readers import METASTASES, SUSPICIOUS, read_view
from spectjax.phantom.subject import Exposure, SpotImage


def expose(kind):
    """One spot of 5 px across, four times as hot as what is around it."""
    point = np.zeros((31, 31), np.float32)
    point[15, 15] = 2000
    counts = ndimage.gaussian_filter(point, 2.5)
    expectation = np.full((64, 48), 15.0, np.float32)
    spot = SpotImage(kind, "left rib 5", (10, 8), counts)
    spot.cut(expectation)[...] += counts
    return Exposure("anterior", expectation, (spot,))


def count_outlines(kind, wanted):
    """Outlines of three readers in 40 readings."""
    exposure = expose(kind)
    return sum(
        len(outlines)
        for seed in range(40)
        for outlines in read_view(np.random.default_rng(seed), exposure, wanted)
    )


@pytest.mark.parametrize(
    ("kind", "of_metastases", "of_suspicious"),
    [
        ("metastasis", range(110, 121), range(110, 121)),
        ("rib fracture", range(13), range(110, 121)),  # mistaken in one case of 30
        ("degenerative spine", range(13), range(13)),
        ("left kidney", range(1), range(1)),
    ],
)
def test_readers_outline_what_they_are_asked_for(kind, of_metastases, of_suspicious):
    assert count_outlines(kind, METASTASES) in of_metastases
    assert count_outlines(kind, SUSPICIOUS) in of_suspicious


def test_by_parts_readers_outline_what_is_less_hot_than_its_rim():
    # Half of the spot is three times as hot as the other half, and six times as hot as
    # the bone around; both are 12 pixels wide.
    counts = np.zeros((50, 40), np.float32)
    counts[12:36, 10:30] = 30
    counts[12:24, 10:30] = 90
    counts = ndimage.gaussian_filter(counts, 1.5)
    spot = SpotImage("metastasis", "left hip bone", (4, 3), counts)
    expectation = np.full((64, 48), 15.0, np.float32)
    spot.cut(expectation)[...] += counts
    exposure = Exposure("anterior", expectation, (spot,))
    for parts, height in ((False, 12), (True, 24)):
        for outlines in read_view(np.random.default_rng(1), exposure, parts=parts):
            corners = np.concatenate([outline.polygon_xy for outline in outlines])
            assert np.ptp(corners[:, 1]) == pytest.approx(height, abs=4)
            assert np.ptp(corners[:, 0]) == pytest.approx(20, abs=4)


def blot(image, top, left, excess):
    """Raises a square of 14 pixels of an image."""
    image[top : top + 14, left : left + 14] += excess


def test_by_parts_readers_take_what_lies_beside_a_hot_spot_with_it():
    # Of two equally faint spots, 0.2 of what is around, one touches a hot one.
    spots = []
    expectation = np.full((90, 60), 100.0, np.float32)
    for top, left, excess in ((10, 10, 300), (10, 24, 20), (60, 20, 20)):
        counts = np.zeros((90, 60), np.float32)
        blot(counts, top, left, excess)
        counts = ndimage.gaussian_filter(counts, 1.0)
        expectation += counts
        spots.append(SpotImage("metastasis", f"left rib {top}", (0, 0), counts))
    exposure = Exposure("anterior", expectation, tuple(spots))
    for parts, lowest, highest in ((False, 0, 60), (True, 100, 120)):
        beside, alone = 0, 0
        for seed in range(40):
            reading = read_view(np.random.default_rng(seed), exposure, parts=parts)
            for polygon in (o.polygon_xy for outlines in reading for o in outlines):
                alone += polygon[:, 1].min() > 50
                beside += polygon[:, 1].max() < 50 and polygon[:, 0].max() > 34
        assert lowest <= beside <= highest
        assert alone < 60
