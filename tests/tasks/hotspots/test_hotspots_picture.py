"""Tests of the pictures of hotspots, and of what all pictures are made of."""

import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from matplotlib.text import Text

from spectjax.imaging.hotspots import Hotspot
from spectjax.report.picture_parts import save_figure, trace_outline
from spectjax.tasks.hotspots.picture import draw_case, draw_hotspots, spread_labels
from tests.support.tiny_scans import crop_stub, make_scan

COUNTS = np.arange(12.0).reshape(3, 4)
MASK = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]], dtype=bool)


def texts_of(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def draw_example_case(**changes):
    fields = {"title": "Best case", "scores": "IoU 0.500", "synthetic": False}
    return draw_case(COUNTS, MASK, ~MASK, **(fields | changes))


def draw_example_hotspots(
    n_hotspots=1,
    *,
    title="a.dcm: anterior view",
    synthetic=False,
    warnings=(),
    flags=(),
):
    file = title.removesuffix(": anterior view")
    thorax = crop_stub(flags)(make_scan(path=file, synthetic=synthetic))
    mask = np.zeros(thorax.counts.shape, bool)
    mask[: len(MASK), : MASK.shape[1]] = MASK
    hotspots = [Hotspot("metastasis", 0.75, 0.9, mask)] * n_hotspots
    areas = ["16 mm2"] * n_hotspots
    return draw_hotspots(thorax, hotspots, areas=areas, warnings=warnings)


def test_trace_outline_runs_along_pixel_borders():
    segments = {tuple(map(tuple, segment)) for segment in trace_outline(MASK).tolist()}
    assert segments == {
        ((1, 1), (2, 1)),  # above the upper two pixels
        ((2, 1), (3, 1)),
        ((1, 2), (2, 2)),  # below the left one
        ((2, 3), (3, 3)),  # below the lower one, at the border of the image
        ((1, 1), (1, 2)),  # left and right sides
        ((2, 2), (2, 3)),
        ((3, 1), (3, 2)),
        ((3, 2), (3, 3)),
    }


def test_trace_outline_of_an_empty_mask_has_no_segment():
    assert trace_outline(np.zeros((3, 4), dtype=bool)).shape == (0, 2, 2)


@pytest.mark.parametrize("draw", [draw_example_case, draw_example_hotspots])
def test_every_figure_says_what_it_is_not(draw):
    assert "not a medical device" in texts_of(draw())
    assert "SYNTHETIC" not in texts_of(draw())
    assert "SYNTHETIC" in texts_of(draw(synthetic=True))


@pytest.mark.parametrize("draw", [draw_example_case, draw_example_hotspots])
def test_every_figure_wraps_a_title_that_does_not_fit(draw):
    title = "W" * 251 + ".dcm: anterior view"
    figure = draw(title=title)
    (caption,) = (t for t in figure.texts if t.get_text().startswith("WWW"))
    assert "".join(caption.get_text().split()) == title.replace(" ", "")
    extent = caption.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert 0 <= extent.x0 < extent.x1 <= figure.bbox.width


def test_a_wrapped_title_and_many_warnings_leave_room_for_the_pictures():
    figure = draw_example_hotspots(
        title="W" * 255, warnings=[f"Note: {'word ' * 60}"] * 9
    )
    assert "more lines: see JSON" in texts_of(figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    lowest = min(
        text.get_window_extent(renderer).y0
        for text in figure.texts
        if text.get_text().startswith(("W", "Note"))
    )
    assert all(0 < axes.bbox.y1 <= lowest for axes in figure.axes)
    assert all(axes.bbox.height > 0.2 * figure.bbox.height for axes in figure.axes)


@pytest.mark.parametrize("title", ["$x^$ of 骨.dcm", "a\udcff\nb\x1b[31m_$\\frac{$"])
@pytest.mark.parametrize("draw", [draw_example_case, draw_example_hotspots])
def test_every_figure_draws_any_title_without_a_warning(draw, title, tmp_path):
    save_figure(draw(title=title), tmp_path / "a.png")
    assert imread(tmp_path / "a.png").std() > 0


def test_draw_case_shows_an_image_without_counts(tmp_path):
    figure = draw_case(
        np.zeros((3, 4)), MASK, MASK & False, title="", scores="", synthetic=True
    )
    save_figure(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").ndim == 3


def test_draw_hotspots_numbers_lists_and_scores_them():
    text = texts_of(draw_example_hotspots(2))
    assert "1: 0.75" in text and "2: 0.75" in text
    assert "abnormal uptake" in text and "16 mm2" in text
    assert "metastas" not in text


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([], []),
        ([1, 9], [1, 9]),
        ([1, 2, 2.5, 9], [1, 3, 5, 9]),
        ([1, 8, 8.5, 9], [1, 6, 8, 10]),
    ],
)
def test_spread_labels_keeps_them_apart_and_inside(wanted, places):
    assert spread_labels(wanted, gap=2, lowest=10) == places


def test_draw_hotspots_says_how_many_are_not_listed():
    assert "more" not in texts_of(draw_example_hotspots(9))
    assert "and 5 more" in texts_of(draw_example_hotspots(14))


def test_draw_hotspots_shows_why_a_crop_is_doubted():
    figure = draw_example_hotspots(0, warnings=["Crop flagged: no neck"])
    assert "Crop flagged: no neck" in texts_of(figure)
    assert "No hotspot found" in texts_of(figure)
    assert "in doubt" not in texts_of(figure)


def test_an_empty_picture_of_a_flagged_crop_does_not_look_normal():
    text = texts_of(draw_example_hotspots(0, flags=("no neck",)))
    assert "No hotspot found.\nThe crop is in doubt" in text


def test_draw_case_outlines_masks_that_overlap_one_by_one():
    rows = np.array([[[0, 0, 1, 1]] * 3, [[0, 1, 1, 0]] * 3], bool)
    figure = draw_case(COUNTS, MASK, rows, title="", scores="", synthetic=False)
    truth, *found = figure.axes[1].collections
    assert len(truth.get_segments()) == 8
    assert [len(each.get_segments()) for each in found] == [10, 10]


def test_figures_leave_no_global_state(tmp_path):
    save_figure(draw_example_case(), tmp_path / "a.png")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
