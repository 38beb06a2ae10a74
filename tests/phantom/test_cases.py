"""Tests of readers who disagree, and of cases found by what they outline."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import ndimage

from spectjax.phantom.cases import diagnose_view, find_case
from spectjax.phantom.patient import draw_foci, place_foci
from spectjax.phantom.readers import (
    READERS,
    Outline,
    measure_visibility,
    read_view,
)
from spectjax.phantom.subject import draw_subject, expose
from spectjax.phantom.truth import find_thorax_box

HW = (1024, 256)


def fill(polygon):
    """Pixels whose centres lie in a polygon of (x, y), by the even-odd rule."""
    mask = np.zeros(HW, bool)
    left, top = np.maximum(np.floor(polygon.min(axis=0)).astype(int), 0)
    right, bottom = np.ceil(polygon.max(axis=0)).astype(int)
    part = mask[top:bottom, left:right]
    y, x = np.indices(part.shape) + 0.5
    y, x = y + top, x + left
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            part ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return mask


@pytest.fixture(scope="module")
def seen():
    """For each metastasis in a view: its visibility, and each reader's mask or None."""
    found = []
    for seed in range(4):
        subject = draw_subject(np.random.SeedSequence([9, seed]), ("posterior",))
        for disease in range(4):
            rng = np.random.default_rng([seed, disease])
            foci = draw_foci(rng, subject, "metastasis")
            lesions = place_foci(subject, foci)
            exposure = expose(subject, lesions, "posterior")
            reading = read_view(rng, exposure)
            masks = [[fill(o.polygon_xy) for o in outlines] for outlines in reading]
            for spot in exposure.spots:
                if spot.kind == "metastasis":
                    row, column = spot.peak
                    near = (slice(row - 2, row + 3), slice(column - 2, column + 3))
                    hits = [
                        next((mask for mask in own if mask[near].any()), None)
                        for own in masks
                    ]
                    visibility = measure_visibility(spot, exposure.expectation)
                    found.append((visibility, hits))
    return found


def test_some_lesions_are_seen_by_all_some_by_some_and_some_by_none(seen):
    counts = [sum(mask is not None for mask in masks) for _, masks in seen]
    shares = np.bincount(counts, minlength=4) / len(counts)
    assert len(seen) > 80
    assert shares[3] > 0.4
    assert 0.04 < shares[1] + shares[2] < 0.35
    assert 0.05 < shares[0] < 0.5


def test_what_readers_miss_is_fainter(seen):
    contrast = {True: [], False: []}
    for visibility, masks in seen:
        for mask in masks:
            contrast[mask is not None].append(visibility.contrast)
    assert np.median(contrast[False]) < 0.5 * np.median(contrast[True])
    shown = np.array([[*v, m is not None] for v, ms in seen for m in ms])
    assert shown[shown[:, 0] < 0.2, 2].mean() < 0.25
    # Small ones drown in noise, however hot.
    assert shown[(shown[:, 0] > 0.5) & (shown[:, 1] > 10), 2].mean() > 0.95
    # Hardly anybody misses what is hotter than twice its surroundings.
    assert np.mean(np.array(contrast[False]) > 1) < 0.1


def test_outlines_of_the_same_lesion_overlap_as_those_of_people_do(seen):
    dice = [
        2 * (one & other).sum() / (one.sum() + other.sum())
        for _, masks in seen
        for one, other in itertools.combinations(masks, 2)
        if one is not None and other is not None
    ]
    assert 0.78 < np.median(dice) < 0.95
    assert np.mean(np.array(dice) < 0.6) < 0.1
    assert np.mean(np.array(dice) == 1) < 0.05


def test_readers_take_benign_spots_for_metastases_now_and_then():
    # This subject has four broken ribs and no metastasis.
    subject = draw_subject(np.random.SeedSequence(22), ("posterior",))
    exposure = expose(subject, [], "posterior")
    assert [spot.kind for spot in exposure.spots].count("rib fracture") == 4
    rng = np.random.default_rng(0)
    outlines = [outlines for _ in range(100) for outlines in read_view(rng, exposure)]
    assert 0.01 < np.mean([len(own) for own in outlines]) < 0.3
    words = [outline.word for own in outlines for outline in own]
    assert words.count("metastasis outside spine") > len(words) / 2


def vote(case, view, grow):
    """The diagnosis of a box by its definition, with loops over pixels' neighbours."""
    y0, x0, y1, x1 = case.patient.views[view].thorax_box
    box = slice(y0 - grow, y1 + grow), slice(max(x0 - grow, 0), x1 + grow)
    marks = {"spinal metastasis": [], "metastasis outside spine": []}
    for word, masks in marks.items():
        for outlines in case.readings[view]:
            mine = [fill(o.polygon_xy) for o in outlines if o.word == word]
            masks.append(np.any([np.zeros(HW, bool), *mine], axis=0))
    spinal, outside = (np.array(masks) for masks in marks.values())
    if sum((spinal[i] | outside[i])[box].any() for i in range(3)) < 2:
        return "normal"
    parts, number = ndimage.label((spinal | outside).sum(axis=0) >= 2, np.ones((3, 3)))
    is_spinal = []
    for part in range(1, number + 1):
        if (parts[box] == part).any():
            inside = parts == part
            is_spinal.append(spinal[:, inside].sum() > outside[:, inside].sum())
    if not is_spinal:
        return "metastasis"
    if all(is_spinal):
        return "spinal metastasis"
    return ("metastasis outside spine", "multiple bone metastasis")[len(is_spinal) > 1]


def test_diagnose_view_takes_the_thorax_of_its_own_side():
    subject = draw_subject(np.random.SeedSequence(1), views=())
    # A patient who lies far from the middle: the box of one side misses the other's.
    away = subject.bones._replace(column=subject.bones.column - 30)
    subject = dataclasses.replace(subject, bones=away)
    y0, x0, _, _ = find_thorax_box(away)
    square = np.array([[1, 80], [6, 80], [6, 90], [1, 90]]) + [x0, y0]
    mirrored = square * [-1, 1] + [HW[1], 0]
    for polygon, views in (
        (square, ("metastasis outside spine", "normal")),
        (mirrored, ("normal", "metastasis outside spine")),
    ):
        reading = ([Outline("metastasis outside spine", polygon)],) * 3
        for view, expected in zip(("anterior", "posterior"), views, strict=True):
            assert diagnose_view(reading, subject, view) == expected


def test_diagnose_view_leaves_open_what_depends_on_the_margin_of_the_crop():
    subject = draw_subject(np.random.SeedSequence(1), views=())
    y0, x0, y1, x1 = find_thorax_box(subject.bones)
    below = np.array([[-3, 5], [3, 5], [3, 9], [-3, 9]]) + [(x0 + x1) // 2, y1]
    reading = ([Outline("spinal metastasis", below)],) * 3
    assert diagnose_view(reading, subject, "anterior") is None
    reading = ([Outline("spinal metastasis", below + [0, 12])],) * 3
    assert diagnose_view(reading, subject, "anterior") == "normal"


def test_diagnose_view_of_a_whole_frame_sees_a_thigh():
    subject = draw_subject(np.random.SeedSequence(1), views=())
    thigh = np.array([[80, 600], [90, 600], [90, 620], [80, 620]])
    reading = ([Outline("metastasis outside spine", thigh)],) * 3
    assert diagnose_view(reading, subject, "anterior") == "normal"
    assert (
        diagnose_view(reading, subject, "anterior", whole=True)
        == "metastasis outside spine"
    )


@pytest.mark.parametrize(
    ("diagnosis", "views"),
    [
        ("normal", ("posterior",)),
        ("multiple bone metastasis", ("anterior", "posterior")),
        ("spinal metastasis", ("posterior",)),
        ("metastasis outside spine", ("anterior",)),
    ],
)
def test_find_case_shows_the_wanted_diagnosis_in_every_view(diagnosis, views):
    case = find_case(np.random.SeedSequence(8), diagnosis, views)
    assert tuple(case.patient.views) == tuple(case.readings) == views
    assert abs(np.degrees(case.patient.posture.tilt)) <= 2.5
    for view in views:
        assert case.diagnoses[view] == diagnosis
        for grow in (2, 6, 14):
            assert vote(case, view, grow) == diagnosis


def test_find_case_of_any_metastasis_shows_one_that_readers_agree_upon():
    kinds = set()
    for seed in range(4):
        case = find_case(np.random.SeedSequence(seed), "metastasis", ("anterior",))
        kinds.add(vote(case, "anterior", 6))
    assert kinds <= {
        "multiple bone metastasis",
        "spinal metastasis",
        "metastasis outside spine",
    }


def test_a_view_does_not_depend_on_whether_the_other_is_kept():
    seed = np.random.SeedSequence(3)
    alone, both = (
        find_case(seed, "normal", views)
        for views in (("posterior",), ("anterior", "posterior"))
    )
    assert both.trials == alone.trials == 1
    for case in (alone, both):
        assert len(case.readings["posterior"]) == len(READERS)
    np.testing.assert_array_equal(
        alone.patient.views["posterior"].counts, both.patient.views["posterior"].counts
    )
