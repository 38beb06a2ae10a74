"""Tests of a patient who is scanned again."""

import numpy as np
import pytest

from spectjax.phantom.again import scan_again
from spectjax.phantom.frames import Frame
from spectjax.phantom.lesions import draw_anywhere
from spectjax.phantom.patient import examine, simulate_patient

FRAME = Frame((512, 128), 4.6)


@pytest.fixture(scope="module")
def first():
    return examine(5, frame=FRAME)


def sum_counts(examination, what="expectation"):
    views = examination.patient.views.values()
    return sum(float(getattr(view, what).sum()) for view in views)


def test_examine_is_the_scan_of_simulate_patient(first):
    patient = simulate_patient(5, frame=FRAME)
    for view, shown in first.patient.views.items():
        np.testing.assert_array_equal(shown.counts, patient.views[view].counts)
    assert len(first.foci) == len(first.patient.burden.lesion_shares) > 1


def test_each_scan_has_noise_of_its_own_and_nothing_else(first):
    one, two = (scan_again(first, number) for number in (1, 2))
    for view, shown in one.patient.views.items():
        other = two.patient.views[view]
        np.testing.assert_array_equal(shown.expectation, other.expectation)
        # The variance of the difference of two Poisson numbers is the sum of means.
        seen = shown.expectation > 5
        difference = shown.counts[seen] - other.counts[seen].astype(float)
        variance = np.mean(difference**2 / (2 * shown.expectation[seen]))
        assert variance == pytest.approx(1, abs=0.05)
        again = scan_again(first, 1).patient.views[view].counts
        np.testing.assert_array_equal(again, shown.counts)
        assert (shown.counts != first.patient.views[view].counts).any()


def test_a_bed_twice_as_fast_gives_half_of_the_counts(first):
    fast = scan_again(first, 1, counts=0.5)
    assert fast.patient.exam.speed_mm_s == 2 * first.patient.exam.speed_mm_s
    # Whether the scan is made anew or not.
    anew = scan_again(first, 1, counts=0.5, foci=first.foci)
    lying = scan_again(fast, 1, frame=FRAME)
    for view, shown in first.patient.views.items():
        np.testing.assert_allclose(
            fast.patient.views[view].expectation, shown.expectation / 2
        )
        for other in (anew, lying):
            np.testing.assert_allclose(
                other.patient.views[view].expectation, shown.expectation / 2, rtol=1e-4
            )
    assert lying.counts == 0.5 and lying.patient.exam == fast.patient.exam


def test_on_another_frame_the_patient_lies_where_they_lay(first):
    fine = scan_again(first, 1, frame=Frame((1024, 256), 2.3))
    for view, shown in fine.patient.views.items():
        assert shown.counts.shape == (1024, 256)
        np.testing.assert_allclose(
            np.array(shown.thorax_box) / 2,
            first.patient.views[view].thorax_box,
            atol=1,
        )
    assert sum_counts(fine) == pytest.approx(sum_counts(first), rel=0.05)


def test_who_lies_down_anew_has_the_same_bones_and_burden(first):
    again = scan_again(first, 1, lie_down=True)
    before, after = first.patient, again.patient
    assert after.burden.measure_index() == before.burden.measure_index()
    assert after.size_m == before.size_m and after.posture.tilt != before.posture.tilt
    np.testing.assert_array_equal(
        again.subject.skeleton.weight, first.subject.skeleton.weight
    )
    moved = np.subtract(
        after.views["anterior"].thorax_box, before.views["anterior"].thorax_box
    )
    assert 0 < np.abs(moved).max() < 15
    assert after.posture.lies_straight or not before.posture.lies_straight
    other = scan_again(first, 2, lie_down=True).patient.posture
    assert other.tilt != after.posture.tilt


def test_a_lesion_gone_one_grown_and_one_new(first):
    gone, grown, *others = first.foci
    new = draw_anywhere(
        np.random.default_rng(0),
        first.subject.skeleton,
        np.zeros(len(first.subject.skeleton.weight), bool),
    )
    foci = (grown.grow(2), *others, new)
    later = scan_again(first, 1, foci=foci)
    before, after = (e.patient.burden.lesion_shares.sum(axis=1) for e in (first, later))
    assert len(after) == len(before)
    assert after[0] > before[1]
    np.testing.assert_array_equal(after[1:-1], before[2:])
    masks = later.patient.views["anterior"].lesion_masks
    old = first.patient.views["anterior"].lesion_masks
    np.testing.assert_array_equal(masks[1:-1], old[2:])
    # Without metastases the scan is the normal patient's.
    healthy = scan_again(first, 1, foci=())
    assert sum_counts(healthy) < sum_counts(first)
    assert healthy.patient.burden.measure_index() == 0
