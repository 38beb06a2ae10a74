"""Tests of the table and the picture of detections."""

from matplotlib.image import imread
from matplotlib.text import Text

from spectjax.metrics.detection import AP_NAMES
from spectjax.report.data_notes import Caption
from spectjax.report.picture_parts import save_figure
from spectjax.tasks.hotspots.detection_table import tabulate_detections
from spectjax.tasks.hotspots.precision_recall import draw_detection

CAPTION = Caption("Detections", "made_up fold0: 2 images of 1 patients", True)
RECALL = [k / 100 for k in range(101)]
SIZES = {"below 6 px": 0, "6 to 12 px": 12}


def make_scores(first):
    """Made up: names in order score `first`, one hundredth less, ..."""
    return {name: first - 0.01 * k for k, name in enumerate(AP_NAMES)}


def make_detection(n_lesions=12):
    kinds = {"box": 0.8, "mask": 0.7}
    detection = {
        kind: make_scores(first)
        | {
            "by_size": {
                size: {"n": n, **(make_scores(first / 2) if n else undefined())}
                for size, n in SIZES.items()
            }
        }
        for kind, first in kinds.items()
    }
    curve = [0.9] * 50 + [0.4] * 11 + [0.0] * 40
    intervals = {}
    for kind in kinds:
        for name in AP_NAMES:
            intervals[f"{kind}.{name}"] = widen(detection[kind][name])
            for size, scores in detection[kind]["by_size"].items():
                intervals[f"{kind}.by_size.{size}.{name}"] = widen(scores[name])
    curves = {iou: curve for iou in ("0.1", "0.3", "0.5")}
    return {
        "n_lesions": n_lesions,
        "n_detections": 34,
        **detection,
        "curves": {"recall": RECALL, "box": curves, "mask": curves},
        "intervals": intervals,
    }


def widen(score):
    return [None, None] if score is None else [score - 0.1, score + 0.1]


def undefined():
    return dict.fromkeys(AP_NAMES)


def find_row(lines, *words):
    rows = [line for line in lines if line.startswith("|")]
    (row,) = [row for row in rows if all(word in row for word in words)]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_table_has_boxes_and_masks_of_every_model():
    lines = tabulate_detections({"one": make_detection(), "two": make_detection()}, [])
    header = find_row(lines, "Compared by")
    boxes = dict(zip(header, find_row(lines, "one", "| boxes"), strict=True))
    masks = dict(zip(header, find_row(lines, "two", "| masks"), strict=True))
    assert boxes["Detections"] == "34"
    assert boxes["AP10"] == "0.800 (0.700–0.900)"
    assert masks["AP30"] == "0.680 (0.580–0.780)"
    assert masks["AP50"] == "0.660 (0.560–0.760)"
    assert masks["AP10–50"] == "0.650 (0.550–0.750)"
    assert masks["AP, COCO"] == "0.630 (0.530–0.730)"


def test_the_table_has_a_column_for_each_size():
    lines = tabulate_detections({"one": make_detection()}, [])
    header = find_row(lines, "below")
    assert header == ["Model", "Score", "below 6 px (0)", "6 to 12 px (12)"]
    row = find_row(lines, "AP50 of masks")
    assert row == ["one", "AP50 of masks", "–", "0.310 (0.210–0.410)"]
    assert find_row(lines, "AP10–50 of boxes")[3] == "0.350 (0.250–0.450)"


def test_the_picture_has_a_line_for_each_threshold_as_far_as_it_gets():
    figure = draw_detection(make_detection(), CAPTION)
    boxes, masks = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["Boxes", "Masks"]
    assert len(boxes.lines) == len(masks.lines) == 3
    x, y = masks.lines[2].get_data()
    assert (x[-1], y[-1]) == (0.6, 0.4)
    assert masks.lines[2].get_drawstyle() == "steps-pre"
    legend = [text.get_text() for text in masks.get_legend().get_texts()]
    assert legend[2] == "IoU ≥ 0.5: AP50 0.660 (0.560–0.760)"
    words = "\n".join(text.get_text() for text in figure.findobj(Text))
    assert "SYNTHETIC" in words and "12 lesions, 34 detections" in words


def test_the_picture_can_be_drawn(tmp_path):
    figure = draw_detection(make_detection(), CAPTION)
    save_figure(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").std() > 0.02


def test_the_picture_without_lesion_is_empty():
    figure = draw_detection(make_detection(n_lesions=0), CAPTION)
    assert [len(axes.lines) for axes in figure.axes] == [0, 0]
    assert [axes.get_legend() for axes in figure.axes] == [None, None]
