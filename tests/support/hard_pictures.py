"""How pictures of a scan reach people: grey values, cut, without the size of a pixel.

Each is a change to a `Scene`, as those of `hard_cases`.
"""

import numpy as np
from scipy import ndimage

from tests.support.hard_scenes import ellipse


def grey(counts, low, high):
    """Grey values 0 to 255 between two shares of the brightest bones."""
    bright = np.percentile(counts[counts > 0], 99.5)
    share = (counts / bright - low) / (high - low)
    return np.clip(np.round(255 * share), 0, 255)


def picture_of_8_bits(scene):
    scene.spacing_mm = None
    scene.develop = lambda counts: grey(counts, 0, 0.7)


def picture_windowed_to_bones(scene):
    scene.spacing_mm = None
    scene.develop = lambda counts: grey(ndimage.gaussian_filter(counts, 0.7), 0.1, 1)


def picture_windowed_to_the_brightest_bones(scene):
    scene.spacing_mm = None
    scene.develop = lambda counts: grey(ndimage.gaussian_filter(counts, 0.7), 0.25, 1)


def picture_windowed_to_a_urine_bag(scene):
    row, column = scene.centre("left femur")[0], scene.centre("sacrum")[1]
    scene.add(row, column, 32, 11, 6)
    scene.spacing_mm = None
    scene.develop = lambda counts: grey(ndimage.gaussian_filter(counts, 0.7), 0.15, 1)


def figure_that_ends_at_head_and_feet(scene):
    rows = np.flatnonzero((scene.expected > 0.02 * scene.bright).any(axis=1))
    seen = slice(max(0, rows[0] - 8), rows[-1] + 9)
    scene.move(lambda image: image[seen])
    scene.spacing_mm = None
    scene.develop = lambda counts: grey(ndimage.gaussian_filter(counts, 1.2), 0.02, 0.8)


def bladder_cut_away(scene):
    row, column = scene.centre("sacrum")
    cut = ellipse(scene.expected.shape, row + 12, column, 26, 30) > 0.5
    scene.expected = np.where(cut, 0, scene.expected)
