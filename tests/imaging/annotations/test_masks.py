"""Tests of `spectjax.imaging.annotations.masks`."""

import io

import numpy as np
import pytest
from PIL import Image

from spectjax.imaging.annotations.masks import (
    decode_mask,
    encode_grey,
    trace_circle,
)
from spectjax.imaging.annotations.regions import Region
from tests.support.labelme_files import (
    HW,
    encode_png,
    filled,
    picture,
)


def fill_polygon(corners, hw):
    return Region("", corners, None).fill(hw)


def test_a_polygon_takes_pixels_by_their_centres():
    # The edge from (5, 0.2) to (0, 5.2) is x + y = 5.2: the centre of row r, column c
    # is inside when c + r + 1 < 5.2.
    mask = fill_polygon(np.array([[0, 0.2], [5, 0.2], [0, 5.2]]), (6, 6))
    expected = picture("#####.", "####..", "###...", "##....", "#.....", "......")
    np.testing.assert_array_equal(mask, expected)


def test_a_polygon_covers_a_rectangle_from_2_to_5_by_the_pixels_2_3_4():
    corners = np.array([[2.0, 1.0], [5.0, 1.0], [5.0, 3.0], [2.0, 3.0]])
    mask = fill_polygon(corners, (4, 7))
    expected = picture(".......", "..###..", "..###..", ".......")
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(fill_polygon(corners[::-1], (4, 7)), expected)


def test_a_polygon_gives_centres_on_an_edge_to_the_polygon_on_the_right():
    # Both edges x = 2.5 and y = 1.5 run through centres of pixels.
    left = fill_polygon(np.array([[0, 0], [2.5, 0], [2.5, 1.5], [0, 1.5]]), (3, 5))
    np.testing.assert_array_equal(left, picture("##...", ".....", "....."))
    right = fill_polygon(np.array([[2.5, 0], [5, 0], [5, 1.5], [2.5, 1.5]]), (3, 5))
    np.testing.assert_array_equal(right, picture("..###", ".....", "....."))


def test_a_polygon_divides_the_image_among_polygons_that_share_edges():
    # A fan of triangles around a point, in both senses of rotation.
    rng = np.random.default_rng(0)
    border = np.array([[0, 0], [3, 0], [9, 0], [9, 5], [9, 12], [4, 12], [0, 12]])
    for _ in range(50):
        centre = rng.integers(2, 14, 2) / 2
        count = np.zeros(HW, int)
        for i, (one, other) in enumerate(
            zip(border, np.roll(border, -1, axis=0), strict=True)
        ):
            triangle = np.array([one, other, centre])[:: 1 if i % 2 else -1]
            count += fill_polygon(triangle, HW)
        np.testing.assert_array_equal(count, 1)


def test_a_polygon_leaves_out_what_is_enclosed_twice():
    # One line around (0, 0)-(6, 6), then around (2, 2)-(4, 4).
    ring = [[0, 0], [6, 0], [6, 6], [0, 6], [0, 0], [2, 2], [4, 2], [4, 4], [2, 4]]
    mask = fill_polygon(np.array([*ring, [2, 2]], float), (6, 7))
    expected = filled((0, 0, 6, 6), hw=(6, 7)) & ~filled((2, 2, 4, 4), hw=(6, 7))
    np.testing.assert_array_equal(mask, expected)


def test_a_polygon_cuts_at_the_border_of_the_image():
    corners = np.array([[-3.0, -2.0], [2.0, -2.0], [2.0, 99.0], [-3.0, 99.0]])
    np.testing.assert_array_equal(fill_polygon(corners, HW), filled((0, 0, 12, 2)))


def test_trace_circle_encloses_the_centres_within_its_radius():
    centre, edge = (4.2, 5.7), (6.5, 4.1)
    radius = np.hypot(2.3, 1.6)
    y, x = np.indices(HW) + 0.5
    expected = np.hypot(x - centre[0], y - centre[1]) < radius
    mask = fill_polygon(trace_circle(centre, edge), HW)
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_decode_mask_takes_what_is_neither_black_nor_transparent(channels):
    mask = filled((1, 2, 4, 7))
    grey = np.uint8(mask * 200)
    layers = {
        1: grey,
        2: np.stack([np.full(HW, 9, np.uint8), grey], axis=2),
        3: np.stack([grey * 0, grey, grey * 0], axis=2),
        4: np.stack([grey, grey, grey, grey * 0 + 255], axis=2),
    }
    stream = io.BytesIO()
    Image.fromarray(layers[channels]).save(stream, "png")
    np.testing.assert_array_equal(decode_mask(stream.getvalue(), HW), mask)


def test_encode_grey_is_read_back_by_another_library():
    picture = np.arange(12 * 9, dtype=np.uint8).reshape(HW) * 2
    stream = io.BytesIO(encode_grey(picture))
    np.testing.assert_array_equal(np.asarray(Image.open(stream)), picture)


def test_decode_mask_refuses_another_size_before_it_unpacks():
    huge = bytearray(encode_png(filled((1, 2, 4, 7))))
    huge[16:24] = (10**6).to_bytes(4, "big") * 2
    with pytest.raises(ValueError, match="of 12x9 pixels, found none that opens"):
        decode_mask(bytes(huge), HW)
