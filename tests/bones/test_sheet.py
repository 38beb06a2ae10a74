"""The sheet: both views side by side, and back to the pixels of each view."""

import numpy as np
import pytest

from spectjax.bones.sheet import (
    CANVAS_HW,
    SHEET_HW,
    UNKNOWN,
    carry_back,
    draw_mask,
    draw_sheet,
    find_half,
)

FRAME_HW = (1024, 256)


def draw_body(shift=0):
    """A body with a right arm alone, seen from the front: counts and labels."""
    counts = np.zeros(FRAME_HW, np.float32)
    counts[100:900, 100 + shift : 160 + shift] = 20
    counts[300:500, 40 + shift : 100 + shift] = 20  # the patient's right
    labels = np.zeros(FRAME_HW, np.uint8)
    labels[100:900, 100 + shift : 160 + shift] = 3
    labels[300:500, 40 + shift : 100 + shift] = 13
    return counts, labels


@pytest.fixture(scope="module")
def both():
    counts, labels = draw_body()
    frames = {"anterior": counts, "posterior": draw_body(9)[0][:, ::-1]}
    maps = {"anterior": labels, "posterior": draw_body(9)[1][:, ::-1]}
    return draw_sheet(frames), maps


def test_both_halves_show_the_body_alike_and_fill_the_canvas(both):
    sheet, _ = both
    halves = [find_half(sheet.image, view) for view in ("anterior", "posterior")]
    assert sheet.image.shape == SHEET_HW and sheet.image.dtype == np.uint16
    assert np.abs(np.subtract(*(half.astype(int) for half in halves))).mean() < 2
    rows = np.flatnonzero(halves[0].any(axis=1))
    assert 0.8 < len(rows) / CANVAS_HW[0] < 0.95
    assert 150 < sheet.image.max() <= 255  # bright tissue is 1 / 1.6 of white


def test_masks_go_to_the_sheet_and_back_within_a_pixel_of_it(both):
    sheet, maps = both
    mask = draw_mask(maps, sheet.windows)
    answer = np.eye(14, dtype=np.float32)[mask]
    for view, labels in maps.items():
        window = sheet.windows[view]
        back = carry_back(answer, window, view, FRAME_HW)
        np.testing.assert_allclose(back.sum(axis=-1), 1, atol=1e-5)
        differs = back.argmax(axis=-1) != labels
        assert differs.mean() < 0.01
        # The patient's right arm stays on its side.
        assert (back.argmax(axis=-1) == 13)[400, np.flatnonzero(labels[400] == 13)[5]]


def test_what_is_said_of_a_canvas_pixel_is_said_of_the_place_it_shows():
    window = (2.0, 10.0, -20.0)  # pixels of two, from row 10 and column -20
    answer = np.zeros((*SHEET_HW, 2), np.float32)
    answer[..., 0] = 1
    answer[30, 40] = (0, 1)
    back = carry_back(answer, window, "anterior", FRAME_HW)
    # It covers rows 70 and 71, columns 60 and 61: a quarter of a pixel off its centre.
    np.testing.assert_allclose(back[70:72, 60:62, 1], 0.75**2, atol=1e-6)
    np.testing.assert_allclose(back[..., 1].sum(), 4, atol=1e-4)
    assert (back[:10, :, 0] == 1).all() and (back[:, 236:, 0] == 1).all()  # outside


def test_a_missing_view_is_an_empty_half_of_which_nothing_is_known(both):
    _, maps = both
    counts, labels = draw_body()
    sheet = draw_sheet({"anterior": counts, "posterior": np.zeros(FRAME_HW)})
    assert list(sheet.windows) == ["anterior"]
    mask = draw_mask(maps, sheet.windows)
    assert not find_half(sheet.image, "posterior").any()
    assert (find_half(mask, "posterior") == UNKNOWN).all()
    assert set(np.unique(find_half(mask, "anterior"))) == {0, 3, 13}
