"""Tests of the scores of regions and of operating points, on scenes made by hand."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from spectjax.imaging.hotspots import Instances
from spectjax.tasks.hotspots import fitting
from spectjax.tasks.hotspots.candidates import (
    compute_log_odds,
    propose,
    propose_regions,
)
from spectjax.tasks.hotspots.fitting import (
    fit_logistic,
    fit_operation,
    make_operation,
    trace_points,
)
from spectjax.tasks.hotspots.operation import (
    FEATURES,
    OperationError,
    parse_operation,
)
from spectjax.tasks.hotspots.region_cases import (
    RegionCollector,
    collect_regions,
)
from spectjax.tasks.hotspots.regions import (
    measure_features,
    score_candidates,
    score_regions,
    score_view,
    select_regions,
)
from spectjax.tasks.hotspots.spots import measure_spots
from tests.support.region_scenes import LESION, make_scenes

EXAMPLES, PREDICT = make_scenes()
(CASES,) = collect_regions(PREDICT, EXAMPLES, batch_size=5)
OPERATION = fit_operation(CASES, EXAMPLES, learnt_from=False)


def score_image(row, **changes):
    """The regions of an image at 2.5 mm a pixel."""
    options = {"spacing": EXAMPLES.spacing_mm[row], "operation": OPERATION} | changes
    images = EXAMPLES.images[row : row + 1]
    return score_regions(PREDICT(images)[0], images[0, :, :, 0], **options)


def mark(*places):
    """Probabilities of a model that is sure of the places."""
    hot = np.full((24, 24), 1e-3)
    for rows, columns in places:
        hot[rows, columns] = 0.999
    return np.stack([1 - hot, hot], axis=-1).astype(np.float32)


def test_regions_are_those_that_the_model_marks_padding_of_batches_is_none():
    assert len(CASES) == 9 + 8
    assert CASES.met.sum() == len(CASES.lesion_image) == 9
    assert CASES.without_lesion.sum() == 3
    assert CASES.area_px[CASES.met].tolist() == [25] * 9
    assert CASES.answers.sum() == (EXAMPLES.images > 0).sum()
    assert CASES.answers[0].sum() == (EXAMPLES.masks > 0).sum()


def test_a_false_region_with_the_highest_probability_is_less_sure_than_a_lesion():
    row = 7  # SURE of what is false
    lesion, false = score_image(row)
    assert lesion.mask[LESION].all() and not false.mask[LESION].any()
    probs = PREDICT(EXAMPLES.images[row : row + 1])[0, ..., 1]
    assert probs[false.mask].max() > probs[lesion.mask].max()
    assert lesion.score > 0.9 and false.score < 0.1


def test_scores_rank_all_lesions_above_all_that_is_false():
    first = trace_points(CASES, OPERATION)[0]
    assert (first.false_per_image, first.sensitivity) == (0, 1)
    assert first.marked_without_lesion == 0


def test_a_region_of_one_pixel_is_never_marked():
    point = dataclasses.replace(OPERATION.points["sensitive"], score=0.0)
    tiny = dataclasses.replace(OPERATION, min_area_mm2=0.0)
    counts = np.ones((24, 24))
    pixel = mark((slice(3, 4), slice(5, 6)))
    pair = mark((slice(3, 4), slice(5, 7)))
    for probs, marked in ((pixel, 0), (pair, 1)):
        regions = score_regions(probs, counts, (30.0, 30.0), tiny)
        selection = select_regions(regions, tiny, point)
        assert (len(selection.marked), selection.too_small) == (marked, 1 - marked)


def test_what_is_small_or_not_sure_is_left_out_and_counted():
    regions = score_image(7)
    strict = dataclasses.replace(OPERATION, min_area_mm2=25 * 6.25)
    point = dataclasses.replace(OPERATION.points["balanced"], score=0.0)
    selection = select_regions(regions, strict, point)
    assert (len(selection.marked), selection.too_small, selection.not_sure) == (1, 1, 0)
    selection = select_regions(
        regions, OPERATION, dataclasses.replace(point, score=0.5)
    )
    assert (len(selection.marked), selection.too_small, selection.not_sure) == (1, 0, 1)


@pytest.mark.parametrize("column", range(len(FEATURES)))
def test_more_of_a_feature_never_makes_a_region_less_sure(column):
    assert OPERATION.features[FEATURES[column]].weight >= 0
    assert any(each.weight > 0 for each in OPERATION.features.values())


def test_a_view_without_a_region_ranks_below_those_with_a_lesion():
    counts, spacing = EXAMPLES.images[1, :, :, 0], (2.5, 2.5)
    nothing = score_view(mark(), counts, spacing, OPERATION)
    lesion = score_view(mark(LESION), counts, spacing, OPERATION)
    assert 0 < nothing < lesion < 1
    only = score_regions(mark(LESION), counts, spacing, OPERATION)
    assert lesion == only[0].score


def test_padding_around_the_patient_has_no_region_and_no_view_score():
    valid = np.ones((24, 24), bool)
    valid[LESION] = False
    counts = EXAMPLES.images[1, :, :, 0]
    args = counts, (2.5, 2.5), OPERATION
    assert score_regions(mark(LESION), *args, valid=valid) == []
    assert score_view(mark(LESION), *args, valid=valid) < 0.5


def test_an_unknown_spacing_counts_as_that_of_the_images_behind_the_scores():
    assert OPERATION.assumed_pixel_mm2 == 6.25
    known = [region.score for region in score_image(7)]
    for unknown in (None, (np.nan, np.nan)):
        assert [each.score for each in score_image(7, spacing=unknown)] == known


def test_features_are_the_peak_the_area_while_small_and_how_far_it_stands_out():
    counts = np.full((24, 24), 4.0)
    probs = mark((slice(9, 12), slice(10, 14)), (slice(0, 1), slice(0, 1)))
    block, speck = propose_regions(probs)
    counts[block.mask] = 16.0
    (large, small), (peak, area, contrast) = (
        measure_features([block, speck], counts, 10.0),
        measure_features([block], counts, 2.0)[0],
    )
    assert large[0] == peak == block.peak_log_odds
    assert np.exp([large[1], small[1], area]) == pytest.approx([100, 10, 24])
    spots = measure_spots(counts)
    assert large[2] == contrast == spots[block.mask].max() > np.log(1.5)
    # At the rim of what is shown nothing can be measured.
    assert np.isnan(small[2])


def test_contrast_counts_though_the_model_alone_would_do():
    # The model's belief tells all: contrast has no weight of its own.
    features = np.array([[-2.0, 0, 0.1], [-1, 0, 0.2], [1, 0, 0.1], [2, 0, 0.2]] * 20)
    met = np.array([False, False, True, True] * 20)
    free = fit_logistic(features, met, ~met)
    assert free[2] < free[0]
    tied = fitting._fit_score(features, met)
    assert tied[2] >= 8 * tied[0] > 0


def test_log_odds_of_what_is_nearly_certain_are_not_rounded():
    probs = np.array([[1e-8, 1 - 1e-8]], np.float32)
    assert compute_log_odds(probs, 1) == pytest.approx(8 * np.log(10), rel=1e-6)


def test_a_lone_bright_pixel_is_no_peak():
    wide, lone = propose_regions(
        mark((slice(2, 7), slice(2, 7)), (slice(15, 16), slice(15, 16)))
    )
    assert wide.peak_log_odds > 6
    assert lone.peak_log_odds < 0 < lone.mean_log_odds


def test_instances_are_scored_as_regions_are():
    masks = np.zeros((2, 24, 24), bool)
    masks[0][LESION] = True
    instances = Instances(
        boxes=np.array([(4, 4, 9, 9), (1, 1, 2, 2)], np.float32),
        scores=np.array([0.9, 0.8], np.float32),
        labels=np.ones(2, np.int32),
        valid=np.ones(2, bool),
        masks=masks,
    )
    (candidate,) = propose(instances)  # the other has no pixel
    assert candidate.peak_log_odds == pytest.approx(np.log(9), rel=1e-5)
    assert candidate.box == (4, 4, 9, 9)
    counts = EXAMPLES.images[1, :, :, 0]
    (region,) = score_candidates([candidate], counts, None, OPERATION)
    assert region.area_px == 25
    assert score_view(instances, counts, None, OPERATION) == region.score
    none = instances._replace(valid=np.zeros(2, bool))
    assert score_view(none, counts, None, OPERATION) == 0
    collector = RegionCollector(EXAMPLES)
    collector.add(slice(1, 2), Instances(*(each[None] for each in instances)))
    found = collector.finish()
    assert (len(found), found.met.tolist(), found.answers.sum()) == (1, [True], 1)


def test_weights_are_those_of_scikit_learn_where_none_is_negative():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(400, 2)) * (1, 5) + (0, 3)
    labels = rng.random(400) < 1 / (1 + np.exp(-features @ (1.5, 0.3) + 1))
    found = fit_logistic(features, labels, ~labels, shrinkage=0.0)
    expected = LogisticRegression(C=np.inf, tol=1e-10, max_iter=500)
    expected.fit(features, labels)
    assert found == pytest.approx(
        [*expected.coef_[0], expected.intercept_[0]], rel=1e-3
    )
    # A feature that speaks against lesions has no say.
    features[:, 1] *= -1
    weights = fit_logistic(features, labels, ~labels)
    assert weights[1] == 0 < weights[0]
    # Nor has one that differs in its last digits alone.
    features[:, 1] = np.log(100) + 1e-15 * labels
    assert fit_logistic(features, labels, ~labels)[1] == 0


def test_calibration_undoes_what_makes_a_model_too_sure():
    rng = np.random.default_rng(5)
    honest = rng.normal(-1, 2, 20000)
    labels = rng.random(20000) < 1 / (1 + np.exp(-honest))
    said = ((2 * honest + 1)[:, None], labels, ~labels)
    slope, intercept = fit_logistic(*said, shrinkage=0.0)
    assert (slope, intercept) == pytest.approx((0.5, -0.5), abs=0.03)


def test_an_operating_point_has_a_name_or_a_number_of_false_regions():
    name, point = OPERATION.choose_point()
    assert (name, point) == ("specific", OPERATION.points["specific"])
    assert OPERATION.choose_point("specific")[1].false_per_image <= 0.1
    name, point = OPERATION.choose_point("0.4")
    assert name == "0.4 false regions per image"
    assert 0.1 < point.false_per_image <= 0.4
    assert OPERATION.choose_point("99")[1].score == 0
    for wrong in ("none", "-1", "nan", ""):
        if wrong:
            with pytest.raises(OperationError, match="specific, balanced, sensitive"):
                OPERATION.choose_point(wrong)


def test_the_document_is_read_as_it_was_written():
    document = json.loads(json.dumps(OPERATION.to_json()))
    assert parse_operation(document, "operation.json") == OPERATION
    for fault, change in (
        ("format 1", {"format": 1}),
        ("no 'points'", {"points": None}),
        ("no point 'specific'", {"points": {}}),
        ("as 'min_area_mm2'", {"min_area_mm2": "much"}),
    ):
        damaged = {k: v for k, v in (document | change).items() if v is not None}
        with pytest.raises(OperationError, match=f"^a.json: .*found .*{fault}"):
            parse_operation(damaged, "a.json")


def test_the_level_of_regions_is_the_one_that_finds_most():
    def predict_unsure(counts):
        """Gives lesions a probability of 0.3 at most."""
        probs = PREDICT(counts)
        hot = np.minimum(probs[..., 1], 0.3)
        return np.stack([1 - hot, hot], axis=-1)

    unsure = make_operation(predict_unsure, EXAMPLES, batch_size=4)
    # Of 0.3 they are -0.85: 0 finds nothing, and of equals the lowest is taken.
    assert unsure.min_log_odds == -3
    assert unsure.points["balanced"].sensitivity == 1
    image = EXAMPLES.images[7:8]
    args = image[0, :, :, 0], (2.5, 2.5), unsure
    lesion = score_regions(predict_unsure(image)[0], *args)[0]
    assert lesion.area_px == 25
    (least,) = collect_regions(predict_unsure, EXAMPLES, batch_size=4, levels=(0.0,))
    assert fit_operation(least, EXAMPLES, 0.0, learnt_from=False) is None


def test_the_level_in_whole_frames_is_the_one_that_marks_as_much_as_readers():
    """Lesions of 0.3, log-odds -0.85, in a halo of 0.2, -1.4, that nobody outlined."""
    few = EXAMPLES.select(np.arange(4, 8))
    far = tuple(
        (0, size - now)
        for size, now in zip((len(few), 1024, 256), few.masks.shape, strict=True)
    )
    frames = dataclasses.replace(
        few,
        images=np.pad(few.images, (*far, (0, 0))),
        masks=np.pad(few.masks, far),
    )
    height, width = few.masks.shape[1:]

    def predict_halo(counts):
        hot = np.zeros(counts.shape[:3], np.float32)
        hot[:, :height, :width] = PREDICT(counts[:, :height, :width])[..., 1] > 0.5
        near = ndimage.binary_dilation(hot, np.ones((1, 5, 5)))
        hot = np.where(hot > 0, 0.3, np.where(near, 0.2, 0.001)).astype(np.float32)
        return np.stack([1 - hot, hot], axis=-1)

    assert make_operation(predict_halo, frames, batch_size=4).min_log_odds == -1


def test_images_that_do_not_tell_give_no_operation():
    normal = dataclasses.replace(EXAMPLES, masks=np.zeros_like(EXAMPLES.masks))
    assert make_operation(PREDICT, normal, batch_size=4) is None
