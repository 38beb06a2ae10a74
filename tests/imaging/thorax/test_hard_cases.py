"""Tests of the crop against what real scans do to it (`hard_cases`).

`FOUND` must be cropped within 10 pixels of a 1024x256 frame and without a flag; of
`LOST` nothing can be expected, but to be refused or flagged; `EITHER` may be flagged,
but never wrong without a word. The truth is the extent of the phantom's own bones.
"""

import dataclasses

import numpy as np
import pytest

from spectjax.imaging.thorax import CropError, crop_thorax
from spectjax.phantom import simulate_patient
from tests.support.hard_cases import EITHER, FOUND, LOST
from tests.support.hard_scenes import make_scene, take

SEEDS = (40, 38)


@pytest.fixture(scope="module")
def patients():
    return {seed: simulate_patient(seed) for seed in SEEDS}


def rib_cage(thorax):
    marks = thorax.landmarks
    return np.array([marks.shoulders, marks.left, marks.lowest_ribs, marks.right])


def crop_changed(patients, change, seed, view):
    """The crop of a changed patient, or None if it was refused; and the true box."""
    scene = make_scene(patients[seed], view)
    change(scene)
    try:
        return crop_thorax(take(scene, view)), scene.box
    except CropError:
        return None, scene.box


def tolerance(thorax):
    """10 of 1024 pixels: 5 where pixels are twice as large."""
    return 10 * len(thorax.scan.counts) / 1024 if len(thorax.scan.counts) < 600 else 10


each_view = pytest.mark.parametrize("view", ["anterior", "posterior"])
each_seed = pytest.mark.parametrize("seed", SEEDS)


def named(cases):
    return pytest.mark.parametrize("change", cases, ids=lambda case: case.__name__)


@each_view
@each_seed
@named(FOUND)
def test_box_of_a_hard_case_is_found(patients, change, seed, view):
    thorax, true_box = crop_changed(patients, change, seed, view)
    assert thorax is not None
    np.testing.assert_allclose(rib_cage(thorax), true_box, atol=tolerance(thorax))
    assert thorax.flags == ()


@each_view
@each_seed
@named(EITHER)
def test_box_of_a_very_hard_case_is_found_or_doubted(patients, change, seed, view):
    thorax, true_box = crop_changed(patients, change, seed, view)
    if thorax is not None and not thorax.flags:
        np.testing.assert_allclose(rib_cage(thorax), true_box, atol=tolerance(thorax))


@each_view
@each_seed
@named(LOST)
def test_scan_that_is_no_whole_body_is_refused_or_doubted(patients, change, seed, view):
    thorax, _ = crop_changed(patients, change, seed, view)
    assert thorax is None or thorax.flags


@each_view
@each_seed
def test_box_of_a_mirrored_view_is_the_mirrored_box(patients, seed, view):
    scan = take(make_scene(patients[seed], view), view)
    mirrored = dataclasses.replace(
        scan, counts=np.ascontiguousarray(scan.counts[:, ::-1])
    )
    top, left, bottom, right = rib_cage(crop_thorax(scan))
    width = scan.counts.shape[1]
    np.testing.assert_allclose(
        rib_cage(crop_thorax(mirrored)),
        [top, width - right, bottom, width - left],
        atol=1,
    )


@each_view
@each_seed
def test_hand_with_the_injection_is_no_thigh(patients, seed, view):
    scene = make_scene(patients[seed], view)
    for side in ("left", "right"):
        row, column = (
            scene.bones["left femur"][0] + 20,
            scene.centre(f"{side} femur")[1],
        )
        scene.add(row, column + 18 * scene.outwards(f"{side} femur"), 6, 6, 30)
    legs = crop_thorax(take(scene, view)).landmarks.legs
    # Thighs part below the hip bones, within a hand's breadth or so.
    hips_end = scene.bones["left hip bone"][2]
    assert 0 < legs - hips_end < 45


@each_seed
def test_a_few_negative_counts_change_nothing(patients, seed):
    # As lossy compression of signed pixels leaves them; files are read with them at 0.
    scan = take(make_scene(patients[seed], "anterior"), "anterior")
    rng = np.random.default_rng(4)
    ringing = np.where(rng.random(scan.counts.shape) < 0.2, rng.normal(0, 2), 0)
    counts = np.maximum(np.round(scan.counts + ringing), 0).astype(np.float32)
    found = rib_cage(crop_thorax(dataclasses.replace(scan, counts=counts)))
    np.testing.assert_allclose(found, rib_cage(crop_thorax(scan)), atol=3)
