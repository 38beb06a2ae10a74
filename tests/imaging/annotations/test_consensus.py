"""Tests of `spectjax.imaging.annotations.consensus`."""

import numpy as np
import pytest

from spectjax.imaging.annotations.consensus import (
    Hotspots,
    Readings,
    agree,
    compare_readers,
    crop_hotspots,
)
from spectjax.imaging.annotations.labelme import (
    AnnotationError,
)
from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.thorax.transform import CropTransform
from tests.support.labelme_files import HW, annotation, filled


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([(1, 1, 5, 4)], (1, 1, 5, 4)),  # 1 of 1
        ([(1, 1, 5, 4), (2, 0, 6, 3)], (2, 1, 5, 3)),  # 2 of 2
        ([(1, 1, 5, 4), (2, 0, 6, 3), (2, 0, 6, 3)], (2, 0, 6, 3)),  # 2 of 3
        ([(1, 1, 5, 4), None, (2, 1, 5, 3)], (2, 1, 5, 3)),  # 2 of 3
        ([(1, 1, 5, 4), None], None),  # 1 of 2
        ([(1, 1, 5, 4), (1, 1, 5, 4), None, None], None),  # 2 of 4
    ],
)
def test_agree_keeps_what_a_strict_majority_marked(boxes, expected):
    readers = [
        annotation(*[("metastasis", filled(box))] if box else [], reader=str(i))
        for i, box in enumerate(boxes)
    ]
    hotspots = agree(readers, HW)
    union = hotspots.masks.any(axis=0)
    np.testing.assert_array_equal(union, filled(expected) if expected else filled())
    assert hotspots.labels == ("metastasis",) * (expected is not None)


def test_agree_separates_hotspots_that_do_not_touch_even_by_a_corner():
    touching = filled((1, 1, 3, 3), (3, 3, 5, 4))
    apart = filled((8, 1, 9, 6))
    hotspots = agree([annotation(("metastasis", touching | apart))], HW)
    np.testing.assert_array_equal(hotspots.masks, [touching, apart])
    assert hotspots.masks.dtype == bool


def test_agree_counts_a_reader_once_where_his_regions_overlap():
    twice = annotation(("a", filled((1, 1, 4, 4))), ("a", filled((2, 2, 6, 6))))
    hotspots = agree([twice, annotation(reader="reader2")], HW)
    assert len(hotspots.masks) == 0


def test_agree_gives_a_hotspot_the_label_of_most_of_its_pixels():
    wide, narrow = filled((1, 1, 5, 5)), filled((1, 1, 4, 5))
    readers = [
        annotation(("fracture", narrow), reader="1"),
        annotation(("metastasis", wide), reader="2"),
        annotation(("fracture", narrow), reader="3"),
    ]
    assert agree(readers, HW).labels == ("fracture",)
    assert agree(readers[:2], HW).labels == ("fracture",)  # equal: by the alphabet


def test_agree_of_readers_who_saw_nothing_has_no_hotspot():
    hotspots = agree([annotation()], HW)
    assert (hotspots.masks.shape, hotspots.labels) == ((0, *HW), ())


def test_agree_fills_polygons():
    polygon = Region("metastasis", np.array([[2.0, 1], [5, 1], [5, 3], [2, 3]]), None)
    hotspots = agree([annotation(polygon)], HW)
    np.testing.assert_array_equal(hotspots.masks, [filled((1, 2, 3, 5))])


def outline(*points):
    return Region("metastasis", np.array(points, np.float64), None)


EMPTY = {
    "collapsed": outline((2, 2), (2, 2), (2, 2)),
    "collinear": outline((1, 1.5), (4, 1.5), (7, 1.5)),
    "thin": outline((1, 1.6), (8, 1.6), (8, 1.9), (1, 1.9)),
    "tiny": outline((1.1, 1.1), (1.4, 1.1), (1.4, 1.4)),
    "at the edge": outline((-1, 1), (0, 1), (0, 8), (-1, 8)),
    "no pixel": Region("metastasis", None, filled()),
    "no size": Region("metastasis", None, np.zeros((0, 0), bool)),
}


@pytest.mark.parametrize("case", EMPTY)
def test_agree_takes_no_outline_without_a_pixel_for_none_drawn(case):
    """Neither alone nor beside one that is large enough."""
    large = outline((1, 1), (7, 1), (7, 7), (1, 7))
    for regions in ((EMPTY[case],), (large, EMPTY[case])):
        with pytest.raises(AnnotationError, match="'metastasis' without any"):
            agree([annotation(*regions)], HW)


def test_agree_refuses_more_than_readers_draw_before_it_asks_for_memory():
    """One mask for each dot of the first would take 16 GiB."""
    dots = np.zeros((1024, 256), bool)
    dots[::2, ::2] = True
    large = outline((0, 0), (256, 0), (256, 1024), (0, 1024))
    for regions, found in (
        ([("metastasis", dots)], "at most 1000 separate hotspots, found 65536"),
        ([large] * 300, "300 outlines around more"),
    ):
        with pytest.raises(AnnotationError, match=found):
            agree([annotation(*regions, hw=(1024, 256))], (1024, 256))


@pytest.mark.parametrize("hw", [(24, 18), (9, 12)])
def test_agree_refuses_annotations_of_another_size(hw):
    with pytest.raises(AnnotationError, match="12x9 .*found 24x18|9x12"):
        agree([annotation(hw=hw)], HW)


def test_agree_checks_polygons_when_the_file_states_no_size():
    region = Region("metastasis", np.array([[2.0, 1], [50, 1], [5, 30]]), None)
    with pytest.raises(AnnotationError, match="inside the frame of 12x9"):
        agree([annotation(region, hw=None)], HW)


@pytest.mark.parametrize(
    "annotations",
    [
        [],
        [annotation(), annotation()],
        [annotation(), annotation(reader="reader2", image="P2_anterior")],
    ],
)
def test_agree_refuses_what_is_not_one_image_read_once_by_each(annotations):
    with pytest.raises(ValueError, match="one image by different readers"):
        agree(annotations, HW)


def test_crop_hotspots_moves_masks_and_drops_those_outside():
    numbers = np.zeros(HW, np.int32)
    numbers[:2, :2], numbers[4:7, 3:5], numbers[6:12, 7:9] = 1, 2, 3
    transform = CropTransform(box=(5, 2, 9, 8), frame_hw=HW, canvas_hw=(8, 8))
    hotspots = crop_hotspots(Hotspots(numbers, ("a", "b", "c")), transform)
    # The box's corner (5, 2) lands on (2, 1) of the canvas.
    expected = [filled((2, 2, 4, 4), hw=(8, 8)), filled((3, 6, 6, 7), hw=(8, 8))]
    np.testing.assert_array_equal(hotspots.masks, expected)
    assert hotspots.labels == ("b", "c")


def test_crop_hotspots_of_none_is_none():
    transform = CropTransform(box=(5, 2, 9, 8), frame_hw=HW, canvas_hw=(8, 8))
    hotspots = crop_hotspots(Hotspots(np.zeros(HW, np.int32), ()), transform)
    assert hotspots.masks.shape == (0, 8, 8)


def test_readers_are_compared_two_by_two_inside_of_the_crop():
    transform = CropTransform((0, 0, 6, 8), HW, HW)
    outside = filled((8, 0, 9, 1))
    readers = [
        annotation(("metastasis", filled((0, 0, 2, 2))), reader="1"),
        annotation(("metastasis", filled((0, 0, 2, 4)) | outside), reader="2"),
        annotation(("metastasis", outside), reader="3"),
    ]
    # 4 and 8 pixels, 4 of them shared: 2 * 4 / 12; the third has none in the crop.
    found = compare_readers(readers, transform)
    assert (found.number, found.abnormal) == (3, 2)
    assert found.dice == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert compare_readers(readers[2:], transform) == Readings(1, 0, None)
