"""Tests of the pictures of free response, of burden and of models side by side."""

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.text import Text

from spectjax.metrics.burden import Burden
from spectjax.paper_figures.overlays import (
    KMEANS,
    NETWORK,
    READERS,
    Segmentation,
    draw_comparison,
)
from spectjax.report.data_notes import Caption
from spectjax.report.picture_parts import save_figure
from spectjax.tasks.hotspots.burden import draw_burden
from spectjax.tasks.hotspots.froc import draw_froc, trace_best

# Five thresholds, the lowest first: it merges regions and finds less than the second.
FALSE = np.array([6.0, 3.0, 2.0, 0.5, 0.0])
FOUND = np.array([0.4, 0.8, 0.5, 0.5, 0.1])
WORDS = {"title": "unet_res", "subtitle": "fold0", "synthetic": False}
COUNTS = np.arange(12.0).reshape(3, 4)
MASK = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]], dtype=bool)
# The readers mark 4 and 9, then nothing twice; the last image is marked by neither.
TRUTH, PREDICTED = np.array([4.0, 9.0, 0.0, 0.0]), np.array([2.0, 12.0, 5.0, 0.0])


def texts_of(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def make_lesion(false_per_image, sensitivity, n=3):
    """What `metrics.json` says of lesions; both numbers are at probability 0.5."""
    return {
        "n": n,
        "min_iou": 0.1,
        "sensitivity": sensitivity,
        "false_per_image": false_per_image,
        "sensitivity_at": {"1": 0.5},
        "froc": {
            "false_per_image": FALSE.tolist(),
            "sensitivity": FOUND.tolist(),
        },
    }


def draw_curves(points=((2.0, 0.5),), n=3, **changes):
    intervals = {"lesion.sensitivity_at.1": [0.25, 0.75]}
    models = {
        f"m{i}": {"lesion": make_lesion(*point, n), "intervals": intervals}
        for i, point in enumerate(points)
    }
    return draw_froc(models, caption=Caption(**(WORDS | changes)))


def draw_agreement(bias=2.0, low=-5.07, high=9.07, **changes):
    agreement = {"bias": bias, "low": low, "high": high}
    burden = Burden(TRUTH, PREDICTED, TRUTH, PREDICTED)
    return draw_burden(
        burden,
        {"area_mm2": agreement, "counts": agreement},
        caption=Caption(**(WORDS | changes)),
    )


def draw_models(**changes):
    segmentations = [
        Segmentation("kmeans", ~MASK, KMEANS, "IoU 0.000"),
        Segmentation("unet_res", MASK, NETWORK, "IoU 1.000"),
    ]
    return draw_comparison(
        COUNTS, MASK, segmentations, caption=Caption(**(WORDS | changes))
    )


DRAW = [draw_curves, draw_agreement, draw_models]


@pytest.mark.parametrize("draw", DRAW)
def test_every_figure_says_what_it_is_not(draw):
    assert "not a medical device" in texts_of(draw())
    assert "SYNTHETIC" not in texts_of(draw())
    assert "SYNTHETIC" in texts_of(draw(synthetic=True))


@pytest.mark.parametrize("draw", DRAW)
def test_every_figure_becomes_a_picture(draw, tmp_path):
    save_figure(draw(), tmp_path / "a.png")
    assert imread(tmp_path / "a.png").std() > 0.02


def test_trace_best_never_falls_and_passes_over_worse_thresholds():
    x, y = trace_best(FALSE, FOUND, 10.0)
    assert x.tolist() == [0.0, 0.5, 2.0, 3.0, 6.0, 10.0]
    assert y.tolist() == [0.1, 0.5, 0.5, 0.8, 0.8, 0.8]


def test_trace_best_ends_where_the_picture_does():
    x, y = trace_best(FALSE, FOUND, 2.5)
    assert x.tolist() == [0.0, 0.5, 2.0, 2.5]
    assert y.tolist() == [0.1, 0.5, 0.5, 0.5]
    assert [each.size for each in trace_best(FALSE[:2], FOUND[:2], 1.0)] == [0, 0]


def test_draw_froc_marks_every_threshold_and_the_operating_point():
    axes = draw_curves().axes[0]
    dots, line, point = axes.lines[1:]
    assert dots.get_xydata().tolist() == np.stack([FALSE, FOUND], axis=1).tolist()
    assert line.get_drawstyle() == "steps-post"
    assert point.get_xydata().tolist() == [[2.0, 0.5]]
    assert axes.get_xlim()[1] == 10
    assert axes.get_xscale() == "symlog"


def test_draw_froc_has_room_for_a_model_that_marks_much():
    figure = draw_curves([(2.0, 0.5), (37.0, 0.9)])
    axes = figure.axes[0]
    assert axes.get_xlim()[1] == 50
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        f"{name}: 0.500 (0.250–0.750) at 1 false region per image"
        for name in ("m0", "m1")
    ]
    assert len({line.get_color() for line in axes.lines[1:]}) == 2


def test_draw_froc_without_a_lesion_has_no_legend():
    assert draw_curves(n=0).legends == []
    assert "fold0, 0 lesions" in texts_of(draw_curves(n=0))


def test_draw_burden_puts_differences_over_means():
    axes, counts = draw_agreement().axes
    marked, falsely = axes.collections
    # (4 + 2) / 2 and 2 - 4; (9 + 12) / 2 and 12 - 9; the last image is no point.
    assert marked.get_offsets().tolist() == [[3.0, -2.0], [10.5, 3.0]]
    assert falsely.get_offsets().tolist() == [[2.5, 5.0]]
    levels = [line.get_ydata()[0] for line in axes.lines]
    assert levels == [0.0, 2.0, -5.07, 9.07]
    assert axes.get_ylabel() == "Model − readers (mm²)"
    assert counts.get_ylabel() == "Model − readers"
    assert "bias\n+2.00" in texts_of(axes) and "−1.96 SD\n−5.07" in texts_of(axes)


def test_draw_burden_does_without_limits():
    axes = draw_agreement(low=None, high=None).axes[0]
    assert [line.get_ydata()[0] for line in axes.lines] == [0.0, 2.0]


def test_draw_comparison_shows_every_model_over_the_readers():
    plain, *panels = draw_models().axes
    assert not plain.collections
    colors = [[each.get_edgecolor()[0] for each in p.collections] for p in panels]
    widths = [[each.get_linewidth()[0] for each in p.collections] for p in panels]
    assert len(panels) == 2 and all(wide > thin for wide, thin in widths)
    assert (colors[0][0] == colors[1][0]).all()
    assert (colors[0][1] != colors[1][1]).any()
    names = {text.get_text(): text.get_color() for text in panels[1].texts}
    assert names == {"readers": READERS, "unet_res": NETWORK, "IoU 1.000": "black"}
