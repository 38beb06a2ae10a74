"""Tests of `spectjax.report.curves` and `spectjax.tasks.classification.mistakes`."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.image import imread
from matplotlib.text import Text

from spectjax.metrics.calibration import Reliability
from spectjax.metrics.classification import Confusion
from spectjax.report.curves import (
    PALETTE,
    Curve,
    Probabilities,
    draw_confusions,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
)
from spectjax.report.data_notes import Caption
from spectjax.report.picture_parts import save_figure
from spectjax.tasks.classification.mistakes import PER_KIND, Mistake, draw_mistakes

X, Y = np.array([0.0, 0.0, 0.5, 1.0]), np.array([0.0, 0.5, 0.5, 1.0])
BINS = Reliability(
    mean_prob=np.array([0.1, np.nan, 0.9]),
    fraction=np.array([0.25, np.nan, 1.0]),
    count=np.array([4, 0, 2]),
    edges=np.array([0, 1 / 3, 2 / 3, 1]),
)
COUNTS = np.arange(12.0).reshape(3, 4)
WORDS = {"title": "specs_v7", "subtitle": "fold0", "synthetic": False}


def texts_of(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def draw_roc_of(n=1, **changes):
    curves = [Curve(f"m{i}: AUC 0.{i}", X, Y, (0.5, 0.5)) for i in range(n)]
    return draw_roc(curves, note="dots: p = 0.5", caption=Caption(**(WORDS | changes)))


def draw_line(**changes):
    band = X, Y - 0.1, Y + 0.1
    return draw_precision_recall(
        [Curve("m", X, Y[::-1], None, band)],
        prevalence=0.25,
        note="",
        caption=Caption(**(WORDS | changes)),
    )


def draw_bins(n=1, after=BINS, **changes):
    panels = {f"m{i}": Probabilities(BINS, after, "ECE 0.12") for i in range(n)}
    return draw_reliability(panels, caption=Caption(**(WORDS | changes)))


def draw_matrices(n=1, **changes):
    panels = {f"m{i}": Confusion(tp=3, fn=1, fp=2, tn=8) for i in range(n)}
    return draw_confusions(panels, caption=Caption(**(WORDS | changes)))


def draw_page(n=(1, 1), **changes):
    fields = {"title": "specs_v7", "synthetic": False} | changes
    fields.pop("subtitle", None)
    kinds = [
        [
            Mistake(COUNTS, COUNTS > 9, f"{kind}{i}", "anterior", diagnosis, 0.9)
            for i in range(count)
        ]
        for kind, diagnosis, count in (
            ("n", "normal", n[0]),
            ("s", "spinal metastasis", n[1]),
        )
    ]
    return draw_mistakes(*kinds, **fields)


DRAW = [draw_roc_of, draw_line, draw_bins, draw_matrices, draw_page]


@pytest.mark.parametrize("draw", DRAW)
def test_every_figure_says_what_it_is_not(draw):
    assert "not a medical device" in texts_of(draw())
    assert "SYNTHETIC" not in texts_of(draw())
    assert "SYNTHETIC" in texts_of(draw(synthetic=True))


@pytest.mark.parametrize("draw", DRAW)
def test_every_figure_becomes_a_picture(draw, tmp_path):
    save_figure(draw(), tmp_path / "a.png")
    assert imread(tmp_path / "a.png").std() > 0.02


def test_draw_roc_plots_every_classifier_in_a_colour_of_its_own():
    axes = draw_roc_of(len(PALETTE)).axes[0]
    lines = [line for line in axes.lines if line.get_label().startswith("m")]
    assert [line.get_label() for line in lines] == [
        f"m{i}: AUC 0.{i}" for i in range(7)
    ]
    assert len({line.get_color() for line in lines}) == 7
    assert lines[0].get_xydata().tolist() == np.stack([X, Y], axis=1).tolist()
    assert axes.get_xlabel().startswith("False-positive rate")


def test_draw_roc_without_a_curve_has_no_legend():
    assert draw_roc_of(0).axes[0].get_legend() is None


def test_draw_precision_recall_shows_band_and_chance():
    axes = draw_line().axes[0]
    (band,) = axes.collections
    assert band.get_paths()[0].get_extents().ymax == pytest.approx(1.1)
    assert any(line.get_ydata()[0] == 0.25 for line in axes.lines)
    assert axes.get_legend().get_texts()[0].get_text() == "m"


def test_draw_reliability_leaves_out_empty_bins():
    axes, below = draw_bins().axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == 2][1:]
    assert [line.get_xydata().tolist() for line in lines] == [
        [[0.1, 0.25], [0.9, 1]]
    ] * 2
    assert below.patches[0].get_data().values.tolist() == [4, 0, 2]


def test_draw_reliability_gives_wilsons_intervals():
    bars = next(
        each
        for each in draw_bins().axes[0].collections
        if isinstance(each, LineCollection)
    )
    low, high = bars.get_segments()[0][:, 1]
    # 1 of 4: (0.0456, 0.6994) in tables of Wilson's interval
    assert (low, high) == (
        pytest.approx(0.0456, abs=1e-4),
        pytest.approx(0.6994, abs=1e-4),
    )


def test_draw_reliability_does_without_a_temperature():
    text = texts_of(draw_bins(after=None))
    assert "as the network says" in text
    assert "after temperature" not in text


def test_draw_reliability_has_two_panels_for_each_classifier():
    assert len(draw_bins(7).axes) == 14


def test_draw_confusions_shows_truth_in_rows():
    axes = draw_matrices().axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {
        (0, 0): "8\n80.0 %",
        (1, 0): "2\n20.0 %",
        (0, 1): "1\n25.0 %",
        (1, 1): "3\n75.0 %",
    }
    assert axes.get_title() == "m0\naccuracy 0.7857"  # 11 of 14
    assert [t.get_text() for t in axes.get_xticklabels()] == ["normal", "metastasis"]


def test_draw_mistakes_counts_all_and_shows_the_first():
    text = texts_of(draw_page((PER_KIND + 3, 2)))
    assert f"called metastasis: {PER_KIND + 3}, the {PER_KIND} most confident" in text
    assert f"n{PER_KIND - 1}\n" in text and f"n{PER_KIND}\n" not in text
    assert "called normal (readers' outlines in red): 2" in text
    assert "s1\nanterior, p = 0.900\nspinal metastasis" in text


def test_draw_mistakes_of_a_faultless_classifier_is_empty():
    figure = draw_page((0, 0))
    assert "called metastasis: 0" in texts_of(figure)
    assert not figure.axes
