"""Tests of `spectjax.ops.anchors`: by hand, as torchvision, and what anchors reach."""

import numpy as np
import pytest

from spectjax.ops.anchors import make_anchors

RATIOS = (0.5, 1, 2)
STRIDES, SIZES = (2, 4, 8, 16), ((4, 6), (8, 12), (16, 24), (32, 48))
# torchvision 0.28, AnchorGenerator with sizes 32 to 512 for an image of 64 by 96: the
# first four, the last, and the sum of each level, as (y0, x0, y1, x1).
TORCHVISION = [
    (
        [
            [-11, -23, 11, 23],
            [-16, -16, 16, 16],
            [-23, -11, 23, 11],
            [-11, -19, 11, 27],
        ],
        [37, 81, 83, 103],
        [15360, 33792, 53760, 72192],
    ),
    (
        [
            [-23, -45, 23, 45],
            [-32, -32, 32, 32],
            [-45, -23, 45, 23],
            [-23, -37, 23, 53],
        ],
        [11, 65, 101, 111],
        [-1536, 3072, 17664, 22272],
    ),
    (
        [
            [-45, -91, 45, 91],
            [-64, -64, 64, 64],
            [-91, -45, 91, 45],
            [-45, -75, 45, 107],
        ],
        [-43, 35, 139, 125],
        [-3072, -1920, 6528, 7680],
    ),
    (
        [
            [-91, -181, 91, 181],
            [-128, -128, 128, 128],
            [-181, -91, 181, 91],
            [-91, -149, 91, 213],
        ],
        [-149, -27, 213, 155],
        [-2112, -1824, 2688, 2976],
    ),
    (
        [
            [-181, -362, 181, 362],
            [-256, -256, 256, 256],
            [-362, -181, 362, 181],
            [-181, -314, 181, 410],
        ],
        [-362, -133, 362, 229],
        [-1598, -1454, 1598, 1742],
    ),
]


def draw_hotspots(seed, low, high, n=150):
    """Boxes of whole pixels, sides of `low` to `high` px, up to 2.5 times as long."""
    draw = np.random.default_rng(seed)
    side = np.exp(draw.uniform(np.log(low), np.log(high), n))
    aspect = np.sqrt(2.5 ** draw.uniform(-1, 1, n))
    sides = np.maximum(np.round([side * aspect, side / aspect]).T, 1)
    corners = np.floor(draw.uniform(0, 128 - sides))
    return np.concatenate([corners, corners + sides], axis=1)


def share_reached(anchors, hotspots):
    """Share of hotspots that some anchor overlaps with an IoU of at least 0.5."""
    reached = 0
    for y0, x0, y1, x1 in hotspots:
        a = anchors.astype(np.float64)
        height = np.minimum(a[:, 2], y1) - np.maximum(a[:, 0], y0)
        width = np.minimum(a[:, 3], x1) - np.maximum(a[:, 1], x0)
        common = np.maximum(height, 0) * np.maximum(width, 0)
        areas = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]) + (y1 - y0) * (x1 - x0)
        reached += (common / (areas - common)).max() >= 0.5
    return reached / len(hotspots)


def test_anchors_lie_around_the_middle_of_each_cell():
    (anchors,) = make_anchors((4, 6), (2,), ((4, 6),), (1, 0.25))
    assert anchors.shape == (2 * 3 * 4, 4) and anchors.dtype == np.float32
    # The cell in row 1, column 2 has its centre at (3, 5).
    expected = [[1, 3, 5, 7], [0, 2, 6, 8], [2, 1, 4, 9], [1.5, -1, 4.5, 11]]
    np.testing.assert_allclose(anchors[-4:], expected, rtol=1e-6)
    # Cells of a row follow each other, then the next row.
    np.testing.assert_allclose(anchors[4] - anchors[0], [0, 2, 0, 2], atol=1e-6)
    np.testing.assert_allclose(anchors[12] - anchors[0], [2, 0, 2, 0], atol=1e-6)


def test_sides_have_the_ratio_of_height_to_width_and_the_area_of_the_size():
    anchors = np.concatenate(make_anchors((32, 32), (8, 16), ((9,), (20,)), (0.5, 2)))
    height, width = (anchors[:, 2:] - anchors[:, :2]).T
    np.testing.assert_allclose(height / width, np.tile([0.5, 2], 16 + 4), rtol=1e-5)
    np.testing.assert_allclose(height * width, np.repeat([81, 400], [32, 8]), rtol=1e-5)


def test_an_image_that_the_stride_does_not_divide_has_a_cell_more():
    first, second = make_anchors((33, 20), (8, 16), ((4,), (4,)), (1,))
    assert len(first) == 5 * 3 and len(second) == 3 * 2


def test_rounded_anchors_are_those_of_torchvision():
    levels = make_anchors(
        (64, 96),
        (4, 8, 16, 32, 64),
        ((32,), (64,), (128,), (256,), (512,)),
        RATIOS,
        rounded=True,
    )
    cells = [16 * 24, 8 * 12, 4 * 6, 2 * 3, 1 * 2]
    for anchors, number, expected in zip(levels, cells, TORCHVISION, strict=True):
        head, last, total = expected
        assert len(anchors) == 3 * number
        np.testing.assert_array_equal(anchors[:4], head)
        np.testing.assert_array_equal(anchors[-1], last)
        np.testing.assert_array_equal(anchors.sum(axis=0, dtype=np.float64), total)


def test_rounding_takes_halves_to_the_even_number_as_torchvision_does():
    (anchors,) = make_anchors((8, 12), (4,), ((3, 5),), RATIOS, rounded=True)
    # torchvision 0.28; halves are 1.5 of size 3 and 2.5 of size 5.
    expected = [
        [-1, -2, 1, 2],
        [-2, -4, 2, 4],
        [-2, -2, 2, 2],
        [-2, -2, 2, 2],
        [-2, -1, 2, 1],
        [-4, -2, 4, 2],
        [-1, 2, 1, 6],
        [-2, 0, 2, 8],
    ]
    np.testing.assert_array_equal(anchors[:8], expected)


def test_rounded_anchors_of_an_odd_image_stand_where_those_of_torchvision_do():
    # 160 / 64 and 224 / 64 make 3 and 4 cells; torchvision 0.28 then steps by 160 // 3
    # and 224 // 4 pixels.
    (anchors,) = make_anchors((160, 224), (64,), ((64,),), (0.5, 2), rounded=True)
    np.testing.assert_array_equal(anchors[:2], [[-23, -45, 23, 45], [-45, -23, 45, 23]])
    np.testing.assert_array_equal(anchors[-1], [61, 145, 151, 191])
    np.testing.assert_array_equal(anchors.sum(axis=0), [456, 1200, 2088, 2832])


def test_the_anchors_of_this_task_reach_nearly_all_hotspots():
    levels = make_anchors((128, 128), STRIDES, SIZES, RATIOS)
    assert sum(map(len, levels)) == 6 * (64**2 + 32**2 + 16**2 + 8**2)
    anchors = np.concatenate(levels)
    assert share_reached(anchors, draw_hotspots(0, 3, 6)) > 0.8
    for low, high in ((6, 12), (12, 24), (24, 40)):
        assert share_reached(anchors, draw_hotspots(1, low, high)) > 0.9


def test_anchors_for_photographs_reach_no_hotspot_below_twelve_pixels():
    sizes = ((32,), (64,), (128,), (256,), (512,))
    levels = make_anchors((128, 128), (4, 8, 16, 32, 64), sizes, RATIOS)
    for low, high in ((3, 6), (6, 12)):
        hotspots = draw_hotspots(2, low, high)
        assert share_reached(np.concatenate(levels), hotspots) == 0


def test_anchors_as_large_as_the_stride_miss_most_hotspots():
    sizes = ((4,), (8,), (16,), (32,), (64,))
    levels = make_anchors((128, 128), (4, 8, 16, 32, 64), sizes, RATIOS)
    for low, high in ((3, 6), (6, 12), (12, 24)):
        hotspots = draw_hotspots(3, low, high)
        assert share_reached(np.concatenate(levels), hotspots) < 0.4


def test_a_level_without_sizes_is_refused():
    with pytest.raises(ValueError, match="Expected sizes for each stride"):
        make_anchors((8, 8), (2, 4), ((4,),), (1,))
