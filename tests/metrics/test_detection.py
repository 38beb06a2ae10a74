"""Tests of `metrics.instance_matching` and `metrics.detection`.

Answers are by hand, or those of pycocotools where it is installed.
"""

import contextlib
import io
import math

import numpy as np
import pytest

from spectjax.imaging.hotspots import bound_mask, encode_rle
from spectjax.metrics.detection import (
    RECALLS,
    average_classes,
    match_classes,
    score_matches,
)
from spectjax.metrics.instance_matching import (
    COCO_IOUS,
    IOUS,
    LOW_IOUS,
    SIZE_NAMES,
    Overlaps,
    match_images,
    measure_box_area,
    measure_box_iou,
    measure_mask_iou,
)


def overlap(iou, scores, *, areas=None, truth_areas=None, labels=None, truths=None):
    """One image of given overlaps, (D, G), all of class 1 and 100 square pixels."""
    truths = [1] * np.shape(iou)[1] if truths is None else truths
    d, g = len(scores), len(truths)
    return Overlaps(
        iou=np.array(iou, float).reshape(d, g),
        scores=np.array(scores, np.float32),
        labels=np.ones(d, int) if labels is None else np.array(labels),
        areas=np.full(d, 100.0) if areas is None else np.array(areas, float),
        truth_labels=np.array(truths, int),
        truth_areas=np.full(g, 100) if truth_areas is None else np.array(truth_areas),
    )


def score(images, size="all"):
    values = score_matches(match_classes(images), np.ones((1, len(images))), size)
    return {name: float(value[0]) for name, value in values.items()}


def correct_at(image, iou, size="all"):
    matches = match_images([image], 1)
    cell = SIZE_NAMES.index(size), IOUS.index(iou)
    return matches.correct[cell].tolist(), matches.counted[cell].tolist()


def test_iou_of_boxes_is_that_of_continuous_areas():
    boxes = np.array([[0, 0, 2, 2], [0.5, 0, 1.5, 2], [5, 5, 5, 5]], np.float32)
    others = np.array([[0, 1, 2, 3], [5, 5, 5, 5], [2, 0, 4, 2]], np.float32)
    # 2 of 4 + 4 - 2; 1 of 2 + 4 - 1; boxes that touch, and empty ones, share nothing.
    expected = [[1 / 3, 0, 0], [1 / 5, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(measure_box_iou(boxes, others), expected, atol=1e-15)
    assert measure_box_area(boxes).tolist() == [4, 2, 0]
    assert measure_box_iou(boxes, np.zeros((0, 4))).shape == (3, 0)


def test_iou_of_masks_is_that_of_pixels():
    masks = np.zeros((3, 3, 4), bool)
    masks[0, 0] = masks[1, :, 0] = True
    others = np.array([masks[0], masks[0] | masks[1], ~masks[0]])
    # Of 4 and 3 pixels with one in common: 4 / 4, 4 / 6; 1 / 6, 3 / 6, 2 / 9.
    expected = [[1, 4 / 6, 0], [1 / 6, 3 / 6, 2 / 9], [0, 0, 0]]
    np.testing.assert_allclose(measure_mask_iou(masks, others), expected, atol=1e-15)
    assert measure_mask_iou(masks[:0], others).shape == (0, 3)


def test_a_detection_of_the_very_threshold_finds_its_lesion():
    for iou in (0.1, 0.3, 0.55, 0.9):
        assert correct_at(overlap([[iou]], [0.5]), iou) == ([True], [True])
        below = np.nextafter(iou, 0)
        assert correct_at(overlap([[below]], [0.5]), iou) == ([False], [True])


def test_a_lesion_is_found_once_and_by_the_surest():
    image = overlap([[0.6], [0.9], [0.7]], [0.3, 0.8, 0.9])
    assert correct_at(image, 0.5) == ([True, False, False], [True] * 3)
    # At 0.8 the surest does not reach it, and leaves it to the second.
    assert correct_at(image, 0.8) == ([False, True, False], [True] * 3)


def test_a_detection_takes_the_lesion_that_it_covers_best():
    # The first takes the second lesion, so that the second detection finds nothing.
    image = overlap([[0.5, 0.6], [0.1, 0.7]], [0.9, 0.8])
    assert correct_at(image, 0.5) == ([True, False], [True, True])
    assert correct_at(image, 0.1) == ([True, True], [True, True])
    # Of equals it takes the last, as COCO does: the first is left.
    image = overlap([[0.6, 0.6], [0.7, 0.0]], [0.9, 0.8])
    assert correct_at(image, 0.5) == ([True, True], [True, True])


def test_precision_is_the_best_at_this_recall_or_higher():
    # Correct, false, correct, correct, and a fifth lesion that nothing finds is absent:
    # precision 1, 1/2, 2/3, 3/4 at recall 1/4, 1/4, 2/4, 3/4; best 1 to 1/4, then 3/4.
    images = [
        overlap([[0.6, 0], [0, 0], [0, 0.6]], [0.9, 0.8, 0.7]),
        overlap([[0.6, 0]], [0.6]),
    ]
    curves = average_classes(match_classes(images), np.ones((1, 2)), [0.5])
    expected = np.where(RECALLS <= 0.25, 1, np.where(RECALLS <= 0.75, 0.75, 0))
    assert curves.precision[0, 0].tolist() == expected.tolist()
    assert curves.recall[0, 0] == 0.75
    # 26 recalls up to 0.25, 50 more up to 0.75.
    scores = score(images)
    ap = (26 + 50 * 0.75) / 101
    for name in ("AP10", "AP30", "AP50", "AP10_50"):
        assert scores[name] == pytest.approx(ap, abs=1e-15)
    assert scores["AP75"] == 0
    # Of the thresholds 0.5 to 0.95, 0.5 to 0.6 are reached.
    assert scores["AP"] == pytest.approx(0.3 * ap, abs=1e-15)
    assert scores["AR"] == pytest.approx(0.3 * 0.75, abs=1e-15)


def test_detections_in_images_without_lesion_are_false():
    lesion = overlap([[1.0]], [0.5])
    assert score([lesion])["AP50"] == 1
    surer = overlap([], [0.9, 0.8], truths=[])
    assert score([lesion, surer])["AP50"] == pytest.approx(1 / 3)
    # Those that are less sure come after all recall is reached.
    assert score([lesion, overlap([], [0.1], truths=[])])["AP50"] == 1


def test_scores_without_lesion_are_undefined_and_without_detection_0():
    nothing = overlap([], [], truths=[])
    assert all(math.isnan(value) for value in score([nothing]).values())
    false = overlap([], [0.9], truths=[])
    assert all(math.isnan(value) for value in score([nothing, false]).values())
    missed = overlap([], [], truths=[1, 1])
    assert set(score([missed, nothing]).values()) == {0.0}
    with pytest.raises(ValueError, match="at least one image"):
        match_classes([])


def test_what_lies_outside_a_class_of_size_is_neither_right_nor_wrong():
    # A lesion of 100 pixels and one of 30; a detection of each, one of 30 pixels that
    # finds nothing and one of 100 that finds nothing.
    image = overlap(
        [[0.8, 0], [0, 0.8], [0, 0], [0, 0]],
        [0.9, 0.8, 0.7, 0.6],
        areas=[100, 30, 30, 100],
        truth_areas=[100, 30],
    )
    small = correct_at(image, 0.5, "below 6 px")
    assert small == ([False, True, False, False], [False, True, True, False])
    large = correct_at(image, 0.5, "6 to 12 px")
    assert large == ([True, False, False, False], [True, False, False, True])
    assert score([image], "below 6 px")["AP50"] == 1
    assert math.isnan(score([image], "12 to 24 px")["AP50"])
    assert match_images([image], 1).lesions.tolist() == [[2], [1], [1], [0], [0]]


def test_a_lesion_on_a_bound_is_in_both_classes():
    image = overlap([[0.8]], [0.9], areas=[36], truth_areas=[36])
    assert match_images([image], 1).lesions[:, 0].tolist() == [1, 1, 1, 0, 0]


def test_a_detection_prefers_a_lesion_that_counts():
    # It covers the large one better, but among small ones only the other counts.
    image = overlap([[0.9, 0.6]], [0.9], areas=[30], truth_areas=[100, 30])
    assert correct_at(image, 0.5, "below 6 px") == ([True], [True])
    assert correct_at(image, 0.7, "below 6 px") == ([False], [False])


def test_classes_are_matched_apart_and_averaged():
    # Class 1: found. Class 2: the detection lies on the lesion of class 1.
    image = overlap([[0.9, 0], [0.9, 0]], [0.9, 0.8], labels=[1, 2], truths=[1, 2])
    assert score([image])["AP50"] == 0.5
    # A class that only the model knows has no recall, and does not count.
    image = overlap([[0.9], [0.0]], [0.9, 0.8], labels=[1, 3], truths=[1])
    assert score([image])["AP50"] == 1


def make_images(seed, n=12, hw=(40, 44)):
    """Masks of two classes; ties of scores and areas, empty images and detections."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: hw[0], : hw[1]] + 0.5

    def draw(n):
        centre = rng.integers(4, 36, (n, 2))
        radii = rng.choice([1.0, 2.0, 3.0, 5.0, 8.0, 16.0, 16.0], (n, 2))
        dy = (rows - centre[:, 0, None, None]) / radii[:, 0, None, None]
        dx = (columns - centre[:, 1, None, None]) / radii[:, 1, None, None]
        return (np.hypot(dy, dx) < 1, rng.integers(1, 3, n))

    images = []
    for i in range(n):
        lesions, truths = draw(0 if i % 3 == 0 else rng.integers(1, 7))
        other, labels = draw(0 if i % 4 == 3 else rng.integers(0, 8))
        copies = rng.integers(0, max(len(lesions), 1), 3 * (len(lesions) > 0) * (i % 4))
        shift = rng.integers(-2, 3, (len(copies), 2))
        near = [
            np.roll(lesions[k], s, (0, 1)) for k, s in zip(copies, shift, strict=True)
        ]
        found = np.array([*other, *near, *[np.zeros(hw, bool)] * (i == 5)], bool)
        found = found.reshape(-1, *hw)
        labels = np.array([*labels, *truths[copies], *[1] * (i == 5)], int)
        boxes = np.array([box_of(mask) for mask in found], np.float32).reshape(-1, 4)
        boxes[:, :2] -= rng.choice([0, 0.25, 0.7], boxes[:, :2].shape)
        images.append(
            {
                "lesions": lesions,
                "truths": truths,
                "found": found,
                "labels": labels,
                "boxes": boxes,
                "scores": rng.integers(0, 12, len(found)).astype(np.float32) / 12,
            }
        )
    return images


def box_of(mask):
    return bound_mask(mask) if mask.any() else (3, 3, 3, 3)


def compare(image, kind):
    if kind == "bbox":
        lesions = np.array([box_of(mask) for mask in image["lesions"]], np.float32)
        iou = measure_box_iou(image["boxes"], lesions.reshape(-1, 4))
        areas = measure_box_area(image["boxes"])
    else:
        iou = measure_mask_iou(image["found"], image["lesions"])
        areas = image["found"].sum(axis=(1, 2))
    return Overlaps(
        iou=iou,
        scores=image["scores"],
        labels=image["labels"],
        areas=areas,
        truth_labels=image["truths"],
        truth_areas=image["lesions"].sum(axis=(1, 2)),
    )


def describe_coco(images, kind):
    """The readers' and the model's outlines as two data sets of pycocotools."""
    document = {
        "images": [
            {"id": i, "height": 40, "width": 44} for i in range(1, len(images) + 1)
        ],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    lesions, found = [], []
    for i, image in enumerate(images, start=1):
        for mask, label in zip(image["lesions"], image["truths"], strict=True):
            lesions.append(describe_mask(mask, box_of(mask), label, i))
        for mask, label, box, score in zip(
            *(image[k] for k in ("found", "labels", "boxes", "scores")), strict=True
        ):
            entry = describe_mask(mask, box, label, i) | {"score": float(score)}
            if kind == "bbox":
                entry["area"] = entry["bbox"][2] * entry["bbox"][3]
            found.append(entry)
    for entries in (lesions, found):
        for number, entry in enumerate(entries, start=1):
            entry["id"] = number
    return document | {"annotations": lesions}, document | {"annotations": found}


def describe_mask(mask, box, label, image_id):
    y0, x0, y1, x1 = np.array(box, float).tolist()
    return {
        "image_id": image_id,
        "category_id": int(label),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(mask.sum()),
        "segmentation": encode_rle(mask),
        "iscrowd": 0,
    }


def run_coco(images, kind):
    """Precision (T, 101, K, A) and recall (T, K, A) of COCOeval, NaN for undefined."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = coco.COCO(), coco.COCO()
        truth.dataset, found.dataset = describe_coco(images, kind)
        truth.createIndex()
        found.createIndex()
        evaluation = cocoeval.COCOeval(truth, found, kind)
        params = evaluation.params
        params.iouThrs = np.concatenate([[0.1, 0.2, 0.3, 0.4], params.iouThrs])
        params.maxDets = [1000]
        params.areaRng = [[0, 1e10], [0, 36], [36, 144], [144, 576], [576, 1e10]]
        params.areaRngLbl = list(SIZE_NAMES)
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = (evaluation.eval[k][..., 0] for k in ("precision", "recall"))
    return np.where(precision < 0, math.nan, precision), np.where(
        recall < 0, math.nan, recall
    )


def mean_of(values):
    """Mean of what is defined, as COCO takes it over classes; NaN for nothing."""
    defined = values[~np.isnan(values)]
    return defined.mean() if defined.size else math.nan


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(4))
def test_every_precision_is_that_of_pycocotools(kind, seed):
    images = make_images(seed)
    overlaps = [compare(image, kind) for image in images]
    precision, recall = run_coco(images, kind)
    everyone = np.ones((1, len(images)))
    for k, label in enumerate((1, 2)):
        matches = [match_images(overlaps, label)]
        for a, size in enumerate(SIZE_NAMES):
            curves = average_classes(matches, everyone, IOUS, size)
            np.testing.assert_allclose(
                curves.precision[:, 0], precision[:, :, k, a], rtol=0, atol=1e-9
            )
            np.testing.assert_allclose(
                curves.recall[:, 0], recall[:, k, a], rtol=0, atol=1e-9
            )
    for a, size in enumerate(SIZE_NAMES):
        scores = score(overlaps, size)
        expected = {
            "AP10": mean_of(precision[0, ..., a]),
            "AP50": mean_of(precision[4, ..., a]),
            "AP10_50": mean_of(precision[:5, ..., a]),
            "AP75": mean_of(precision[9, ..., a]),
            "AP": mean_of(precision[4:, ..., a]),
            "AR": mean_of(recall[4:, ..., a]),
        }
        for name, value in expected.items():
            assert scores[name] == pytest.approx(value, rel=0, abs=1e-9, nan_ok=True), (
                size,
                name,
            )


def test_the_random_cases_hold_what_makes_matching_hard():
    images = [image for seed in range(4) for image in make_images(seed)]
    overlaps = [compare(image, "segm") for image in images]
    assert any(not len(image["lesions"]) and len(image["found"]) for image in images)
    assert any(len(image["lesions"]) and not len(image["found"]) for image in images)
    assert any(
        not len(image["lesions"]) and not len(image["found"]) for image in images
    )
    assert any(np.sum(each.iou > 0.5, axis=0).max(initial=0) > 2 for each in overlaps)
    assert any((each.areas == 0).any() for each in overlaps)
    for low, high in ((0, 36), (36, 144), (144, 576), (576, 1e10)):
        areas = np.concatenate([each.truth_areas for each in overlaps])
        assert np.sum((areas > low) & (areas < high)) > 5


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_drawn_images_score_as_if_they_were_there_so_often(kind):
    images = make_images(7)
    # Scores without ties: copies of an image keep together.
    rng = np.random.default_rng(0)
    for image in images:
        image["scores"] = rng.uniform(size=len(image["found"])).astype(np.float32)
    overlaps = [compare(image, kind) for image in images]
    drawn = rng.multinomial(len(images), np.full(len(images), 1 / len(images)), 5)
    drawn[0, 1:] = 0  # an image without lesion alone
    assert not len(images[0]["lesions"])
    scores = score_matches(match_classes(overlaps), drawn.astype(float))
    by_size = score_matches(match_classes(overlaps), drawn.astype(float), "6 to 12 px")
    for r, row in enumerate(drawn):
        repeated = [i for i, times in enumerate(row) for _ in range(times)]
        precision, recall = run_coco([images[i] for i in repeated], kind)
        if r == 0:
            assert np.isnan(precision).all() and math.isnan(scores["AP50"][0])
            continue
        for a, found in ((0, scores), (2, by_size)):
            expected = mean_of(precision[4, ..., a]), mean_of(recall[4:, ..., a])
            assert found["AP50"][r] == pytest.approx(expected[0], rel=0, abs=1e-9)
            assert found["AR"][r] == pytest.approx(expected[1], rel=0, abs=1e-9)


def test_thresholds_are_those_of_the_papers_and_of_coco():
    np.testing.assert_allclose(LOW_IOUS, np.arange(1, 6) / 10)
    np.testing.assert_allclose(COCO_IOUS, np.linspace(0.5, 0.95, 10))
    assert list(IOUS) == sorted(set(LOW_IOUS + COCO_IOUS))
