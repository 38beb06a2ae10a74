"""Tests of a detector's cases, file and scores, with answers by hand or by COCOeval."""

import contextlib
import dataclasses
import io
import json
import math

import numpy as np
import pytest

from spectjax.evaluation.batches import join_cases
from spectjax.imaging.hotspots import Instances, decode_rle
from spectjax.input_pipeline import Examples
from spectjax.metrics import intervals
from spectjax.metrics.detection import match_classes, score_matches
from spectjax.metrics.intervals import bootstrap_patients
from spectjax.system.files import replace_undefined
from spectjax.tasks.hotspots.detection_scores import (
    score_detections,
    summarise_detections,
)
from spectjax.tasks.hotspots.detections import (
    compare_boxes,
    compare_masks,
    measure_detections,
    outline_lesions,
)
from spectjax.tasks.hotspots.detections_file import read_detections, write_detections

DATA = {"name": "made_up", "split": "fold0", "synthetic": True}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 15)


def make_examples(masks, patients):
    n = len(masks)
    return Examples(
        images=np.ones((*masks.shape, 1), np.uint16),
        masks=masks.astype(np.uint8),
        labels=np.ones(n, np.int32),
        diagnoses=["multiple bone metastasis"] * n,
        example_ids=[f"{patient}_{i}" for i, patient in enumerate(patients)],
        patients=list(patients),
        views=["anterior"] * n,
        spacing_mm=np.full((n, 2), 2.0, np.float32),
        synthetic=True,
        name="made_up",
        split="fold0",
        fingerprint="made up",
    )


# By hand, 12 x 14 pixels. The first image has lesions of 3 x 4 and 4 x 4 pixels; the
# model outlines the first as it is, 2 x 4 of the second, and one that is not there. In
# the second image it outlines nothing, in the third, without lesion, one pixel.
MASKS = np.zeros((3, 12, 14), np.uint8)
MASKS[0, 1:4, 1:5] = MASKS[0, 6:10, 6:10] = MASKS[1, 0, 0] = 1
FOUND = np.zeros((3, 4, 12, 14), bool)
FOUND[0, 0, 8:12, 0:2] = FOUND[0, 1, 1:4, 1:5] = FOUND[0, 3, 6:8, 6:10] = True
FOUND[2, 0, 5, 5] = True
BOXES = np.zeros((3, 4, 4), np.float32)
BOXES[0, 0], BOXES[0, 1], BOXES[0, 3] = (8, 0, 12, 2), (1, 1, 4, 5), (5.5, 6, 8, 10)
BOXES[2, 0] = (5, 5, 6, 6)
INSTANCES = Instances(
    boxes=BOXES,
    scores=np.array([[0.4, 0.9, 1, 0.7], [1, 1, 1, 1], [0.8, 1, 1, 1]], np.float32),
    labels=np.ones((3, 4), np.int32),
    valid=np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], bool),
    masks=FOUND,
)


def measure_by_hand(patients="aab", **changes):
    return measure_detections(
        make_examples(MASKS, patients), INSTANCES._replace(**changes)
    )


def make_cases(n=8, seed=0, depth=9):
    """Random lesions; detections are some of them, shifted, and others."""
    rng = np.random.default_rng(seed)
    masks = rng.normal(size=(n, 8, 9)).repeat(3, axis=1).repeat(4, axis=2) > 1.1
    masks[::4] = False
    boxes = rng.uniform(0, 20, (n, depth, 4)).astype(np.float32)
    boxes[..., 2:] += boxes[..., :2]
    boxes[0, 0] = [1e-7, 1 / 3, 23.999998, 35.99999]  # sides that float32 must round
    found = np.zeros((n, depth, *masks.shape[1:]), bool)
    for i, k in np.ndindex(n, depth):
        lesions = outline_lesions(masks[i])
        if len(lesions) and rng.uniform() < 0.7:
            pick = rng.integers(len(lesions))
            shift = rng.integers(-1, 2, 2)
            found[i, k] = np.roll(decode_rle(lesions.masks[pick]), shift, (0, 1))
            boxes[i, k] = lesions.boxes[pick] + rng.normal(0, 0.5, 4)
        else:
            found[i, k, 3:9, 5:9] = True
    instances = Instances(
        boxes=boxes,
        scores=rng.uniform(size=(n, depth)).astype(np.float32),
        labels=np.ones((n, depth), np.int32),
        valid=rng.uniform(size=(n, depth)) < 0.7,
        masks=found,
    )
    patients = [f"p{i // 2}" for i in range(n)]
    return measure_detections(make_examples(masks, patients), instances)


def assert_same(one, other):
    assert one.example_ids == other.example_ids
    assert one.patients == other.patients
    assert one.sizes == other.sizes
    for name in ("lesions", "detections"):
        assert len(getattr(one, name)) == len(getattr(other, name))
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            assert a.masks == b.masks
            for key in ("boxes", "labels", "scores"):
                assert getattr(a, key).dtype == getattr(b, key).dtype
                np.testing.assert_array_equal(getattr(a, key), getattr(b, key))


def test_lesions_are_the_regions_that_touch_even_by_a_corner():
    mask = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 2], [0, 0, 0, 0, 2]], np.uint8)
    lesions = outline_lesions(mask)
    assert lesions.boxes.tolist() == [[0, 0, 2, 3], [1, 4, 3, 5]]
    assert lesions.labels.tolist() == [1, 2]
    assert decode_rle(lesions.masks[0]).sum() == 3
    assert len(outline_lesions(np.zeros((3, 4), np.uint8))) == 0


def test_detections_are_the_valid_ones_by_falling_score():
    cases = measure_by_hand()
    assert [len(each) for each in cases.detections] == [3, 0, 1]
    first = cases.detections[0]
    assert first.scores.tolist() == np.float32([0.9, 0.7, 0.4]).tolist()
    assert first.boxes[1].tolist() == [5.5, 6, 8, 10]
    np.testing.assert_array_equal(decode_rle(first.masks[1]), FOUND[0, 3])
    assert cases.sizes == [(12, 14)] * 3


def test_boxes_and_masks_are_compared_with_the_lesions():
    cases = measure_by_hand()
    masks, boxes = compare_masks(cases)[0], compare_boxes(cases)[0]
    assert masks.iou.tolist() == [[1, 0], [0, 8 / 16], [0, 0]]
    # 2 x 4 of 2.5 x 4 + 4 x 4 - 2 x 4; the last box lies beside its lesion.
    assert boxes.iou.tolist() == [[1, 0], [0, 8 / 18], [0, 0]]
    assert masks.areas.tolist() == [12, 8, 8]
    assert boxes.areas.tolist() == [12, 10, 8]
    assert masks.truth_areas.tolist() == boxes.truth_areas.tolist() == [12, 16]


def test_scores_are_those_by_hand():
    summary = summarise_detections(measure_by_hand())
    assert (summary["n_lesions"], summary["n_detections"]) == (3, 4)
    # By mask: correct at 0.9, false at 0.8 (third image), correct at 0.7 up to an IoU
    # of 0.5, then false. Precision 1 to a recall of 1/3, 2/3 to 2/3, 0 beyond.
    both, one = (34 + 33 * 2 / 3) / 101, 34 / 101
    mask = summary["mask"]
    assert mask["AP10"] == mask["AP50"] == mask["AP10_50"] == pytest.approx(both)
    assert mask["AP75"] == pytest.approx(one)
    assert mask["AP"] == pytest.approx((both + 9 * one) / 10)
    assert mask["AR"] == pytest.approx((2 / 3 + 9 / 3) / 10)
    # By box the second is found up to 8/18, so not at 0.5.
    box = summary["box"]
    assert box["AP40"] == pytest.approx(both)
    assert box["AP50"] == pytest.approx(one)
    assert box["AP10_50"] == pytest.approx((4 * both + one) / 5)
    assert mask["by_size"]["below 6 px"] == {
        "n": 3,
        **{name: mask[name] for name in mask if name != "by_size"},
    }
    assert mask["by_size"]["6 to 12 px"]["n"] == 0
    assert math.isnan(mask["by_size"]["6 to 12 px"]["AP50"])
    curves = summary["curves"]
    assert curves["recall"][33] == pytest.approx(0.33)
    assert curves["mask"]["0.5"][33:35] == [1, pytest.approx(2 / 3)]
    assert curves["box"]["0.5"][33:35] == [1, 0]
    assert score_detections(measure_by_hand())["mask"].keys() == mask.keys()
    json.dumps(replace_undefined(summary), allow_nan=False)


def test_intervals_are_those_of_patients_drawn_one_by_one():
    cases = make_cases()
    found = summarise_detections(cases)["intervals"]
    overlaps = {"box": compare_boxes(cases), "mask": compare_masks(cases)}

    def score_drawn(images):
        everyone = np.ones((1, len(images)))
        scores = {}
        for kind, each in overlaps.items():
            matches = match_classes([each[i] for i in images])
            for name, value in score_matches(matches, everyone).items():
                scores[f"{kind}.{name}"] = float(value[0])
            for size in ("6 to 12 px", "12 to 24 px"):
                by_size = score_matches(matches, everyone, size)
                for name in ("AP50", "AP10_50"):
                    scores[f"{kind}.by_size.{size}.{name}"] = float(by_size[name][0])
        return scores

    expected = bootstrap_patients(cases.patients, score_drawn, seed=0, resamples=15)
    for path, interval in expected.items():
        assert found[path] == pytest.approx(
            [interval.low, interval.high], abs=1e-12, nan_ok=True
        ), path
    low, high = found["mask.AP50"]
    assert 0 < low < high < 1
    assert (found["resamples"], found["level"]) == (15, 0.95)


def test_scores_without_lesion_are_undefined():
    images = make_examples(np.zeros((2, 12, 14)), ["a", "b"])
    some = Instances(*(each[::2] for each in INSTANCES))
    summary = summarise_detections(measure_detections(images, some))
    assert math.isnan(summary["box"]["AP50"])
    undefined = summary["intervals"]["undefined"]
    assert undefined["mask.AP10_50"] == summary["intervals"]["resamples"]


def test_joined_folds_are_one_run():
    cases = make_cases()
    parts = [
        dataclasses.replace(
            cases,
            **{
                field.name: getattr(cases, field.name)[images]
                for field in dataclasses.fields(cases)
            },
        )
        for images in (slice(0, 2), slice(2, 5), slice(5, 8))
    ]
    assert_same(join_cases(parts), cases)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"masks": FOUND[..., :-1]}, r"masks of instances \(3, 4, 12, 14\)"),
        ({"boxes": BOXES[:, :3]}, r"boxes of instances \(3, 4, 4\).*\(3, 3, 4\)"),
        ({"scores": INSTANCES.scores * np.nan}, "a_0: expected finite .* diverged"),
        ({"boxes": BOXES - np.inf}, "a_0: expected finite"),
        ({"boxes": -BOXES}, "a_0: expected boxes .* end before they begin"),
        ({"labels": INSTANCES.labels + 1}, r"a_0: expected labels 1 to 1 .* \[2\]"),
    ],
)
def test_measure_detections_names_what_is_wrong(changes, words):
    with pytest.raises(ValueError, match=words):
        measure_by_hand(**changes)


def test_detections_are_read_as_they_were_written(tmp_path):
    for number, cases in enumerate((make_cases(), measure_by_hand())):
        path = tmp_path / f"{number}.json"
        write_detections(path, cases, DATA)
        assert_same(read_detections(path), cases)


def test_the_file_says_what_it_is_and_whose_images_it_has(tmp_path):
    write_detections(tmp_path / "a.json", measure_by_hand(), DATA)
    document = json.loads((tmp_path / "a.json").read_text())
    assert "SYNTHETIC" in document["info"]["description"]
    assert "not a medical device" in document["info"]["description"]
    assert document["images"][2] == {
        "id": 3,
        "file_name": "b_2",
        "patient": "b",
        "height": 12,
        "width": 14,
    }
    assert document["categories"] == [{"id": 1, "name": "metastasis"}]
    assert document["annotations"][1]["bbox"] == [6, 6, 4, 4]
    assert document["annotations"][1]["area"] == 16
    assert document["detections"][1] == {
        "image_id": 1,
        "category_id": 1,
        "bbox": [6, 5.5, 4, 2.5],
        # Six columns of 12, six pixels and a run of 2 in each of four columns.
        "segmentation": {"size": [12, 14], "counts": [78, 2, 10, 2, 10, 2, 10, 2, 52]},
        "score": float(np.float32(0.7)),
    }


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_pycocotools_reads_the_file_and_gives_the_same_scores(tmp_path, kind):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    masks = pytest.importorskip("pycocotools.mask")
    path, cases = tmp_path / "detections.json", make_cases()
    write_detections(path, cases, DATA)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(path))
        results = truth.dataset["detections"]
        for result in results:
            # With a box, areas are those of boxes; without, masks must be compressed.
            rle = result.pop("segmentation")
            if kind == "mask":
                del result["bbox"]
                result["segmentation"] = masks.frPyObjects(rle, *rle["size"])
        iou_type = {"box": "bbox", "mask": "segm"}[kind]
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(results), iou_type)
        evaluation.params.areaRng = [[0, 1e10], [0, 36], [36, 144], [144, 576]]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores = score_detections(cases)[kind]
    expected = dict(zip(("AP", "AP50", "AP75"), evaluation.stats[:3], strict=True))
    expected["AR"] = evaluation.stats[8]
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, rel=0, abs=1e-9)
    sizes = ("below 6 px", "6 to 12 px", "12 to 24 px")
    for size, ap, ar in zip(
        sizes, *evaluation.stats[[[3, 4, 5], [9, 10, 11]]], strict=True
    ):
        by_size = scores["by_size"][size]
        for name, value in (("AP", ap), ("AR", ar)):
            value = math.nan if value == -1 else value
            assert by_size[name] == pytest.approx(value, rel=0, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("detections"), "there is no 'detections'"),
        (lambda d: d["images"][1].pop("patient"), "there is no 'patient'"),
        (lambda d: d["images"].pop(0), "not numbered from 1"),
        (lambda d: d["categories"].clear(), r"its categories are \[\]"),
        (lambda d: d["detections"][0].update(image_id=9), "there is no image 9"),
        (lambda d: d["detections"][0].update(category_id=2), "no category 2"),
        (lambda d: d["detections"][0].pop("score"), "there is no 'score'"),
        (lambda d: d["detections"][0].update(score=None), "image 1 lacks a box or a"),
        (lambda d: d["detections"][0]["bbox"].pop(), "image 1 lacks a box"),
        (lambda d: d["images"][0].update(width=13), "mask of image 1 has the size"),
        (
            lambda d: d["annotations"][0]["segmentation"]["counts"].pop(),
            "runs that add up",
        ),
    ],
)
def test_read_detections_names_what_is_wrong(tmp_path, change, words):
    path = tmp_path / "detections.json"
    write_detections(path, measure_by_hand(), DATA)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=words) as raised:
        read_detections(path)
    assert str(raised.value).startswith(f"{path}: expected detections")
    assert "the same command evaluates again" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_read_detections_names_a_file_that_is_missing_or_cut(tmp_path):
    path = tmp_path / "detections.json"
    with pytest.raises(ValueError, match=r"detections.json: .*No such file.*Remove"):
        read_detections(path)
    write_detections(path, measure_by_hand(), DATA)
    path.write_text(path.read_text()[:200])
    with pytest.raises(ValueError, match=r"detections.json: expected detections"):
        read_detections(path)
