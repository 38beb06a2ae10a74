"""Tests of the tracer's time, of the counts that it gives, and of what covers it."""

import numpy as np
import pytest

from spectjax.phantom.covers import draw_covers
from spectjax.phantom.lesions import draw_metastases, is_spinal
from spectjax.phantom.mimics import draw_mimics
from spectjax.phantom.organs import draw_organs
from spectjax.phantom.skeleton import build_skeleton
from spectjax.phantom.tracer import (
    Exam,
    clear_soft_tissue,
    clear_urine,
    draw_exam,
    draw_hours,
    share_in_bone,
    share_in_soft_tissue,
)


def test_counts_halve_in_six_hours_and_follow_activity_and_bed_speed():
    exam = Exam(600, 0.0, 2.0, 50, 150)
    # 600 MBq x 50 counts per second and MBq x 75 s under the detector.
    assert exam.counts_per_share == pytest.approx(600 * 50 * 75)
    later = Exam(600, 6.02, 2.0, 50, 150)
    assert later.counts_per_share == pytest.approx(exam.counts_per_share / 2)
    slow = Exam(600, 0.0, 1.0, 50, 150)
    assert slow.counts_per_share == pytest.approx(exam.counts_per_share * 2)


def test_bone_and_soft_tissue_hold_what_is_published_four_hours_after_injection():
    assert 0.50 <= share_in_bone(4.0) <= 0.60
    assert 0.06 <= share_in_soft_tissue(4.0) <= 0.12


def test_soft_tissue_and_urine_fade_against_bone_hour_by_hour():
    hours = np.linspace(2, 5, 13)
    for clear in (clear_soft_tissue, clear_urine):
        levels = [clear(time) for time in hours]
        assert (np.diff(levels) < 0).all()
        assert clear(3.0) == pytest.approx(1)
    assert 1.5 < clear_soft_tissue(2.0) / clear_soft_tissue(4.0) < 3


def test_exams_keep_to_the_ranges_of_practice():
    rng = np.random.default_rng(0)
    hours = np.array([draw_hours(rng) for _ in range(2000)])
    assert hours.min() >= 2 and hours.max() <= 5
    weights = rng.uniform(45, 130, 2000)
    exams = [draw_exam(rng, 3.0, weight) for weight in weights]
    activity = np.array([exam.activity_mbq for exam in exams])
    assert activity.min() >= 370 and activity.max() <= 740
    assert np.corrcoef(activity, weights)[0, 1] > 0.7
    cm_per_min = np.array([exam.speed_mm_s * 6 for exam in exams])
    usual = (cm_per_min >= 10) & (cm_per_min <= 15)
    assert 0.84 < usual.mean() < 0.92
    assert cm_per_min.min() > 3 and cm_per_min.max() <= 15


def draw_sites(diagnosis, number=40):
    skeleton = build_skeleton()
    rng = np.random.default_rng(1)
    return [
        [s.site for s in draw_metastases(rng, skeleton, diagnosis)]
        for _ in range(number)
    ]


@pytest.mark.parametrize("bone", ["C4", "T1", "T12", "L5", "sacrum"])
def test_is_spinal_knows_the_spine(bone):
    assert is_spinal(bone)


@pytest.mark.parametrize("bone", ["left rib 5", "sternum", "right clavicle", "skull"])
def test_is_spinal_knows_the_rest(bone):
    assert not is_spinal(bone)


def test_draw_metastases_places_them_as_the_diagnosis_says():
    assert draw_sites("normal", 3) == [[], [], []]
    assert all(is_spinal(site) for sites in draw_sites("spinal metastasis")
               for site in sites)  # fmt: skip
    for sites in draw_sites("metastasis outside spine"):
        assert len(sites) == 1 and not is_spinal(sites[0])
    for sites in draw_sites("multiple bone metastasis"):
        assert len(sites) >= 2 and not is_spinal(sites[0])
    anywhere = draw_sites("metastasis")
    assert {len(sites) for sites in anywhere} >= {1, 2, 5, 10}
    assert any(is_spinal(sites[0]) for sites in anywhere)


def draw_kinds(age, number=60):
    skeleton = build_skeleton()
    rng = np.random.default_rng(2)
    return [
        spot.kind for _ in range(number) for spot in draw_mimics(rng, skeleton, age)
    ]


def test_bone_wears_out_with_age():
    young, old = draw_kinds(35), draw_kinds(80)
    assert old.count("degenerative spine") > 2 * young.count("degenerative spine")
    assert old.count("compression fracture") > young.count("compression fracture")


def test_mimics_lie_in_the_bone_that_they_name():
    skeleton = build_skeleton()
    rng = np.random.default_rng(3)
    paget = 0
    for _ in range(80):
        for spot in draw_mimics(rng, skeleton, 70):
            bone = skeleton.bone == skeleton.names.index(spot.site)
            low, high = (f(skeleton.xyz_mm[bone], axis=0) for f in (np.min, np.max))
            middle = spot.xyz_mm.mean(axis=0)
            assert ((middle > low - 40) & (middle < high + 40)).all(), spot.kind
            if spot.kind == "Paget's disease":  # takes the whole bone
                paget += 1
                assert len(spot.weight) == bone.sum()
    assert paget >= 1


def test_organs_include_rare_accidents_of_the_injection():
    rng = np.random.default_rng(4)
    kinds = [
        {s.kind for s in draw_organs(rng, 3.0, pertechnetate=False)} for _ in range(800)
    ]

    def share(kind):
        return np.mean([kind in one for one in kinds])

    assert share("bladder") == 1
    assert 0.02 < share("infiltration") < 0.09
    assert 0.01 < share("lymph node") < 0.06
    assert 0.02 < share("contamination") < 0.07
    assert 0.06 < share("urine bag") == share("catheter") < 0.14
    # A lymph node shines only where tracer ran beside the vein.
    assert all("infiltration" in one for one in kinds if "lymph node" in one)


def test_covers_are_breasts_of_women_and_rare_implants():
    rng = np.random.default_rng(5)
    women = [draw_covers(rng, "F") for _ in range(600)]
    men = [draw_covers(rng, "M") for _ in range(600)]
    assert np.mean([len(covers) == 0 for covers in men]) > 0.85
    assert np.mean([len(covers) >= 2 for covers in women]) > 0.85
    water = np.array([cover.water_mm for covers in men for cover in covers])
    # A pacemaker or a coin lets less than 60 % of the photons through.
    assert np.exp(-0.012 * water).max() < 0.6
    assert 0.03 < np.mean([len(covers) > 0 for covers in men]) < 0.12
